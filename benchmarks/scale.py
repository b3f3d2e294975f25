"""What a night costs at the size of a large data set, told from parts of it.

For each scale: simulates as many of the shape's users (`batch simulate`), runs a whole night of the
preset `default` on them as a process of its own, with a home and an embedded store of its own, and
keeps the seconds of each stage, the peak of its memory, and the sizes of what it wrote.

Every part is trained as the whole is: in as many epochs and steps, with as wide a window (a file of
parameters says so; it stands in the result). So each stage's seconds are a constant, for the
catalogue, and a part that grows with the users, and a line through the parts tells the whole. The
night of the target itself is not part of the lines: it is what they are held against.

Every night is kept as soon as it is over, beside those of other scales that were run before, so
that hours can be spent one night at a time.

usage: scale.py [--like ml-32m] [--scale 0.05 0.1] [--target 1] [--work FOLDER]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from machine import describe, environment

from reco_batch.plans import tower_plan, trained_members
from reco_batch.presets import PRESETS
from reco_batch.sessions import affordable_window
from reco_batch.simulation import SHAPES, Shape
from reco_store import connect
from reco_store.embedded import ensure_server

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
#: A finished stage, as the job prints it: time, name, seconds.
STAGE = re.compile(r"^\S+Z (?!note: |warning: )(?P<name>\S.*?) +(?P<seconds>\d+\.\d) s(?:  |$)")
METRICS = {
    "retrieval": ("ndcg@10", "recall@100"),
    "popularity": ("ndcg@10", "recall@100"),
    "rating": ("rmse",),
    "means": ("rmse",),
}


def parameters_of(whole: Shape, scale: float) -> dict[str, object]:
    """Return a file of parameters by which a part is trained as the whole would be.

    Args:
        whole: the shape that is asked about.
        scale: of the part; the whole is trained as anybody's data of its size.
    """
    if scale >= 1:
        return {"preset": "default"}
    retrieval, rating = PRESETS["default"].retrieval, PRESETS["default"].rating
    plan = tower_plan(retrieval.tower, user_count=whole.users)
    trained = trained_members(rating, rating_count=whole.ratings) > 0
    window = affordable_window(retrieval.neighbours.window, whole.ratings)
    return {
        "preset": "default",
        "retrieval": {
            "tower.epochs": plan.epochs,
            "tower.batch_users": max(1, round(plan.batch * scale)),
            "neighbours.window": window,
            "recency_users": max(1, round(retrieval.recency_users * scale)),
        },
        "rating": {"window": window, **({} if trained else {"most_steps": 1})},
    }


def run(name: str, scale: float, work: Path) -> dict[str, object]:
    """Simulate a part, and run a night on it; what is written is deleted again."""
    folder = work / f"{name}-{scale:g}"
    data, home = folder / "data", folder / "home"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    said = folder / "parameters.json"
    said.write_text(json.dumps(parameters_of(SHAPES[name], scale)), "utf-8")
    simulate = ["simulate", "--like", name, "--scale", str(scale), "--quiet", str(data)]
    subprocess.run([BIN / "batch", *simulate], check=True, env=environment())
    command = ["run", "--data", str(data), "--home", str(home), "--parameters", str(said)]
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
        "parameters": json.loads(said.read_text("utf-8")),
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


def measured(command: Sequence[str], log: Path) -> dict[str, object]:
    """Run a night; return its seconds, those of its processors, its peak memory and its stages.

    Raises:
        RuntimeError: it failed; the end of what it said is in the message.
    """
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, env=environment(), cwd=log.parent, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text("utf-8").replace(f"{log.parent}/", "").splitlines()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {lines[-5:]}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_bytes": usage.ru_maxrss * 1024,
        "stages": stages_of(lines),
        "log": lines,
    }


def stages_of(lines: Sequence[str]) -> dict[str, float]:
    """Return the seconds of each stage that a night has said it finished."""
    found = (STAGE.match(line) for line in lines)
    return {match["name"]: float(match["seconds"]) for match in found if match}


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def figures_of(night: Mapping[str, object]) -> dict[str, float]:
    """Return what is extrapolated of a night, by name."""
    whole = ("seconds", "peak_bytes", "ratings_bytes", "artifact_bytes", "store_bytes")
    return {**night["stages"], **{name: night[name] for name in whole}}


def lines_of(nights: Sequence[Mapping[str, object]]) -> dict[str, tuple[float, float]]:
    """Return each figure's line over the scales: its value at none, and what a whole adds.

    Through two nights a line is exact; through more it is that of least squares. A stage that one
    of them did not have has no line.
    """
    scales = [night["scale"] for night in nights]
    figures = [figures_of(night) for night in nights]
    found = {}
    for name in figures[0]:
        if not all(name in each for each in figures):
            continue
        slope, start = np.polyfit(scales, [each[name] for each in figures], 1)
        found[name] = (float(start), float(slope))
    return found


def extrapolated(
    lines: Mapping[str, tuple[float, float]], night: Mapping[str, object] | None, *, scale: float
) -> dict[str, dict[str, float]]:
    """Return what the lines say of a scale, beside what a night of it was.

    Args:
        lines: from `lines_of`.
        night: of that scale; None if there is none.
        scale: to look at.

    Returns:
        For each figure `expected`, and with a night `measured` and `deviation`, the share by which
        it was more; no deviation from a line that falls to nothing.
    """
    found = {name: {"expected": start + slope * scale} for name, (start, slope) in lines.items()}
    if night is not None:
        measured = figures_of(night)
        for name in found.keys() & measured.keys():
            value, expected = measured[name], found[name]["expected"]
            found[name]["measured"] = value
            if expected > 0:
                found[name]["deviation"] = value / expected - 1
    return found


def kept(path: Path, like: str) -> list[dict[str, object]]:
    """Return the nights of a shape that were run before."""
    if not path.exists():
        return []
    before = json.loads(path.read_text("utf-8"))
    return before["nights"] if before["like"] == like else []


def told(like: str, target: float, nights: Sequence[dict[str, object]]) -> dict[str, object]:
    """Return the result: all nights, and what the smaller ones say of the target."""
    parts = [night for night in nights if night["scale"] < target]
    whole = next((night for night in nights if night["scale"] == target), None)
    lines = lines_of(parts) if len(parts) > 1 else {}
    return {
        "figure": "scale",
        "like": like,
        "target": target,
        "nights": nights,
        "extrapolated": extrapolated(lines, whole, scale=target),
    }


def main() -> None:
    """Measure, keep each night's figures as JSON, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--like", choices=SHAPES, default="ml-32m")
    parser.add_argument("--scale", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--target", type=float, default=1.0, help="the scale to tell")
    parser.add_argument("--work", type=Path, help="folder for what is deleted again")
    arguments = parser.parse_args()
    path = HERE / "results" / "scale.json"
    path.parent.mkdir(exist_ok=True)
    for scale in arguments.scale:
        machine = describe()
        with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
            night = {"machine": machine, **run(arguments.like, scale, Path(folder))}
        others = [n for n in kept(path, arguments.like) if n["scale"] != scale]
        nights = sorted([*others, night], key=lambda night: night["scale"])
        result = told(arguments.like, arguments.target, nights)
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for name, row in result["extrapolated"].items():
        said = "".join(f"{figure_of(name, night):>12}" for night in nights)
        print(f"{name:32}{said}{' '.join(f'{v:14,.2f}' for v in row.values())}")


def figure_of(name: str, night: Mapping[str, object]) -> str:
    """Return a figure of a night in words; a stage that was not there is a dash."""
    value = figures_of(night).get(name)
    return "-" if value is None else f"{value:,.1f}"


if __name__ == "__main__":
    main()
