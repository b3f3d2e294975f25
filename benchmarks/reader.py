"""Latency of `Reader.user`, compared with a bare GET of the same value and client library.

Both query one local server on a socket, in one process. The reader decodes and labels ten movies,
the GET returns bytes. They alternate every hundred requests; the result is the ratio of the
medians. A request with ten recent movies adds their lists, and is compared with the list alone.

usage: reader.py [--turns N]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from generations import KEYS, Generation, binaries, night, server
from machine import describe

from reco_store import Reader, connect
from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.contract.keys import movie_suffix, next_suffix, seen_suffix, user_suffix

HERE = Path(__file__).parent
USERS = 1_000
REQUESTS = 100
#: Bound for the ratio of the median request to a bare GET.
BOUND = 1.5
#: Bound for the median request with recent movies, in milliseconds.
RECENT_BOUND_MS = 1.3
#: Recent movies, each with a list that has eighty movies that the one before it has not.
RECENT = [str(2000 + 80 * place) for place in range(10)]


def session() -> Iterator[tuple[str, bytes]]:
    """Yield the lists of the recent movies, the cards in them, and what each user has seen."""
    scores = [100 - rank / 8 for rank in range(100)]
    listed = set()
    for movie in RECENT:
        ids = [str(int(movie) + 1 + place) for place in range(100)]
        listed.update(ids)
        yield next_suffix(movie), encode_list(ids, scores, numeric_ids=True)
    card = encode_movie(MovieRecord("Heat (1995)", 1995, ("Crime",), 102, 3.946))
    for movie in sorted(listed):
        yield movie_suffix(movie), card
    seen = encode_ids([str(9000 + place) for place in range(100)], numeric_ids=True)
    for user in range(USERS):
        yield seen_suffix(str(user)), seen


def microseconds(ask: Callable[[int], object], first: int) -> list[float]:
    """Return the duration of each request of a turn."""
    taken = []
    for number in range(first, first + REQUESTS):
        began = time.perf_counter()
        ask(number % USERS)
        taken.append(1e6 * (time.perf_counter() - began))
    return taken


def measure(url: str, turns: int) -> dict[str, float]:
    """Return the results of one server."""
    source = Generation(1, USERS, session())
    recent = dict.fromkeys(RECENT)
    names = [str(user) for user in range(USERS)]
    keys = [KEYS.data(source.generation, user_suffix(name)).encode() for name in names]
    with connect(url) as client, Reader(url, namespace=KEYS.namespace) as reader:
        night(client, source, keep=1)
        asked = {
            "get": lambda user: client.get(keys[user]),
            "user": lambda user: reader.user(names[user]),
            "user_n_100": lambda user: reader.user(names[user], n=100),
            "user_recent": lambda user: reader.user(names[user], recent=recent),
        }
        taken: dict[str, list[float]] = {name: [] for name in asked}
        for turn in range(turns + 1):
            for name, ask in asked.items():
                times = microseconds(ask, turn * REQUESTS)
                if turn:  # the first turn warms up
                    taken[name] += times
    figures = {f"{name}_p50": float(np.median(times)) for name, times in taken.items()}
    figures |= {f"{name}_p99": float(np.percentile(times, 99)) for name, times in taken.items()}
    return {
        **figures,
        "ratio": figures["user_p50"] / figures["get_p50"],
        "ratio_n_100": figures["user_n_100_p50"] / figures["get_p50"],
        "ratio_recent": figures["user_recent_p50"] / figures["user_p50"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    arguments = parser.parse_args()
    result = {"figure": "reader", "machine": describe(("hiredis",)), "bound": BOUND, "servers": {}}
    result["recent_bound_ms"] = RECENT_BOUND_MS
    for name, binary in binaries().items():
        with (
            tempfile.TemporaryDirectory(prefix="reco-") as folder,
            server(binary, Path(folder) / "s") as url,
        ):
            figures = result["servers"][name] = measure(url, arguments.turns)
        print(f"{name:8}" + "".join(f"  {key} {value:.2f}" for key, value in figures.items()))
    path = HERE / "results" / "reader.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
