"""RMSE of the rating model of a refit: continued from the measured model, or trained from scratch.

The measured model has the training part of the random split. The other one has the validation part
as well, and is measured on the test part after several numbers of epochs.

usage: continued.py [--data DIR|demo] [--rating-scale LOW:HIGH]
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
from machine import describe

from reco_batch.data.split import SplitBy, split_ratings
from reco_batch.evaluation.evaluate import rmse
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.models.rating.ensemble import train_ensemble
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import QuietReporter
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.settings.hyperparameters import EnsembleParameters

HERE = Path(__file__).parent
SEED = 42
EPOCHS = (2, 4, 8, 16, 40)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--rating-scale", default="0.5:5")
    arguments = parser.parse_args()
    low, high = map(float, arguments.rating_scale.split(":"))
    with tempfile.TemporaryDirectory() as cache, QuietReporter().stage("") as stage:
        source = load(arguments.data, cache=Path(cache), encoding="utf-8", stage=stage)
        dataset = build_dataset(source.tables, rating_scale=(low, high), source=source.origin)
        parts = split_ratings(dataset.ratings, by=SplitBy.RANDOM, seed=SEED)

        def train(rows: np.ndarray, epochs: int, **checkpoints: Checkpoints) -> LinearRating:
            return train_ensemble(
                lambda: dataset.ratings.take(rows),
                movies=dataset.movies,
                user_count=len(dataset.user_ids),
                scale=dataset.rating_scale,
                parameters=EnsembleParameters(epochs=epochs),
                seed=SEED,
                stage=stage,
                **checkpoints,
            )

        def start() -> Checkpoints:
            """Return the checkpoints of a training that continues the measured one."""
            return Checkpoints(
                Path(cache) / "refit", training="refit", every_seconds=math.inf, show=print
            )

        measured = train(parts.train, EPOCHS[-1], successor=start())
        both = np.concatenate([parts.train, parts.validation])
        table = {"from scratch": [], "continued": []}
        for name, found in table.items():
            for epochs in EPOCHS:
                own = {"checkpoints": start()} if name == "continued" else {}
                held_out = dataset.ratings.take(parts.test)
                found.append(float(rmse(train(both, epochs, **own), held_out)))
                print(f"{name}, {epochs} epochs: RMSE {found[-1]:.4f}")
    name = Path(arguments.data).name
    result = {"data": name, "machine": describe(), "epochs": EPOCHS, "table": table}
    result["measured"] = float(rmse(measured, dataset.ratings.take(parts.test)))
    path = HERE / "results" / f"continued-{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
