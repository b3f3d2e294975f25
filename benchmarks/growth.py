"""Time and memory of scoring and publishing as users double.

Costs of the catalogue are constant, so there are many more users than movies, as in the cases where
growth matters.

Each measurement is a process without TensorFlow. It first reads synthetic vectors and histories.
Then it scores and writes the lists, hashes, stages, reads back and switches, on a server of its
own. Memory is the peak of the process from the moment the vectors and histories are loaded.

usage: growth.py [--users N] [--movies N] [--rounds N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd  # noqa: F401  what Arrow does with the first array; a night has it by then
from generations import KEYS, binaries, server
from machine import describe, environment
from synthetic import Factors, factors, histories

from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Histories, Movies
from reco_batch.scoring.popularity import MovieStatistics
from reco_batch.scoring.topk import top_k_blocks
from reco_store import RunLock, connect, publish
from reco_store.contract.families import NEXT, RANKED, SIMILAR, USER
from reco_store.contract.keys import new_generation_id
from reco_store.prefetch import prefetch

HERE = Path(__file__).parent
SEED, K, THREADS = 42, 100, 2
MEGABYTE = 1_000_000


def resident_bytes(what: str) -> int:
    """Return VmRSS, the memory in use now, or VmHWM, its peak."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


def score_and_publish(url: str, folder: Path) -> dict[str, float]:
    """Score, write and publish, as a run does after training."""
    vectors = Factors(*(np.load(folder / f"{name}.npy") for name in Factors._fields))
    seen = Histories(*(np.load(folder / f"{name}.npy") for name in Histories._fields))
    users, movies = map(len, vectors)
    names = tuple(map(str, range(users)))
    ids = tuple(str(3 * movie + 1) for movie in range(movies))
    films = Movies(ids, ids, ((),) * movies, (None,) * movies)
    inputs = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak is counted from here
    began = time.perf_counter()
    now = datetime.now(UTC)
    writer = ArtifactWriter(folder / new_generation_id(now), films)
    blocks = top_k_blocks(*vectors, seen, k=K, threads=THREADS)
    writer.write_top_k(USER, names, prefetch(blocks))
    scored = time.perf_counter()
    for family in (RANKED, SIMILAR, NEXT):
        writer.write_top_k(family, (), ())
    writer.write_seen(names, seen)
    writer.write_popular(())
    writer.write_movies(films, MovieStatistics(np.zeros(movies, np.int64), np.zeros(movies)))
    manifest = {"schema": 1, "generation": writer.folder.name, "created": now.isoformat()}
    artifact = writer.finish({**manifest, "ids": "integer", "gate": None})
    with connect(url) as client, RunLock(client, KEYS) as lock:
        publish(client, KEYS, artifact, lock=lock)
    return {
        "seconds": time.perf_counter() - began,
        "scoring_seconds": scored - began,
        "inputs_mb": inputs / MEGABYTE,
        "peak_mb": resident_bytes("VmHWM") / MEGABYTE,
    }


def in_a_process(users: int, movies: int) -> dict[str, float]:
    """Return the results of a new process on a new server."""
    binary = binaries()["Valkey"]
    with tempfile.TemporaryDirectory(prefix="reco-") as folder:
        with server(binary, Path(folder) / "server") as url:
            vectors, seen = factors(users, movies, seed=SEED), histories(users, movies, seed=SEED)
            for name, array in (*vectors._asdict().items(), *seen._asdict().items()):
                np.save(Path(folder) / f"{name}.npy", array)
            done = subprocess.run(
                [sys.executable, __file__, "--one", url, folder],
                env=environment(),
                check=True,
                stdout=subprocess.PIPE,
            )
        return json.loads(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--movies", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        url, folder = arguments.one
        print(json.dumps(score_and_publish(url, Path(folder))))
        return
    result = {"figure": "growth", "machine": describe(("pyarrow",)), "movies": arguments.movies}
    sizes = (arguments.users, 2 * arguments.users)
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(arguments.rounds):
        for size in sizes:
            found[size].append(in_a_process(size, arguments.movies))
    result["users"] = {
        str(size): {key: statistics.median(one[key] for one in ones) for key in ones[0]}
        for size, ones in found.items()
    }
    small, large = result["users"].values()
    added = [one["peak_mb"] - one["inputs_mb"] for one in (small, large)]
    result |= {
        "times_as_long": large["seconds"] / small["seconds"],
        "peak_ratio": large["peak_mb"] / small["peak_mb"],
        "added_mb": added,
    }
    print(json.dumps(result, indent=1))
    path = HERE / "results" / "growth.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
