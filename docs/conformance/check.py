"""Check a client against the key contract (docs/keys.md).

The client is any program that reads one request a line from standard input, answers each with one
line on standard output, and connects to the server in the environment variable REDIS_URL. README.md
in this folder describes the form of both. One process of the client answers all requests unless it
ends; each vector has its own namespace.

usage: check.py [--redis-url URL] [--level core|filters] COMMAND [ARGUMENT ...]

It writes only under namespaces `conformance-<number>`, and deletes what it wrote. The exit code is
0 if every answer was as expected, otherwise 1.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from redis import Redis

VECTORS = Path(__file__).parent / "vectors"
LEVELS = ("core", "filters")


def differences(expected: Any, found: Any, where: str = "answer") -> Iterator[str]:  # noqa: ANN401
    """Yield the differences of an answer to the expected one; additional fields are allowed."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            if name in found:
                yield from differences(value, found[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}: missing"
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (value, own) in enumerate(zip(expected, found, strict=True)):
            yield from differences(value, own, f"{where}[{place}]")
    elif expected != found or isinstance(expected, bool) != isinstance(found, bool):
        yield f"{where}: {json.dumps(found)}, expected {json.dumps(expected)}"


class Store:
    """Store content of one vector, in a separate namespace."""

    def __init__(self, url: str, namespace: str) -> None:
        self.client = Redis.from_url(url)
        self.namespace = namespace
        self.written: set[str] = set()

    def write(self, content: dict[str, Any]) -> None:
        """Set strings and sets, and delete keys, in one transaction."""
        pipeline = self.client.pipeline(transaction=True)
        for key, value in content.get("strings", {}).items():
            pipeline.set(self._own(key), value)
        for key, members in content.get("sets", {}).items():
            pipeline.delete(self._own(key))
            pipeline.sadd(self._own(key), *members)
        for key in content.get("delete", ()):
            pipeline.delete(self._own(key))
        pipeline.execute()

    def clear(self) -> None:
        """Delete all written keys."""
        if self.written:
            self.client.delete(*self.written)
        self.client.close()

    def _own(self, key: str) -> str:
        own = key.replace("NS", self.namespace, 1)
        self.written.add(own)
        return own


class Client:
    """Program under test, started with the first request and restarted if it has ended."""

    def __init__(self, command: Sequence[str], url: str) -> None:
        self.command = command
        self.environment = {**os.environ, "REDIS_URL": url}
        self.process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> str:
        """Return the answer to a request, one line; empty if the program ended instead."""
        process = self.process
        if process is None or process.stdin is None or process.stdout is None:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(
                self.command, stdin=pipe, stdout=pipe, env=self.environment, encoding="utf-8"
            )
            return self.ask(request)
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.end()
        return line

    def end(self) -> None:
        """Close its standard input and wait for its end."""
        if self.process is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate()
            self.process = None


def run_vector(vector: dict[str, Any], store: Store, client: Client) -> list[str]:
    """Send the requests of a vector to a client; return the unexpected answers."""
    failures = []
    for step in vector["steps"]:
        if "write" in step:
            store.write(step["write"])
            continue
        request = {"namespace": store.namespace, **step["ask"]}
        line = client.ask(request)
        if not line:
            return [*failures, f"{json.dumps(request)}: the client ended without an answer"]
        wrong = differences(step["expect"], json.loads(line))
        failures += [f"{json.dumps(request)}: {difference}" for difference in wrong]
    return failures


def check(client: Client, url: str, levels: Sequence[str]) -> bool:
    """Run all vectors of the given levels and print their results."""
    passed = True
    for number, path in enumerate(sorted(VECTORS.glob("*.json")), start=1):
        vector = json.loads(path.read_text("utf-8"))
        if vector["level"] not in levels:
            continue
        store = Store(url, f"conformance-{number}")
        try:
            failures = run_vector(vector, store, client)
        finally:
            store.clear()
        passed = passed and not failures
        print("failed" if failures else "passed", vector["name"])
        for failure in failures:
            print("   ", failure)
    return passed


def main() -> int:
    """Check a client and print its failures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--redis-url", default=os.environ.get("REDIS_URL"), help="address of the server"
    )
    parser.add_argument(
        "--level", choices=LEVELS, default=LEVELS[-1], help="highest level to check"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="command that starts the client")
    arguments = parser.parse_args()
    if not arguments.redis_url or not arguments.command:
        parser.error("expected a server (--redis-url or REDIS_URL) and the client's command")
    client = Client(arguments.command, arguments.redis_url)
    try:
        levels = LEVELS[: LEVELS.index(arguments.level) + 1]
        return 0 if check(client, arguments.redis_url, levels) else 1
    finally:
        client.end()


if __name__ == "__main__":
    sys.exit(main())
