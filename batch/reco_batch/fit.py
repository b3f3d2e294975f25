"""Training: both models on the training part, measured on the test part, then on everything.

The trainings do not depend on each other, so two run at a time, the longest first. What is to be
published is handed on as soon as it is trained, while the other lane still trains. A resumed night
trains only what something still has to be computed from.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch._tensorflow import LANES
from reco_batch.checkpoints import Checkpoints
from reco_batch.dataset import Dataset
from reco_batch.evaluate import rmse, top_k_accuracy
from reco_batch.presets import Preset
from reco_batch.progress import Reporter
from reco_batch.rating import RatingModel, train_rating
from reco_batch.resume import UnfinishedNight
from reco_batch.retrieval import RetrievalModel, train_retrieval
from reco_batch.split import Split


class _Kind(NamedTuple):
    """One of the two models: how it is trained, measured and published."""

    name: str
    train: Callable[..., Any]
    parameters: Any
    measure: Callable[[Any], Mapping[str, float]]
    publish: Callable[[Callable[[], Any]], None]


def fit_models(
    dataset: Dataset,
    split: Split,
    parameters: Preset,
    *,
    refit: bool,
    seed: int,
    publish_retrieval: Callable[[Callable[[], RetrievalModel]], None],
    publish_rating: Callable[[Callable[[], RatingModel]], None],
    night: UnfinishedNight,
    checkpoint_seconds: float,
    reporter: Reporter,
) -> Mapping[str, Mapping[str, float]]:
    """Train, measure and, if wanted, train again on all ratings.

    Args:
        dataset: the whole input.
        split: its parts.
        parameters: of both models.
        refit: publish models that saw every rating; the measured ones saw the training part.
        seed: of all initial weights, and of the order of the second training.
        publish_retrieval: called once, in a thread, with a function that gives the retrieval model
            to publish; what never calls it saves its training.
        publish_rating: the same with the rating model; the two may run side by side.
        night: keeps the metrics, and says where checkpoints are.
        checkpoint_seconds: least time between two checkpoints of a training.
        reporter: shows a stage for each training.

    Returns:
        The metrics of the models trained without the test part.
    """
    everything = np.random.default_rng(seed).permutation(len(dataset.ratings))
    test = dataset.ratings.take(split.test)
    retrieval = _Kind(
        "retrieval",
        train_retrieval,
        parameters.retrieval,
        lambda model: top_k_accuracy(model.embeddings(), test),
        publish_retrieval,
    )
    rating = _Kind(
        "rating",
        train_rating,
        parameters.rating,
        lambda model: rmse(model.split_weights(), test),
        publish_rating,
    )

    def trained(kind: _Kind, rows: NDArray[np.int64], name: str) -> Callable[[], Any]:
        def train() -> Any:  # noqa: ANN401  # whatever model the kind has
            with reporter.stage(name, total=kind.parameters.epochs) as stage:
                return kind.train(
                    dataset.ratings.take(rows),
                    user_ids=dataset.user_ids,
                    movie_ids=dataset.movies.ids,
                    parameters=kind.parameters,
                    seed=seed,
                    stage=stage,
                    checkpoints=Checkpoints(
                        night.checkpoints(name),
                        training=name,
                        every_seconds=checkpoint_seconds,
                        say=reporter.say,
                    ),
                )

        return cache(train)

    def measured(kind: _Kind) -> Mapping[str, float]:
        name = f"train {kind.name}"
        model = trained(kind, split.train, name)
        metrics = night.value(f"measure {kind.name}", lambda: kind.measure(model()))
        if not refit:
            kind.publish(model)
        night.forget(name)
        return metrics

    def refitted(kind: _Kind) -> None:
        name = f"refit {kind.name}"
        kind.publish(trained(kind, everything, name))
        night.forget(name)

    with ThreadPoolExecutor(LANES) as pool:
        jobs = []
        if refit:
            jobs.append(pool.submit(refitted, rating))
        of_rating = pool.submit(measured, rating)
        if refit:
            jobs.append(pool.submit(refitted, retrieval))
        of_retrieval = pool.submit(measured, retrieval)
        for job in jobs:
            job.result()
        return {"retrieval": of_retrieval.result(), "rating": of_rating.result()}
