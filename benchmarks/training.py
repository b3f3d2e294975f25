"""Time of a training step by operation, and its distance from the machine's limits.

Each training of both presets runs alone in a process, with as many threads as in a run: as it is,
compiled by XLA where possible, and under TensorFlow's profiler. The limits are measured in the same
process: the step's matrix products alone, and the bytes that the optimizer reads and writes at the
speed of copying memory.

usage: training.py [--data DIR|demo] [--tensorboard DIR]    DIR: folder for the profiles
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from machine import describe, environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reco_batch.models.training.tensorflow_runtime import tf

    Model = tf.keras.Model
    Dataset = tf.data.Dataset

HERE = Path(__file__).parent
SEED = 42
NAMES = ("default retrieval", "notebook retrieval", "notebook rating")
XLA = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"
#: Adam reads a weight, its gradient and two moments, and writes all but the gradient: float32.
ADAM_BYTES = 4 * 7
PROFILED_EPOCHS = 2
OPERATIONS = 6
Product = tuple[int, int, int]


class Epochs:
    """A stage that records the end of each epoch."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def advance(self, steps: int) -> None:
        """Record the time, once an epoch."""
        if steps:
            self.ends.append(time.perf_counter())

    def note(self, text: str) -> None:
        """Ignore the text."""

    def record_loss(self, epoch: int, loss: float) -> None:
        """Ignore the loss."""


def watch() -> list[dict[str, Any]]:
    """Return model, steps and step shapes of each training, once it has begun."""
    from reco_batch.models.training.tensorflow_runtime import tf  # noqa: PLC0415  # starts with the caller's flags

    seen: list[dict[str, Any]] = []
    fit = tf.keras.Model.fit

    def watched(model: Model, data: Dataset, **options: object) -> object:
        shapes = {name: spec.shape for name, spec in data.element_spec.items()}
        seen.append({"model": model, "shapes": shapes, **options})
        return fit(model, data, **options)

    tf.keras.Model.fit = watched
    return seen


def train(name: str, data: str, *, epochs: int | None) -> dict[str, Any]:
    """Run one training, and return its milliseconds per step and its limits."""
    from reco_batch.ingest.sources import load  # noqa: PLC0415
    from reco_batch.ingest.validate import build_dataset  # noqa: PLC0415
    from reco_batch.models.registry import (  # noqa: PLC0415
        Training,
        train_rating_of,
        train_retrieval_of,
    )
    from reco_batch.progress.reporter import QuietReporter  # noqa: PLC0415
    from reco_batch.settings.hyperparameters import PRESETS  # noqa: PLC0415

    seen, stage = watch(), Epochs()
    with tempfile.TemporaryDirectory() as cache, QuietReporter().stage("") as quiet:
        source = load(data, cache=Path(cache), encoding="utf-8", stage=quiet)
    dataset = build_dataset(source.tables, rating_scale=(0.5, 5.0), source=source.origin)
    asked = Training(dataset, lambda: dataset.ratings, SEED, stage)
    preset, kind = name.split()
    parameters = getattr(PRESETS[preset], kind)
    if epochs is not None and name == "default retrieval":
        parameters = replace(parameters, tower=replace(parameters.tower, epochs=epochs))
    elif epochs is not None:
        parameters = replace(parameters, epochs=epochs)
    {"retrieval": train_retrieval_of, "rating": train_rating_of}[kind](parameters, asked)
    (found,) = seen
    steps = found["steps_per_epoch"]
    taken = np.diff(stage.ends) / steps
    return {
        "steps": steps * found["epochs"],
        "step_ms": 1e3 * statistics.median(taken.tolist()),
        **limits(name, found["model"], found["shapes"], users=len(dataset.user_ids)),
    }


def limits(name: str, model: Model, shapes: Mapping[str, Any], *, users: int) -> dict[str, float]:
    """Return the milliseconds of the products alone, and of the optimizer's bytes alone."""
    weights = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    moved = weights * ADAM_BYTES if name.startswith("default") else 0  # Adagrad's rows are few
    return {
        "weights": weights,
        "products_ms": 1e3 * seconds_of(products_of(name, model, shapes, users=users)),
        "optimizer_ms": 1e3 * moved / copied_bytes_a_second(),
    }


def products_of(
    name: str, model: Model, shapes: Mapping[str, Any], *, users: int
) -> Sequence[Product]:
    """Return rows, depth and columns of the step's products, without those of their gradients."""
    if name == "default retrieval":
        batch = min(users, model.parameters.batch_users)
        movies, width = model.movies.shape
        content = movies, model.movie_content.shape[0], width
        return [(batch, width, movies), content, content]
    different = shapes["users"][0], shapes["movies"][0]
    if name == "notebook retrieval":
        return [(different[0], model.user_tower.table().shape[1], different[1])]
    (joined, first), second = model.first.kernel.shape, model.second.kernel.shape[1]
    pairs = shapes["user_slot"][0]
    return [*((rows, joined // 2, first) for rows in different), (pairs, first, second)]


def seconds_of(products: Sequence[Product]) -> float:
    """Return the time of products and of the two of each one's gradients."""
    from reco_batch.models.training.tensorflow_runtime import tf  # noqa: PLC0415

    total = 0.0
    for rows, depth, columns in products:
        for m, k, n in ((rows, depth, columns), (rows, columns, depth), (depth, rows, columns)):
            left, right = tf.random.normal([m, k]), tf.random.normal([k, n])
            taken = []
            for _ in range(9):
                began = time.perf_counter()
                tf.matmul(left, right)  # on a processor the work is done when the call returns
                taken.append(time.perf_counter() - began)
            total += statistics.median(taken)
    return total


def copied_bytes_a_second() -> float:
    """Return the bytes per second that one thread reads and writes."""
    source = np.ones(50_000_000, np.float32)
    target = np.empty_like(source)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        taken.append(time.perf_counter() - began)
    return 2 * source.nbytes / statistics.median(taken)


def profiled(name: str, data: str, folder: Path) -> dict[str, float]:
    """Return the share of each kind of operation in a training."""
    from reco_batch.models.training.tensorflow_runtime import tf  # noqa: PLC0415

    tf.profiler.experimental.start(str(folder))
    train(name, data, epochs=PROFILED_EPOCHS)
    tf.profiler.experimental.stop()
    return shares(max(folder.rglob("*.xplane.pb")))


def shares(path: Path) -> dict[str, float]:
    """Read a profile: the time of each kind of operation, without those that call others."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2  # noqa: PLC0415

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    taken: Counter[str] = Counter()
    for plane in space.planes:
        names = {number: about.name for number, about in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                if match := re.fullmatch(r"[^:]+:(\w+)", names[event.metadata_id]):
                    taken[match[1]] += event.duration_ps
    total = sum(taken.values())
    return {kind: time / total for kind, time in taken.most_common(OPERATIONS)}


def in_a_process(*words: str, xla: bool = False) -> dict[str, Any]:
    """Run this script for one training."""
    flags = {"TF_XLA_FLAGS": XLA} if xla else {}
    ended = subprocess.run(
        [sys.executable, __file__, *words],
        env=environment() | flags,
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(ended.stdout)


def with_xla(*words: str) -> float | None:
    """Return the milliseconds of a step that XLA has compiled; None if it cannot."""
    try:
        return float(in_a_process(*words, xla=True)["step_ms"])
    except subprocess.CalledProcessError:
        return None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--tensorboard", type=Path)
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder = arguments.tensorboard
        result = profiled(arguments.one, arguments.data, folder) if folder else None
        print(json.dumps(result or train(arguments.one, arguments.data, epochs=None)))
        return
    result = {"figure": "training", "data": Path(arguments.data).name, "machine": describe()}
    result["trainings"] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in NAMES:
            one = "--one", name, "--data", arguments.data
            folder = (arguments.tensorboard or Path(temporary)) / name.replace(" ", "-")
            result["trainings"][name] = {
                **in_a_process(*one),
                "xla_step_ms": with_xla(*one),
                "operations": in_a_process(*one, "--tensorboard", str(folder)),
            }
            print(name, json.dumps(result["trainings"][name]), flush=True)
    path = HERE / "results" / "training.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
