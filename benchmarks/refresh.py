"""Seconds of `batch refresh` after new ratings, against those of `batch run`, whole processes.

An embedded store of its own is filled by a run. Each round then adds ratings of some users and
refreshes; the last refresh has nothing new. `--quality` compares the vectors that both models
trained for users with those that are folded in from the same ratings, on the test part.

usage: refresh.py [--data DIR|demo] [--ratings N] [--users N] [--rounds N] [--quality]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from machine import describe, environment
from whole_job import as_folder

from reco_batch.data.dataset import Dataset, histories
from reco_batch.data.split import Split
from reco_batch.night.run import read_and_split
from reco_batch.progress.reporter import QuietReporter
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.run_config import RunConfig

HERE = Path(__file__).parent
BATCH = str(Path(sys.executable).parent / "batch")
SEED, DEPTH, STEP_SECONDS = 42, 10, 5


def timed(command: str, data: Path, home: Path) -> dict[str, object]:
    """Run a command to its end; return wall and processor seconds, and the stages' seconds."""
    words = [BATCH, command, "--home", str(home), "--data", str(data)]
    started = time.perf_counter()
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    printed = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"batch {command} ended with {process.returncode}")
    manifest = max((home / "artifacts").glob("*/manifest.json"))
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "printed": printed.splitlines()[:2],
        "stages": json.loads(manifest.read_text("utf-8"))["seconds"],
    }


def add_ratings(folder: Path, *, count: int, users: int, chance: np.random.Generator) -> None:
    """Add ratings of some users, newer than all others, of movies drawn by popularity."""
    file = folder / "ratings.csv"
    ratings = pd.read_csv(file)
    rated = set(zip(ratings["userId"], ratings["movieId"], strict=True))
    chosen = chance.choice(ratings["userId"].unique(), users, replace=False)
    seconds, rows = int(ratings["timestamp"].max()), []
    while len(rows) < count:
        pair = chance.choice(chosen), chance.choice(ratings["movieId"].to_numpy())
        if pair not in rated:
            rated.add(pair)
            seconds += STEP_SECONDS
            rows.append((*pair, chance.integers(1, 11) / 2, seconds))
    added = pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])
    pd.concat([ratings, added]).to_csv(file, index=False)


def quality(data: Path, home: Path) -> dict[str, float]:
    """Train on the training part; return metrics of trained and of folded in users."""
    from reco_batch.models.rating.stored_rating import StoredRating  # noqa: PLC0415  heavy
    from reco_batch.models.registry import rating_of, retrieval_of  # noqa: PLC0415
    from reco_batch.models.trainable import Training  # noqa: PLC0415

    config = RunConfig(data=str(data), threads=2, home=home)
    dataset, split = read_and_split(config, QuietReporter())
    train, count = dataset.ratings.take(split.train), len(dataset.user_ids)
    with QuietReporter().stage("") as stage:
        training = Training(dataset, lambda: train, SEED, stage)
        retrieval = retrieval_of(config.parameters.retrieval).train(training)
        rating = rating_of(config.parameters.rating).train(training)
    stored = StoredRating.of(rating, train, dataset.movies.ids)
    own = _tops(dataset, split, retrieval.embeddings())
    folded = _tops(dataset, split, retrieval.fold_in(train, user_count=count))
    return {
        "same": float(np.mean([len(a & b) / DEPTH for a, b in zip(own, folded, strict=True)])),
        "recall": _recall(own, dataset, split),
        "folded_recall": _recall(folded, dataset, split),
        "rmse": _rmse(rating, dataset, split),
        "folded_rmse": _rmse(stored.with_users(train, user_count=count), dataset, split),
    }


def _tops(dataset: Dataset, split: Split, vectors: Embeddings) -> list[set[int]]:
    """Return the top-10 of each user, without the movies of the training part."""
    seen = histories(dataset.ratings.take(split.train), user_count=len(dataset.user_ids))
    users, movies, sparse = vectors
    blocks = top_k_blocks(users, movies, seen, k=DEPTH, threads=2, sparse=sparse)
    return [set(row.tolist()) for block in blocks for row in block.items]


def _recall(tops: list[set[int]], dataset: Dataset, split: Split) -> float:
    """Return the mean share of the test part that is in the top-10, of at most ten movies."""
    held_out: dict[int, set[int]] = {}
    test = dataset.ratings.take(split.test)
    for user, movie in zip(test.user_index.tolist(), test.movie_index.tolist(), strict=True):
        held_out.setdefault(user, set()).add(movie)
    shares = [len(tops[user] & own) / min(DEPTH, len(own)) for user, own in held_out.items()]
    return float(np.mean(shares))


def _rmse(model: LinearRating, dataset: Dataset, split: Split) -> float:
    test = dataset.ratings.take(split.test)
    error = test.stars - model.predict(test.user_index, test.movie_index)
    return float(np.sqrt(np.mean(error**2)))


def main() -> None:
    """Measure, print the times, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--ratings", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quality", action="store_true")
    arguments = parser.parse_args()
    machine, chance = describe(), np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as scratch:
        home, data = Path(scratch) / "home", Path(scratch) / "data"
        data.mkdir()
        source = as_folder(arguments.data, data)
        for name in ("ratings.csv", "movies.csv"):
            (data / name).write_bytes((source / name).read_bytes())
        try:
            run, refreshes = timed("run", data, home), []
            for _ in range(arguments.rounds):
                add_ratings(data, count=arguments.ratings, users=arguments.users, chance=chance)
                refreshes.append(timed("refresh", data, home))
            unchanged = timed("refresh", data, home)
        finally:
            subprocess.run([BATCH, "store", "stop", "--home", str(home)], check=True)
        found = quality(source, Path(scratch) / "quality") if arguments.quality else None
    result = {
        "figure": "refresh",
        "data": Path(arguments.data).name,
        "machine": machine,
        "ratings": arguments.ratings,
        "users": arguments.users,
        "run": run,
        "refreshes": refreshes,
        "unchanged": unchanged,
        "ratio": run["seconds"] / statistics.median(one["seconds"] for one in refreshes),
        "quality": found,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "refresh.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"whole processes, {result['data']}, {machine['cores']} cores")
    print(f"{'':24}{'seconds':>9}{'processor':>11}")
    named = [("batch run", run), *(("batch refresh", one) for one in refreshes)]
    for name, one in (*named, ("refresh, nothing new", unchanged)):
        print(f"{name:24}{one['seconds']:9.1f}{one['processor_seconds']:11.1f}")
    print(f"a refresh is {result['ratio']:.1f} times faster")
    if found is not None:
        print(", ".join(f"{name} {value:.4f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
