"""Time of a page of `reco browse`, with 100,000 users published.

The generation is that of `filters.py`, with an explanation for every movie of a list; a second one
of fewer users is staged, to be compared. `reco browse` runs as a process of its own on a port of
this machine, and one connection requests pages one after the other, of users and movies at random.

usage: browse.py [--users N] [--requests N]
"""

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filters import DIFFERENT, LENGTH, MOVIES, RATED, Catalogue, Generation
from generations import KEYS, binaries, server
from machine import describe

from reco_store import RunLock, Summary, connect, publish
from reco_store.contract.codec import decode_ids, encode_ids, encode_list, encode_reasons
from reco_store.contract.keys import new_generation_id, parse_generation_id

HERE = Path(__file__).parent
BOUND_MS = 50.0
COMPARED = 1_000  # users of the staged generation
WARM_UP = 50


class Explained(Generation):
    """Generation whose lists have explanations, and whose movies can be searched and opened."""

    def __init__(self, catalogue: Catalogue, users: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.reasons: list[bytes] = []
        self.more: list[tuple[str, bytes]] = []
        super().__init__(catalogue, users, seed)
        for _, seen in self.lists:
            rated = decode_ids(seen)
            self.reasons.append(encode_reasons(list(rng.choice(rated, LENGTH)), numeric_ids=True))
        ids = [str(1 + movie) for movie in range(LENGTH)]
        best = encode_list(ids, [3.0 - rank / 100 for rank in range(LENGTH)], numeric_ids=True)
        self.more = [(f"search:{word}", encode_ids(ids, numeric_ids=True)) for word in ("f", "fi")]
        for movie in range(1, MOVIES + 1):
            self.more += [(f"similar:{movie}", best), (f"next:{movie}", best)]
        self.describe()

    def describe(self) -> None:
        """Compute the manifest's fields again, after entries were added."""
        summary = Summary()
        summary.update_many(self.entries())
        self.manifest |= summary.manifest_fields()

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and values, the same ones each time."""
        yield from super().entries()
        if self.reasons:
            for user in range(self.users):
                yield f"because:{user}", self.reasons[user % DIFFERENT]
        yield from self.more

    def renamed(self, seconds: int) -> "Explained":
        """Give the generation a later name."""
        created = parse_generation_id(self.generation)
        self.generation = new_generation_id(created.replace(second=seconds), "0002")
        self.manifest["generation"] = self.generation
        return self


@contextmanager
def pages(url: str) -> Iterator[int]:
    """Serve the pages; yield the port."""
    words = ["browse", "--port", "0", "--redis-url", url, "--namespace", KEYS.namespace]
    with subprocess.Popen(
        [sys.executable, "-m", "reco_cli", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RECO_HOME": "/nonexistent"},
    ) as process:
        assert process.stdout is not None  # noqa: S101  for the type checker
        found = re.search(r":(\d+)/", process.stdout.readline())
        try:
            yield int(found[1]) if found else 0
        finally:
            process.send_signal(signal.SIGINT)


def timed(port: int, address: Callable[[], str], requests: int) -> dict[str, float]:
    """Time requests of one connection."""
    took, size = [], 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(WARM_UP + requests):
        path = address()
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        size = len(answer.read())
        took.append(1000 * (time.perf_counter() - began))
        if answer.status != 200:
            raise ValueError(f"{path}: {answer.status}")
    connection.close()
    warm = np.array(took[WARM_UP:])
    return {
        "p50_ms": float(np.median(warm)),
        "p95_ms": float(np.percentile(warm, 95)),
        "first_ms": took[0],
        "bytes": size,
    }


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=500)
    arguments = parser.parse_args()
    rng = np.random.default_rng(7)
    catalogue = Catalogue(rng)
    source = Explained(catalogue, arguments.users, seed=7)
    staged = Explained(catalogue, COMPARED, seed=8).renamed(30)

    def some(most: int) -> int:
        return int(rng.integers(1, most))

    kinds: dict[str, Callable[[], str]] = {
        "overview": lambda: "/",
        "a user, 20 movies": lambda: f"/user?id={some(arguments.users)}",
        "a user, 100 movies": lambda: f"/user?id={some(arguments.users)}&n=100",
        "a user in two generations": lambda: (
            f"/user?id={some(COMPARED)}&with={KEYS.namespace}/{staged.generation}"
        ),
        "an unknown user": lambda: f"/user?id=x{some(10**6)}",
        "a movie": lambda: f"/movie?id={some(MOVIES)}",
        "popular movies": lambda: f"/popular?genre=genre+{some(20)}",
        "suggestions": lambda: "/suggest.json?q=fi",
    }
    result: dict[str, Any] = {
        "figure": "browse",
        "machine": describe(("starlette", "uvicorn")),
        "users": arguments.users,
        "movies": MOVIES,
        "rated": RATED,
        "requests": arguments.requests,
        "bound_ms": BOUND_MS,
        "pages": {},
    }
    binary = binaries()["Valkey"]
    with (
        tempfile.TemporaryDirectory(prefix="reco-") as folder,
        server(binary, Path(folder) / "a") as url,
        connect(url) as client,
    ):
        with RunLock(client, KEYS) as lock:
            publish(client, KEYS, source, lock=lock, keep=1)
            publish(client, KEYS, staged, lock=lock, keep=1, switch=False)
        with pages(url) as port:
            for name, address in kinds.items():
                figures = result["pages"][name] = timed(port, address, arguments.requests)
                print(f"{name}: " + ", ".join(f"{k} {v:.1f}" for k, v in figures.items()))
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    path = HERE / "results" / "browse.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    worst = max(found["p95_ms"] for found in result["pages"].values())
    print(f"largest p95 {worst:.1f} ms, bound {BOUND_MS:.0f} ms")


if __name__ == "__main__":
    main()
