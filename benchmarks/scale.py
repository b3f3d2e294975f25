"""Whole runs of several sizes, as an operator runs them, each followed by a refresh.

For each scale: simulates as many of the shape's users (`batch simulate`), runs the preset `default`
on them as a process with its own home and embedded store, adds a few ratings of one user in a
hundred, and refreshes. Records the seconds of each stage and the time that the machine needs for
its work alone (`work`), the peak memory, the sizes of the files, and the metrics.

Every run is recorded as soon as it ends, in place of an earlier one of the same scale.

usage: scale.py [--like ml-32m] [--scale 0.1 1] [--work FOLDER]
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from machine import begin_anew_without_slowing, describe, environment
from runs import BIN, measured
from work import Work, limits, seconds_of, size_of, works

from reco_batch.simulate.simulation import SHAPES
from reco_store import connect
from reco_store.connection.embedded.server import ensure_server

HERE = Path(__file__).parent
RESULT = HERE / "results" / "scale.json"
METRICS = {
    "retrieval": ("ndcg@10", "recall@100"),
    "popularity": ("ndcg@10", "recall@100"),
    "rating": ("rmse",),
    "means": ("rmse",),
}
#: Users of whom one has new ratings before the refresh, and how many.
ONE_USER_IN, NEW_RATINGS = 100, 5
SEED = 42
#: First words of the stages that score lists, by all processors.
SCORING = ("measure", "score")


def run(name: str, scale: float, work: Path) -> dict[str, object]:
    """Simulate, run and refresh; all files are deleted again.

    Args:
        name: of the shape.
        scale: of the sample.
        work: an existing folder.
    """
    machine, limit = describe(), limits(work)
    folder = work / f"{name}-{scale:g}"
    data, home = folder / "data", folder / "home"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    simulate = ["simulate", "--like", name, "--scale", str(scale), "--quiet", str(data)]
    subprocess.run([BIN / "batch", *simulate], check=True, env=environment())
    options = ["--data", str(data), "--home", str(home)]
    try:
        night = measured([str(BIN / "batch"), "run", *options], folder / "log")
        artifact = max((home / "artifacts").glob("*/manifest.json")).parent
        with connect(ensure_server(home)) as client:
            stored = client.info("memory")["used_memory"]
        add_ratings(data / "ratings.csv")
        refresh = measured([str(BIN / "batch"), "refresh", *options], folder / "log")
    finally:
        subprocess.run([BIN / "batch", "store", "stop", "--home", str(home)], check=True)
    manifest = json.loads((artifact / "manifest.json").read_text("utf-8"))
    result = {
        "scale": scale,
        "machine": machine,
        **{kind: manifest["data"][kind] for kind in ("users", "movies", "ratings")},
        **night,
        "refresh": refresh,
        "artifact_bytes": size_of(artifact),
        "store_bytes": stored,
        "limits": limit._asdict(),
        "least": least(works(artifact), limit, cores=machine["cores"]),
        "metrics": {
            part: {figure: manifest["metrics"][part][figure] for figure in figures}
            for part, figures in METRICS.items()
        },
    }
    shutil.rmtree(folder)
    return result


def least(works: dict[str, Work], limit: Work, *, cores: int) -> dict[str, float]:
    """Return the seconds that the machine needs for the work of each stage."""
    return {
        stage: seconds_of(work, limit, cores=cores, is_scoring=stage.startswith(SCORING))
        for stage, work in works.items()
    }


def add_ratings(file: Path) -> None:
    """Add new ratings of one user in a hundred, of movies that the user has not rated."""
    rng, ratings = np.random.default_rng(SEED), pd.read_csv(file)
    users = ratings["userId"].unique()
    chosen = rng.choice(users, max(1, len(users) // ONE_USER_IN), replace=False)
    own = ratings[ratings["userId"].isin(chosen)].groupby("userId")["movieId"]
    movies, newest = ratings["movieId"].to_numpy(), int(ratings["timestamp"].max())
    with file.open("a", encoding="utf-8") as stream:
        for user, rated in own:
            drawn = np.setdiff1d(rng.choice(movies, 50 * NEW_RATINGS), rated)
            for movie in rng.permutation(drawn)[:NEW_RATINGS].tolist():
                stream.write(f"{user},{movie},{rng.integers(1, 11) / 2},{newest + 1}\n")


def main() -> None:
    """Measure, record each run as JSON, and print a table."""
    begin_anew_without_slowing()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--like", choices=SHAPES, default="ml-32m")
    parser.add_argument("--scale", type=float, nargs="+", default=[0.1])
    parser.add_argument("--work", type=Path, help="folder for what is deleted again")
    arguments = parser.parse_args()
    runs = json.loads(RESULT.read_text("utf-8"))["runs"] if RESULT.exists() else []
    for scale in arguments.scale:
        with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
            one = {"like": arguments.like, **run(arguments.like, scale, Path(folder))}
        same = [(each["like"], each["scale"]) == (arguments.like, scale) for each in runs]
        runs = [each for each, is_same in zip(runs, same, strict=True) if not is_same]
        runs = sorted([*runs, one], key=lambda each: each["ratings"])
        RESULT.write_text(json.dumps({"figure": "scale", "runs": runs}, indent=1) + "\n", "utf-8")
        print_run(one)


def print_run(run: dict[str, object]) -> None:
    """Print the totals of a run, and each stage with its least time and the multiple of it."""
    for name, part in (("run", run), ("refresh", run["refresh"])):
        print(
            f"{name}, {run['ratings']:,} ratings: {part['seconds']:,.1f} s, "
            f"{part['processor_seconds']:,.1f} of processors, {part['peak_bytes'] / 1e9:.2f} GB"
        )
    for stage, seconds in run["stages"].items():
        needed = run["least"].get(stage)
        multiple = "" if needed is None else f"{needed:10.2f}{seconds / needed:8.1f}"
        print(f"  {stage:32}{seconds:10.1f}{multiple}")


if __name__ == "__main__":
    main()
