"""Training and measuring of both models, without the held-out ratings and on all ratings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.unfinished import UnfinishedNight
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.data.split import Split
from reco_batch.evaluation.baselines import POPULARITY, RECENT
from reco_batch.evaluation.evaluate import Evaluation
from reco_batch.models.registry import budget_notes, plans, rating_of, retrieval_of
from reco_batch.models.trainable import DataSize, Rating, Retrieval, Trainable, Training
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Reporter
from reco_batch.progress.reporter import Stage as Progress
from reco_batch.rules.compiled import CompiledRules
from reco_batch.settings.hyperparameters import Choosing, ModelParameters, Preset
from reco_batch.settings.processors import release_memory
from reco_batch.settings.run_config import RunConfig
from reco_batch.settings.search_space import with_values

#: Trainings of a model: without the held-out ratings, and on all ratings.
TRAIN: Final = "train"
REFIT: Final = "refit"
#: Name of the stage that chooses hyper-parameters on the validation part.
CHOOSE: Final = "choose for this catalogue"


class Trainings:
    """Work of the stages that train and measure."""

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        config: RunConfig,
        *,
        rules: CompiledRules,
        writer: ArtifactWriter,
        night: UnfinishedNight,
        last: Mapping[str, Any],
        reporter: Reporter,
    ) -> None:
        """Plan the trainings, and report each budget that changes one.

        Args:
            dataset: whole input.
            split: its training, validation and test part.
            config: configuration with the hyper-parameters of both models.
            rules: rules for the lists, which the evaluation measures as well.
            writer: takes the metrics of each user.
            night: has the checkpoints.
            last: values that the last run chose, by dotted name.
            reporter: shows budget notes and messages about checkpoints.
        """
        self._dataset, self._split, self._config = dataset, split, config
        self._writer, self._night, self._reporter = writer, night, reporter
        self._last = last
        preset = config.parameters
        self._models: dict[str, Trainable[Any]] = {"retrieval": retrieval_of(preset.retrieval)}
        if dataset.has_stars:
            self._models["rating"] = rating_of(preset.rating)
        is_dated = dataset.ratings.timestamp is not None
        self._popular = (POPULARITY, *(RECENT if is_dated else ()))
        fitted = self._ratings(TRAIN)
        self._evaluation = Evaluation(
            dataset,
            fitted=fitted,
            held_out=dataset.ratings.take(split.test),
            rank_by=config.orders_by,
            candidates=config.ranked_candidates,
            rules=rules,
            seed=config.seed,
            threads=config.threads,
            keep=lambda group, columns: writer.write_metrics(group, dataset.user_ids, columns),
        )
        for note in self._by_size(preset, fitted)["budgets"]:
            reporter.info(f"note: {note}")
        del fitted
        release_memory()

    @property
    def kinds(self) -> Sequence[str]:
        """Models to train: `retrieval`, and `rating` unless the ratings have no values."""
        return tuple(self._models)

    def epochs(self, name: str) -> int | None:
        """Return the epochs of a training, such as `refit rating`; None if that is not known yet.

        The choice may decide them.
        """
        kind = name.partition(" ")[2]
        model = self._models.get(kind)  # no rating model without ratings
        is_open = kind == "retrieval" and self._config.parameters.retrieval.chooses
        if model is None or is_open:
            return None
        size = DataSize.of(self._dataset)
        epochs = model.continued_epochs if self.continues(name) else model.epochs
        return epochs(size) or None

    def continues(self, name: str) -> bool:
        """Return True for a training that continues the measured model's, and follows it.

        Not with candidates: a measured retrieval model would be kept meanwhile.
        """
        config = self._config
        can = config.parameters.rating.continues and config.ranked_candidates is None
        return can and config.refits and name == f"{REFIT} rating"

    def _by_size(self, preset: Preset, fitted: Ratings) -> dict[str, Any]:
        """Return everything that the size of the data decides, and the notes about budgets.

        Args:
            preset: hyper-parameters of both models.
            fitted: ratings that the measured models train on.
        """
        ratings, size = self._dataset.ratings, DataSize.of(self._dataset)
        planned: dict[str, Any] = {"measured": plans(preset, fitted, size)}
        if self._config.refits:
            planned["published"] = plans(preset, ratings, size)
        served = planned["published" if self._config.refits else "measured"]
        words = self._dataset.words
        notes = [words.adapt(note) for note in budget_notes(preset, served, size)]
        if self.continues(f"{REFIT} rating") and served.get("rating"):
            epochs = self._models["rating"].continued_epochs(size)
            planned["published"] = {**served, "rating": {**served["rating"], "epochs": epochs}}
        return {"by_size": planned, "budgets": notes}

    def choose(self, progress: Progress) -> dict[str, Any]:
        """Return the values of the retrieval model that the validation part decides."""
        parameters, ratings = self._config.parameters.retrieval, self._dataset.ratings
        choosing = self._config.choose is Choosing.ON
        chosen = retrieval_of(parameters).choose(
            self._dataset,
            ratings.fitted(self._split.train),
            ratings.take(self._split.validation[: None if choosing else 0]),
            last=self._last,
            seed=self._config.seed,
            stage=progress,
        )
        notes = [self._dataset.words.adapt(note) for note in chosen.notes]
        for note in notes:
            self._reporter.report_finding(note)
        return {
            "retrieval": dict(chosen.values),
            "tried": list(chosen.tried),
            "notes": notes,
        }

    def training(self, name: str) -> Callable[..., Any]:
        """Return the work of a training, such as `refit rating`.

        One that continues another, whose state was damaged since, trains that one again first.
        """
        step, _, kind = name.partition(" ")
        successor = f"{REFIT} {kind}"
        leaves = step == TRAIN and self.continues(successor)

        def train(progress: Progress, chosen: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401  # any model
            checkpoints = self._checkpoints(name)
            if self.continues(name) and not checkpoints.continues():
                self.training(f"{TRAIN} {kind}")(progress)
            training = Training(
                self._dataset,
                partial(self._ratings, step),
                self._config.seed,
                progress,
                checkpoints,
                successor=self._checkpoints(successor) if leaves else None,
            )
            return self._model(kind, chosen).train(training)

        return train

    def _checkpoints(self, name: str) -> Checkpoints:
        return Checkpoints(
            self._night.checkpoints(name),
            training=name,
            every_seconds=self._config.checkpoint_seconds,
            show=self._reporter.info,
        )

    def _model(self, kind: str, chosen: Mapping[str, Any] | None) -> Trainable[Any]:
        """Return a model with the values that were chosen for it."""
        if chosen is None:
            return self._models[kind]
        return retrieval_of(self._chosen_parameters(chosen))

    def _chosen_parameters(self, chosen: Mapping[str, Any]) -> ModelParameters:
        parameters: ModelParameters = with_values(
            self._config.parameters.retrieval, chosen["retrieval"]
        )
        return parameters

    def measure_retrieval(self, _: Progress, model: Retrieval) -> Mapping[str, Any]:
        """Return the metrics of the user lists."""
        return self._evaluation.of_retrieval(model)

    def measure_rating(
        self, _: Progress, model: Rating, proposing: Retrieval | None = None
    ) -> Mapping[str, Any]:
        """Return the metrics of the predictions and of the ranked lists.

        Args:
            model: trained rating model.
            proposing: retrieval model that proposes the movies to rate; None to rate all.
        """
        return self._evaluation.of_rating(model, proposing)

    def files(self, kind: str) -> list[Path]:
        """Return the files of each user's metrics, which exist if ratings were held out."""
        groups = ("ranked", "rating") if kind == "rating" else ("retrieval", *self._popular)
        return [self._writer.metrics(group) for group in groups]

    def metrics(self, chosen: Mapping[str, Any], *measured: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the metrics for the manifest.

        Args:
            chosen: result of `choose`.
            measured: metrics of each model, in the order of `kinds`.
        """
        preset = replace(self._config.parameters, retrieval=self._chosen_parameters(chosen))
        without_stars = {} if self._dataset.has_stars else {"rating": {}, "without_stars": True}
        intervals = {
            group: ends for part in measured for group, ends in part.get("intervals", {}).items()
        }
        joined = {name: value for part in measured for name, value in part.items()}
        return {
            **joined,
            **without_stars,
            **({"intervals": intervals} if intervals else {}),
            "chosen": {**chosen, **self._by_size(preset, self._ratings(TRAIN))},
        }

    def _ratings(self, step: str) -> Ratings:
        """Return the ratings of a training, in order."""
        ratings, config = self._dataset.ratings, self._config
        if step == REFIT:
            return ratings.fitted(np.random.default_rng(config.seed).permutation(len(ratings)))
        return ratings.fitted(fitted_rows(self._split, config.parameters, seed=config.seed))


def fitted_rows(split: Split, parameters: Preset, *, seed: int) -> NDArray[np.int64]:
    """Return the rows that the measured models train on, in order."""
    validation = split.validation if parameters.fits_validation else split.validation[:0]
    if not (parameters.fits_validation or len(split.newcomers)):
        return split.train
    rows = np.concatenate([split.train, validation, split.newcomers])
    return np.random.default_rng(seed).permutation(rows)
