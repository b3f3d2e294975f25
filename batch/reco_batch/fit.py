"""Training: both models on the training part, measured on the test part, then on everything.

The trainings do not depend on each other, so two run at a time, the longest first. What is to be
published is handed on as soon as it is trained, while the other lane still trains. A resumed night
trains only what something still has to be computed from.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
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
    fits = _Fits(dataset, split, seed, night, checkpoint_seconds, reporter)
    jobs: list[Callable[[], object]] = [
        lambda: fits.measure(rating, publish=not refit),
        lambda: fits.measure(retrieval, publish=not refit),
    ]
    if refit:
        jobs.insert(0, lambda: fits.refit(rating))
        jobs.insert(2, lambda: fits.refit(retrieval))
    _run_side_by_side(jobs, reporter)
    return fits.metrics


@dataclass
class _Fits:
    """The trainings of a night, each done once, and only if something asks for its model."""

    dataset: Dataset
    split: Split
    seed: int
    night: UnfinishedNight
    checkpoint_seconds: float
    reporter: Reporter
    metrics: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def measure(self, kind: _Kind, *, publish: bool) -> None:
        """Train on the training part, keep the metrics, and publish the model if it is the one."""
        name = f"train {kind.name}"
        model = self._trained(kind, self.split.train, name)
        self.metrics[kind.name] = self.night.value(
            f"measure {kind.name}", lambda: kind.measure(model())
        )
        if publish:
            kind.publish(model)
        self.night.forget(name)

    def refit(self, kind: _Kind) -> None:
        """Train on all ratings, and publish the model."""
        name = f"refit {kind.name}"
        rows = np.random.default_rng(self.seed).permutation(len(self.dataset.ratings))
        kind.publish(self._trained(kind, rows, name))
        self.night.forget(name)

    def _trained(self, kind: _Kind, rows: NDArray[np.int64], name: str) -> Callable[[], Any]:
        """Return a function that trains when it is first called, and gives the model."""

        def train() -> Any:  # noqa: ANN401  # whatever model the kind has
            with self.reporter.stage(name, total=kind.parameters.epochs) as stage:
                return kind.train(
                    self.dataset.ratings.take(rows),
                    user_ids=self.dataset.user_ids,
                    movie_ids=self.dataset.movies.ids,
                    parameters=kind.parameters,
                    seed=self.seed,
                    stage=stage,
                    checkpoints=Checkpoints(
                        self.night.checkpoints(name),
                        training=name,
                        every_seconds=self.checkpoint_seconds,
                        say=self.reporter.say,
                    ),
                )

        return cache(train)


def _run_side_by_side(jobs: Iterable[Callable[[], object]], reporter: Reporter) -> None:
    """Run the jobs in the lanes, in this order; the first failure ends them all."""
    pool = ThreadPoolExecutor(LANES)
    try:
        done, _ = wait([pool.submit(job) for job in jobs], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BaseException:
        reporter.cancel()  # else the other lane would train on for what nobody wants any more
        raise
    finally:
        pool.shutdown(cancel_futures=True)
