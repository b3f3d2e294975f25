"""Data of a few dozen users, real servers, and `batch` as real processes."""

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from csv_folders import planted, write_folder
from reco_store import Keys, RunLock, Summary, connect, new_generation_id, publish
from reco_store.contract import keys as names
from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie

BATCH = Path(sys.executable).with_name("batch")


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of standard error."""
        return self.err.splitlines()

    @property
    def generation(self) -> str:
        """Generation that a run printed as published."""
        assert self.code == 0, self.err
        return self.out.split()[1]


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Write both files of a data set."""
    return write_folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the planted data; not to be changed."""
    return write_folder(tmp_path_factory.mktemp("small"), *planted())


Change = Callable[[bytes], bytes] | None


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of six users and thirty movies, with some files changed.

    A change is by file name: a function of the file's bytes (for another ending: of those of the
    CSV file that it takes the place of), or None for no such file.
    """
    path = write_folder(tmp_path / "data", *planted(users=6, movies=30, each=10))

    def make(changes: Mapping[str, Change] | None = None) -> Path:
        for name, change in (changes or {}).items():
            plain = path / f"{name.partition('.')[0]}.csv"
            content = plain.read_bytes()
            plain.unlink()
            if change is not None:
                (path / name).write_bytes(change(content))
        return path

    return make


@dataclass(frozen=True)
class Source:
    """A generation in memory, as the publisher takes one."""

    generation: str
    content: Mapping[str, bytes]

    @property
    def manifest(self) -> dict[str, Any]:
        """The complete manifest."""
        summary = Summary()
        summary.update_many(self.content.items())
        created = datetime.now(UTC).isoformat(timespec="seconds")
        fixed = {"schema": 1, "ids": "integer", "rating_scale": [0.5, 5.0], "gate": None}
        return {
            **fixed,
            "generation": self.generation,
            "created": created,
            **summary.manifest_fields(),
        }

    def suffixes(self) -> Iterator[str]:
        """Yield every suffix."""
        yield from self.content

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield every entry."""
        yield from self.content.items()


def publish_tiny(url: str, namespace: str = "reco") -> str:
    """Publish a generation of one user and one movie, and return its name."""
    everyone = encode_list(["1"], [1.0], numeric_ids=True)
    content = {
        names.user_suffix("42"): everyone,
        names.ranked_suffix("42"): everyone,
        names.seen_suffix("42"): encode_ids([], numeric_ids=True),
        names.popular_suffix("most_rated"): everyone,
        names.movie_suffix("1"): encode_movie(MovieRecord("One (1995)", 1995, ("Drama",), 1, 4.0)),
    }
    source = Source(new_generation_id(datetime.now(UTC)), content)
    with connect(url) as client, RunLock(client, Keys(namespace)) as lock:
        publish(client, lock.keys, source, lock=lock)
    return source.generation


def content_of(url: str, namespace: str = "reco") -> dict[bytes, bytes | None]:
    """Return every key of a namespace but the lock and the fence, which every run moves."""
    keys = Keys(namespace)
    moving = {keys.lock.encode(), keys.fence.encode()}
    with connect(url) as client:
        found = [key for key in client.scan_iter(count=1000) if namespace.encode() in key]
        return {key: client.get(key) for key in sorted(found) if key not in moving}


@pytest.fixture(scope="session")
def publish_to() -> Callable[..., str]:
    """Publish the tiny generation to a server of a test's own."""
    return publish_tiny


@pytest.fixture(scope="session")
def may_mount() -> None:
    """Skip without the right to mount a small private disk."""
    try:
        command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a full disk needs root and mount namespaces ({error})")


@pytest.fixture(scope="session")
def server(running: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """Address of a server whose namespace `reco` has a tiny generation that must not change."""
    with running() as url:
        publish_tiny(url)
        yield url


@pytest.fixture(scope="session")
def served(server: str) -> str:
    """The generation that the server serves, whatever the tests do."""
    return content_of(server)[Keys("reco").current.encode()].decode()


@pytest.fixture
def untouched(server: str, served: str) -> Iterator[str]:
    """The generation that is served before the test and, key by key, after it."""
    before = content_of(server)
    yield served
    assert content_of(server) == before


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, server: str) -> dict[str, str]:
    """The environment of the commands: a home of their own, and the server's address."""
    home = tmp_path_factory.mktemp("home")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "RECO_HOME": str(home / "reco"),
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "REDIS_URL": server,
    }


Run = Callable[..., Ended]


@pytest.fixture(scope="session")
def batch(environment: dict[str, str]) -> Run:
    """Run `batch` with its output in pipes; keyword arguments add to the environment."""

    def run(*words: object, program: Sequence[str] = (str(BATCH),), **more: str) -> Ended:
        result = subprocess.run(
            [*program, *map(str, words)],
            env={**environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=300,
        )
        return Ended(result.returncode, result.stdout.decode(), result.stderr.decode())

    return run


@pytest.fixture(scope="session")
def on_terminal(environment: dict[str, str]) -> Run:
    """Run `batch` with its standard error on a terminal, as `batch` does otherwise."""

    def run(*words: object, **more: str) -> Ended:
        mine, its = pty.openpty()
        termios.tcsetwinsize(its, (50, 120))
        with subprocess.Popen(
            [str(BATCH), *map(str, words)],
            env={**environment, "TERM": "xterm-256color", **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=its,
        ) as process:
            os.close(its)
            err = b"".join(iter(lambda: _read(mine), b""))
            out = process.stdout.read()
        os.close(mine)
        return Ended(process.returncode, out.decode(), err.decode())

    return run


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports it when the other side is closed
        return b""


@pytest.fixture(scope="session")
def untrained(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """Run `batch` as `batch` does, but quickly, and on a machine without TensorFlow."""
    out, err = (tmp_path_factory.mktemp("output") / name for name in ("out", "err"))
    forker = [sys.executable, "-W", "error", str(Path(__file__).with_name("forker.py"))]
    with subprocess.Popen(
        forker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def run(*words: object, **more: str) -> Ended:
            for path in (out, err):
                path.write_bytes(b"")
            request = {
                "words": [str(word) for word in words],
                "environment": {**environment, **more},
                "out": str(out),
                "err": str(err),
            }
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            return Ended(code, out.read_text("utf-8"), err.read_text("utf-8"))

        yield run
        process.stdin.close()


@pytest.fixture
def refused(untrained: Run, server: str) -> Callable[..., str]:
    """Run `batch` to its refusal: one line, the given code, nothing published is touched."""

    def run(*words: object, code: int, url: str = server, **more: str) -> str:
        before = content_of(url)
        ended = untrained(*words, **{"REDIS_URL": url, **more})
        assert ended.code == code, ended.err
        assert content_of(url) == before
        assert ended.out == ""
        assert len(ended.lines) == 1, ended.err
        assert ended.err.startswith("error: ")
        return ended.err.rstrip("\n")

    return run


@pytest.fixture
def accepted(untrained: Run, untouched: str) -> Callable[..., list[str]]:
    """Run `batch` until training; return its messages about the data, without the time."""

    def run(*words: object, **more: str) -> list[str]:
        ended = untrained(*words, **more)
        *messages, last = ended.lines
        assert "(tensorflow)" in last, ended.err
        return [line.partition(" ")[2] for line in messages]

    return run
