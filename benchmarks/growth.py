"""What scoring and publishing cost in time and memory when users double.

Some seconds belong to the catalogue alone, so users are many beside the movies, as they are where
growth matters.

Each measurement is a process of its own, without TensorFlow: it reads made-up vectors and histories
first, then their lists are scored, written, hashed, staged, read back and switched to, on a server
of its own. Memory is the process's peak from the moment when the vectors and histories are there.

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
from reco_store.prefetch import ahead

HERE = Path(__file__).parent
SEED, K, THREADS = 42, 100, 2
MEGABYTE = 1_000_000


def resident_bytes(what: str) -> int:
    """Return VmRSS, what is in memory now, or VmHWM, the most there was."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


def score_and_publish(url: str, folder: Path) -> dict[str, float]:
    """Do what a night does with trained vectors."""
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
    writer.write_top_k(USER, names, ahead(blocks))
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
    """Return what a process of its own finds, on a server of its own."""
    binary = binaries()["Valkey"]
    with tempfile.TemporaryDirectory(prefix="reco-") as folder:
        with server(binary, Path(folder) / "server") as url:
            vectors, seen = factors(users, movies, seed=SEED), histories(users, movies, seed=SEED)
            for name, array in (*vectors._asdict().items(), *seen._asdict().items()):
                np.save(Path(folder) / f"{name}.npy", array)
            said = subprocess.run(
                [sys.executable, __file__, "--one", url, folder],
                env=environment(),
                check=True,
                stdout=subprocess.PIPE,
            )
        return json.loads(said.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--movies", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.one:
        url, folder = said.one
        print(json.dumps(score_and_publish(url, Path(folder))))
        return
    result = {"figure": "growth", "machine": describe(("pyarrow",)), "movies": said.movies}
    sizes = (said.users, 2 * said.users)
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(said.rounds):
        for size in sizes:
            found[size].append(in_a_process(size, said.movies))
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
