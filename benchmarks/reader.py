"""Latency of `Reader.user`, compared with a bare GET of the same value and client library.

Both query one local server on a socket, in one process. The reader decodes and labels ten movies,
the GET returns bytes. They alternate every hundred requests; the result is the ratio of the
medians.

usage: reader.py [--turns N]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from generations import KEYS, Generation, binaries, night, server
from machine import describe

from reco_store import Reader, connect
from reco_store.contract.keys import user_suffix

HERE = Path(__file__).parent
USERS = 1_000
REQUESTS = 100
#: Bound for the ratio of the median request to a bare GET.
BOUND = 1.5


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
    source = Generation(1, USERS)
    names = [str(user) for user in range(USERS)]
    keys = [KEYS.data(source.generation, user_suffix(name)).encode() for name in names]
    with connect(url) as client, Reader(url, namespace=KEYS.namespace) as reader:
        night(client, source, keep=1)
        asked = {
            "get": lambda user: client.get(keys[user]),
            "user": lambda user: reader.user(names[user]),
            "user_n_100": lambda user: reader.user(names[user], n=100),
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
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    arguments = parser.parse_args()
    result = {"figure": "reader", "machine": describe(("hiredis",)), "bound": BOUND, "servers": {}}
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
