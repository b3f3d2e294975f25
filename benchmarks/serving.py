"""Effects of a run on readers: mixed answers, waiting, and the speed of a rollback.

Starts each server of this machine on a socket of its own, publishes through the job's publisher,
reads through the application's reader in another process, and stops the server.

- mixed: requests while the pointer moves continuously; answers from two generations are counted.
- waiting: durations of requests while 100,000 lists are deleted, and while the server is idle.
- rollback: server time, with free memory and at maxmemory.

usage: serving.py [--requests N] [--flips N] [--lists N]
"""

import argparse
import json
import multiprocessing as mp
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
from generations import KEYS, Generation, binaries, night, server
from machine import describe

from reco_store import Reader, RunLock, connect
from reco_store.connection.client import Client
from reco_store.publishing.generations import rollback
from reco_store.publishing.publisher import flip

HERE = Path(__file__).parent
USERS = 60
KEPT = 3
QUIET_SECONDS = 5.0
ROLLBACKS = 12


def read_and_check(url: str, requests: int, results: "mp.Queue[int]") -> None:
    """Read users' lists; report the number of mixed and of missing answers."""
    mixed = 0
    with Reader(url, namespace=KEYS.namespace) as reader:
        for number in range(requests):
            answer = reader.user(str(number % USERS), n=10)
            expected = int(answer.generation.rpartition("-")[2], 16)
            mixed += answer.source != "personal" or answer.items[0].score != expected
    results.put(mixed)


def flips_under_readers(url: str, requests: int, flips: int) -> dict[str, int]:
    """Switch between ready generations while a reader reads."""
    nights = [Generation(number, USERS) for number in range(KEPT)]
    results: mp.Queue[int] = mp.Queue()
    with connect(url) as client:
        for source in nights:
            night(client, source, keep=KEPT)
        reader = mp.Process(target=read_and_check, args=(url, requests, results))
        reader.start()
        done = 0
        with RunLock(client, KEYS) as lock:
            while done < flips or reader.is_alive():
                flip(nights[done % KEPT].generation, lock=lock)
                done += 1
                time.sleep(0.005)
    reader.join()
    return {"requests": requests, "flips": done, "mixed": results.get()}


def read_and_time(url: str, stop: Event, results: "mp.Queue[np.ndarray]") -> None:
    """Read users' lists as fast as possible; report the start and end of each request."""
    times = []
    with Reader(url, namespace=KEYS.namespace) as reader:
        while not stop.is_set():
            for user in range(20):
                began = time.monotonic()
                reader.user(str(user), n=10)
                times.append((began, time.monotonic()))
    results.put(np.array(times))


def waiting(url: str, lists: int) -> dict[str, dict[str, float]]:
    """Time requests on an idle server, and while a large generation is deleted."""
    stop, results = mp.Event(), mp.Queue()
    marks: list[float] = []

    def progress(phase: str, _: int) -> None:
        if phase == "retire":
            marks.append(time.monotonic())

    with connect(url) as client:
        night(client, Generation(1, lists), keep=1)
        reader = mp.Process(target=read_and_time, args=(url, stop, results))
        reader.start()
        time.sleep(1.0)
        quiet = (time.monotonic(), time.monotonic() + QUIET_SECONDS)
        time.sleep(QUIET_SECONDS)
        night(client, Generation(2, USERS), keep=1, progress=progress)
        stop.set()
        times = results.get()
        reader.join()
    retiring = (marks[0], marks[-1])
    return {
        "nothing else": _figures(times, *quiet),
        f"deleting {lists:,} lists": _figures(times, *retiring),
    }


def _figures(times: np.ndarray, begin: float, end: float) -> dict[str, float]:
    inside = times[(times[:, 0] >= begin) & (times[:, 1] <= end)]
    took = 1000 * (inside[:, 1] - inside[:, 0])
    p50, p99 = np.percentile(took, [50, 99])
    return {
        "seconds": end - begin,
        "requests": len(took),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(took.max()),
    }


def rollbacks(url: str) -> dict[str, dict[str, float]]:
    """Roll back repeatedly, half of the times on a full server."""
    figures = {}
    with connect(url) as client:
        for number in range(2 * ROLLBACKS + 1):
            night(client, Generation(10 + number, USERS), keep=2 * ROLLBACKS + 1)
        client.config_set("slowlog-log-slower-than", 0)
        for name, maxmemory in (("memory to spare", 0), ("at maxmemory", 1)):
            client.config_set("maxmemory", maxmemory)
            timed = [_one_rollback(client) for _ in range(ROLLBACKS)]
            figures[name] = {
                "server_ms": max(server for server, _ in timed),
                "client_ms": max(seen for _, seen in timed),
            }
        client.config_set("maxmemory", 0)
    return figures


def _one_rollback(client: Client) -> tuple[float, float]:
    """Return milliseconds of the server's time, and of the caller's."""
    client.slowlog_reset()
    began = time.perf_counter()
    rollback(client, KEYS)
    seen = 1000 * (time.perf_counter() - began)
    return sum(entry["duration"] for entry in client.slowlog_get(128)) / 1000, seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--flips", type=int, default=1_000)
    parser.add_argument("--lists", type=int, default=100_000)
    arguments = parser.parse_args()
    mp.set_start_method("spawn")
    result = {"figure": "serving", "machine": describe(), "servers": {}}
    for name, binary in binaries().items():
        with tempfile.TemporaryDirectory(prefix="reco-") as folder:
            measured = {}
            with server(binary, Path(folder) / "a") as url:
                measured["mixed"] = flips_under_readers(url, arguments.requests, arguments.flips)
                measured["rollback"] = rollbacks(url)
            with server(binary, Path(folder) / "b") as url:
                measured["waiting"] = waiting(url, arguments.lists)
        result["servers"][name] = measured
        show(name, measured)
    path = HERE / "results" / "serving.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def show(name: str, measured: dict) -> None:
    """Print the results of a server."""
    mixed = measured["mixed"]
    print(name)
    print(f"  {mixed['mixed']} mixed in {mixed['requests']:,} requests, {mixed['flips']:,} flips")
    for doing, figures in measured["waiting"].items():
        line = ", ".join(f"{key} {figures[f'{key}_ms']:.2f} ms" for key in ("p50", "p99", "max"))
        print(f"  {doing}: {line} of {figures['requests']:,} requests")
    for state, figures in measured["rollback"].items():
        print(
            f"  rollback, {state}: {figures['server_ms']:.2f} ms on the server, "
            f"{figures['client_ms']:.2f} ms seen"
        )


if __name__ == "__main__":
    main()
