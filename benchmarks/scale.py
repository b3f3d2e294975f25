"""Cost of a run at the size of a large data set, extrapolated from samples.

For each scale: simulates as many of the shape's users (`batch simulate`), runs the preset `default`
on them as a process with its own home and embedded store, and records the seconds of each stage,
the peak memory, and the sizes of the files.

Every sample is trained as the whole: in as many epochs and steps, with as wide a window, by a file
of parameters that is part of the result. So the seconds of each stage are a constant for the
catalogue and a part that grows with the users, and a line through the samples predicts the whole.
The run of the target is not part of the lines: the prediction is compared with it.

Two models train side by side, so the time of a stage depends on the concurrent one, which differs
between scales. With `--stages` each stage has the machine to itself (`--trainings 1`), and the
towers have one epoch in the whole as in the samples. These runs are kept separately: they measure
each stage's seconds, and no quality.

Every run is recorded as soon as it ends, in addition to earlier ones of other scales, and with
`--more` of the same scale, so that hours can be spent one run at a time.

usage: scale.py [--like ml-32m] [--scale 0.05 0.1] [--target 1] [--stages] [--rounds 1] [--more]
                [--work FOLDER]
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from extrapolation import by_scale, extrapolate
from machine import describe, environment
from runs import BIN, measured

from reco_batch.models.rating.ensemble import planned_epochs
from reco_batch.models.retrieval.cooccurrence import affordable_window
from reco_batch.models.retrieval.history_encoder import encoder_plan
from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.simulate.simulation import SHAPES, Shape
from reco_store import connect
from reco_store.connection.embedded.server import ensure_server

HERE = Path(__file__).parent
METRICS = {
    "retrieval": ("ndcg@10", "recall@100"),
    "popularity": ("ndcg@10", "recall@100"),
    "rating": ("rmse",),
    "means": ("rmse",),
}


def parameters_of(whole: Shape, scale: float, *, epochs: int | None = None) -> dict[str, object]:
    """Return a file of parameters that trains a sample as the whole would be.

    Args:
        whole: the extrapolated shape.
        scale: of the sample; the whole is trained with the defaults for its size.
        epochs: of the towers, in the whole, too; None: the number that the whole's users lead to.
    """
    if scale >= 1 and epochs is None:
        return {"preset": "default"}
    retrieval, rating = PRESETS["default"].retrieval, PRESETS["default"].rating
    plan = encoder_plan(retrieval.tower, user_count=whole.users, movie_count=whole.movies)
    batch = max(1, round(plan.batch * scale))
    steps = (epochs or plan.epochs) * -(-whole.scaled(scale).users // batch)
    window = affordable_window(retrieval.neighbours.window, whole.ratings)
    return {
        "preset": "default",
        "retrieval": {
            "tower.steps": steps,
            "tower.batch_users": batch,
            "neighbours.window": window,
            "neighbours.most_products": round(retrieval.neighbours.most_products * scale),
            "choosing_ratings": round(retrieval.choosing_ratings * scale),
        },
        "rating": {
            "window": window,
            "epochs": planned_epochs(rating, rating_count=whole.ratings),
        },
    }


def run(name: str, scale: float, work: Path, *, stages: bool = False) -> dict[str, object]:
    """Simulate a sample, and run on it; its files are deleted again.

    Args:
        name: of the shape.
        scale: of the sample.
        work: an existing folder.
        stages: give each stage the machine to itself.
    """
    folder = work / f"{name}-{scale:g}"
    data, home = folder / "data", folder / "home"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "parameters.json"
    parameters = parameters_of(SHAPES[name], scale, epochs=1 if stages else None)
    file.write_text(json.dumps(parameters), "utf-8")
    simulate = ["simulate", "--like", name, "--scale", str(scale), "--quiet", str(data)]
    subprocess.run([BIN / "batch", *simulate], check=True, env=environment())
    command = ["run", "--data", str(data), "--home", str(home), "--parameters", str(file)]
    command += ["--trainings", "1"] if stages else []
    try:
        night = measured([str(BIN / "batch"), *command], folder / "log")
        with connect(ensure_server(home)) as client:
            stored = client.info("memory")["used_memory"]
    finally:
        subprocess.run([BIN / "batch", "store", "stop", "--home", str(home)], check=True)
    manifest = max((home / "artifacts").glob("*/manifest.json"))
    content = json.loads(manifest.read_text("utf-8"))
    result = {
        "scale": scale,
        "users": content["data"]["users"],
        "ratings": content["data"]["ratings"],
        "parameters": parameters,
        **night,
        "ratings_bytes": size_of(data),
        "artifact_bytes": size_of(manifest.parent),
        "store_bytes": stored,
        "by_size": content["metrics"]["chosen"]["by_size"],
        "metrics": {
            part: {figure: content["metrics"][part][figure] for figure in figures}
            for part, figures in METRICS.items()
        },
    }
    shutil.rmtree(folder)
    return result


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def kept(path: Path, like: str) -> list[dict[str, object]]:
    """Return the recorded runs of a shape."""
    if not path.exists():
        return []
    before = json.loads(path.read_text("utf-8"))
    return before["nights"] if before["like"] == like else []


def result_of(
    figure: str, like: str, nights: Sequence[dict[str, object]], *, target: float
) -> dict[str, object]:
    """Return the result: all runs, and the extrapolation from the smaller ones to the target."""
    return {
        "figure": figure,
        "like": like,
        "target": target,
        "nights": nights,
        "extrapolated": extrapolate(nights, target=target),
    }


def main() -> None:
    """Measure, record each run as JSON, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--like", choices=SHAPES, default="ml-32m")
    parser.add_argument("--scale", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--target", type=float, default=1.0, help="the extrapolated scale")
    parser.add_argument("--stages", action="store_true", help="a stage at a time")
    parser.add_argument("--rounds", type=int, default=1, help="nights of each scale")
    parser.add_argument("--more", action="store_true", help="add to the recorded runs of the scale")
    parser.add_argument("--work", type=Path, help="folder for what is deleted again")
    arguments = parser.parse_args()
    figure = "stages" if arguments.stages else "scale"
    path = HERE / "results" / f"{figure}.json"
    path.parent.mkdir(exist_ok=True)
    nights = kept(path, arguments.like)
    for number, scale in product(range(arguments.rounds), arguments.scale):
        machine = describe()
        with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
            night = run(arguments.like, scale, Path(folder), stages=arguments.stages)
        others = [n for n in nights if arguments.more or number or n["scale"] != scale]
        nights = sorted([*others, {"machine": machine, **night}], key=lambda night: night["scale"])
        result = result_of(figure, arguments.like, nights, target=arguments.target)
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print_table(result)


def print_table(result: Mapping[str, object]) -> None:
    """Print the means of each sample, and expectation and measurement of the target."""
    figures = by_scale(result["nights"])
    parts = {scale: figures[scale] for scale in figures if scale < result["target"]}
    head = [*(f"{scale:g}" for scale in parts), "expected", "measured", "deviation"]
    print(f"{'':32}{''.join(f'{name:>18}' for name in head)}")
    for name, row in result["extrapolated"].items():
        values = [*(each.get(name) for each in parts.values()), *map(row.get, head[-3:])]
        print(f"{name:32}{''.join(f'{_formatted(value):>18}' for value in values)}")


def _formatted(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


if __name__ == "__main__":
    main()
