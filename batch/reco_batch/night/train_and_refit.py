"""Training: both models without the test part, measured on it, then on everything.

The trainings do not depend on each other, so two run at a time, in two lanes, unless the night was
told otherwise. What is to be published is handed on as soon as it is trained, while the other lane
still trains. A resumed night trains only what something still has to be computed from. Where
retrieval proposes what ranked lists are made of, both lanes ask for its models, and whichever comes
first trains them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.unfinished import UnfinishedNight
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.data.split import Split
from reco_batch.evaluation.evaluate import Evaluation, Keep
from reco_batch.models.budgets import budgets, decided
from reco_batch.models.rating.mlp import RatingModel
from reco_batch.models.registry import (
    Training,
    rating_epochs,
    recency_of,
    retrieval_epochs,
    train_rating_of,
    train_retrieval_of,
)
from reco_batch.models.retrieval.two_tower import Retrieval
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.night.once import Once
from reco_batch.progress.reporter import Reporter
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.settings.hyperparameters import HistoryParameters, Preset
from reco_batch.settings.run_config import RunConfig

#: The steps of a kind: without the test part, to be measured, and on everything.
TRAIN: Final = "train"
REFIT: Final = "refit"

Metrics = Mapping[str, Any]
"""Parts of the manifest's metrics."""


class _Kind(NamedTuple):
    """One of the two models: how it is trained, measured and published."""

    name: str
    train: Callable[[Training], Any]
    epochs: int
    measure: Callable[[Any, Retrieval | None], Metrics]
    publish: Callable[[Callable[[], Any], Callable[[], Retrieval | None]], None]
    """Given the model, and the retrieval model beside it."""
    two_stage: bool
    """Whether its lists are made of what the retrieval model of the same step proposes."""
    per_user: Sequence[Path]
    """Files of each user's metrics, which measuring writes if ratings were held out."""


def fit_models(
    dataset: Dataset,
    split: Split,
    config: RunConfig,
    *,
    publish_retrieval: Callable[[Callable[[], Retrieval]], None],
    publish_rating: Callable[
        [Callable[[], RatingModel | LinearRating], Callable[[], Retrieval | None]], None
    ],
    writer: ArtifactWriter,
    night: UnfinishedNight,
    reporter: Reporter,
) -> Metrics:
    """Choose, train, measure and, if wanted, train again on all ratings.

    Args:
        dataset: the whole input.
        split: its parts.
        config: with the parameters of both models, and whether they are trained again: then what
            is published saw every rating, and what is measured did not see the test part.
        publish_retrieval: called once, in a thread, with a function that gives the retrieval model
            to publish; what never calls it saves its training.
        publish_rating: the same with the rating model, if there are stars to learn it from, and a
            function that gives the retrieval model that proposes candidates, or None; the two may
            run side by side.
        writer: takes the metrics of each user.
        night: keeps the metrics, and says where checkpoints are.
        reporter: shows a stage for each training.

    Returns:
        The metrics of the models trained without the test part, and what was chosen before.
    """
    parameters = config.parameters
    chosen = night.value(
        "choose how newer ratings count", lambda: _chosen(dataset, split, config, reporter)
    )
    fitted = fitted_rows(split, parameters, seed=config.seed)
    by_size, evaluation = _of_fitted(
        dataset,
        dataset.ratings.take(fitted),
        split,
        config,
        keep=lambda group, columns: writer.write_metrics(group, dataset.user_ids, columns),
    )
    for sentence in by_size["budgets"]:
        reporter.info(f"note: {sentence}")
    retrieval = _Kind(
        "retrieval",
        lambda training: train_retrieval_of(parameters.retrieval, training),
        retrieval_epochs(parameters.retrieval, user_count=len(dataset.user_ids)),
        lambda model, _: evaluation.of_retrieval(model),
        lambda model, _: publish_retrieval(model),
        two_stage=False,
        per_user=[writer.metrics(group) for group in ("retrieval", "popularity")],
    )
    rating = _Kind(
        "rating",
        lambda training: train_rating_of(parameters.rating, training),
        rating_epochs(parameters.rating, rating_count=len(dataset.ratings)),
        evaluation.of_rating,
        publish_rating,
        two_stage=config.ranked_candidates is not None,
        per_user=[writer.metrics(group) for group in ("ranked", "rating")],
    )
    fits = _Fits(
        dataset,
        fitted,
        config,
        chosen["recency"],
        night,
        reporter,
        retrieval,
        shares_retrieval=rating.two_stage,
    )
    kinds = [rating, retrieval] if dataset.has_stars else [retrieval]
    jobs: list[Callable[[], object]] = []
    for kind in kinds:
        if config.refits:
            jobs.append(partial(fits.refit, kind))
        jobs.append(partial(fits.measure, kind, publish=not config.refits))
    _run_side_by_side(jobs, reporter, lanes=config.trainings)
    stars = {} if dataset.has_stars else {"rating": {}, "without_stars": True}
    parts = [fits.metrics["retrieval"], fits.metrics.get("rating", stars)]
    intervals = {group: ends for part in parts for group, ends in part.get("intervals", {}).items()}
    return {
        **parts[0],
        **parts[1],
        **({"intervals": intervals} if intervals else {}),
        "chosen": {**chosen, **by_size},
    }


@dataclass
class _Fits:
    """The trainings of a night, each done once, and only if something asks for its model."""

    dataset: Dataset
    fitted: NDArray[np.int64]
    config: RunConfig
    recency: float
    night: UnfinishedNight
    reporter: Reporter
    retrieval: _Kind
    shares_retrieval: bool
    """Whether both lanes ask for the same retrieval models."""
    metrics: dict[str, Metrics] = field(default_factory=dict)
    _shared: dict[str, Once] = field(default_factory=dict)

    def measure(self, kind: _Kind, *, publish: bool) -> None:
        """Train without the test part, keep the metrics, and publish the model if it is the one."""
        model, retrieval = self._models(kind, TRAIN)

        def measured() -> Metrics:
            trained, beside = model(), retrieval()
            with self.reporter.stage(f"measure {kind.name}"):
                return kind.measure(trained, beside)

        self.metrics[kind.name] = self.night.value(
            f"measure {kind.name}", measured, may_write=kind.per_user
        )
        if publish:
            kind.publish(model, retrieval)
        self._forget(kind, TRAIN)

    def refit(self, kind: _Kind) -> None:
        """Train on all ratings, and publish the model."""
        kind.publish(*self._models(kind, REFIT))
        self._forget(kind, REFIT)

    def _models(
        self, kind: _Kind, step: str
    ) -> tuple[Callable[[], Any], Callable[[], Retrieval | None]]:
        """Return what gives the model, and what gives the retrieval model beside it, if any."""
        return (
            self._model(kind, step),
            self._model(self.retrieval, step) if kind.two_stage else lambda: None,
        )

    def _model(self, kind: _Kind, step: str) -> Once:
        """Return what trains when it is first called, by whichever lane, and gives the model."""
        once = Once(lambda: self._train(kind, step))
        if kind is self.retrieval and self.shares_retrieval:
            return self._shared.setdefault(step, once)  # atomic
        return once

    def _train(self, kind: _Kind, step: str) -> Any:  # noqa: ANN401  # whatever model the kind has
        name = f"{step} {kind.name}"
        saved = Checkpoints(
            self.night.checkpoints(name),
            training=name,
            every_seconds=self.config.checkpoint_seconds,
            say=self.reporter.info,
        )
        with self.reporter.stage(name, total=kind.epochs or None) as stage:
            ratings = partial(self._ratings, step)
            return kind.train(
                Training(self.dataset, ratings, self.config.seed, self.recency, stage, saved)
            )

    def _ratings(self, step: str) -> Ratings:
        """Return what the models of a step are trained on, in the order of training."""
        rows = self.fitted
        if step == REFIT:
            order = np.random.default_rng(self.config.seed)
            rows = order.permutation(len(self.dataset.ratings))
        return self.dataset.ratings.take(rows)

    def _forget(self, kind: _Kind, step: str) -> None:
        """Delete checkpoints that nothing will ask for; the other lane may yet want retrieval's."""
        if kind is not self.retrieval or not self.shares_retrieval:
            self.night.forget(f"{step} {kind.name}")


def fitted_rows(split: Split, parameters: Preset, *, seed: int) -> NDArray[np.int64]:
    """Return the rows that the measured models see, in the order of training."""
    if not parameters.fits_validation:
        return split.train
    both = np.concatenate([split.train, split.validation])
    return np.random.default_rng(seed).permutation(both)


def _chosen(
    dataset: Dataset, split: Split, config: RunConfig, reporter: Reporter
) -> dict[str, Any]:
    """Return the recency exponent, and the validation ndcg@10 of each that was tried."""
    parameters = config.parameters.retrieval
    if not isinstance(parameters, HistoryParameters):
        return {"recency": 0.0}
    with reporter.stage("choose how newer ratings count") as stage:
        recency, found = recency_of(
            parameters,
            dataset,
            dataset.ratings.take(split.train),
            dataset.ratings.take(split.validation),
            seed=config.seed,
        )
        stage.note(f"exponent {recency:g}")
    return {"recency": recency, "recency_validation_ndcg@10": dict(found)}


def _of_fitted(
    dataset: Dataset, fitted: Ratings, split: Split, config: RunConfig, *, keep: Keep
) -> tuple[dict[str, Any], Evaluation]:
    """Return what the size of the data decided, and what measures the models; keep no ratings."""
    evaluation = Evaluation(
        dataset,
        fitted=fitted,
        held_out=dataset.ratings.take(split.test),
        rank_by=config.orders_by,
        candidates=config.ranked_candidates,
        seed=config.seed,
        threads=config.threads,
        keep=keep,
    )
    return _by_size(dataset, fitted, config), evaluation


def _by_size(dataset: Dataset, fitted: Ratings, config: RunConfig) -> dict[str, Any]:
    """Return what the size of the data decided: of what is measured, and of what is published."""
    users, movies = len(dataset.user_ids), len(dataset.movies)
    parts = {"measured": fitted} | ({"published": dataset.ratings} if config.refits else {})
    found = {
        name: decided(
            config.parameters,
            part,
            user_count=users,
            movie_count=movies,
            rating_count=len(dataset.ratings),
        )
        for name, part in parts.items()
    }
    served = found["published" if config.refits else "measured"]
    return {
        "by_size": found,
        "budgets": budgets(config.parameters, served, user_count=users, movie_count=movies),
    }


def _run_side_by_side(
    jobs: Iterable[Callable[[], object]], reporter: Reporter, *, lanes: int
) -> None:
    """Run the jobs in the lanes, in this order; the first failure ends them all."""
    pool = ThreadPoolExecutor(lanes)
    try:
        done, _ = wait([pool.submit(job) for job in jobs], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BaseException:
        reporter.cancel()  # else the other lane would train on for what nobody wants any more
        raise
    finally:
        pool.shutdown(cancel_futures=True)
