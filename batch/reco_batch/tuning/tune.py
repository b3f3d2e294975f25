"""Hyper-parameter search on the validation part.

The test part is removed from the data first (`without_test`), so no choice depends on it. Every
trial trains one model on the training part and measures one metric on the validation part. The
first trial is the starting point: the preset, with the values of `--parameters` if that is set.

Each finished trial is a line of a file, so an interrupted search continues. The next trial depends
only on the finished trials and the random seed, so an interrupted search ends with the same result
as an uninterrupted one.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.data.fingerprint import fingerprint
from reco_batch.data.split import Split
from reco_batch.errors import AtWork, DataRefused, NightFailed, NotFinite
from reco_batch.evaluation.evaluate import Evaluation, rmse
from reco_batch.models.registry import Training, train_rating_of, train_retrieval_of
from reco_batch.progress.reporter import Reporter, Stage
from reco_batch.scoring.ranked_lists import weights_of
from reco_batch.settings.address import mask_address
from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.settings.run_config import TuneConfig
from reco_batch.settings.search_space import searched, values_of, with_values
from reco_batch.tuning.parameter_file import write_parameters
from reco_batch.tuning.suggest import Trial, best_of, suggest
from reco_store.contract.metrics import is_higher_better


class Visible(NamedTuple):
    """Data that the search may use."""

    dataset: Dataset
    """Without the ratings of the test part."""
    train: Ratings
    validation: Ratings


#: Model -> metric that is optimised.
OBJECTIVES: Final[Mapping[str, str]] = {"rating": "rmse", "retrieval": "ndcg@10"}


@dataclass
class Search:
    """The trials of one model."""

    model: str
    preset: Any
    """Hyper-parameters that the search starts from: of the preset, or of `--parameters`."""
    record: Path
    """File of the finished trials."""
    trials: list[Trial] = field(default_factory=list)
    seconds: float = 0.0
    """Duration of the latest trial of this process."""

    @property
    def metric(self) -> str:
        """Name of the metric that is optimised."""
        return OBJECTIVES[self.model]

    @property
    def maximise(self) -> bool:
        """True if a higher value of the metric is better."""
        return is_higher_better(self.metric)

    @property
    def best(self) -> Trial:
        """Best trial so far."""
        return best_of(self.trials, maximise=self.maximise)

    @property
    def of_preset(self) -> float | None:
        """Metric of the first trial; None if its training diverged."""
        return self.trials[0].score

    def next_values(self, seed: int) -> dict[str, Any]:
        """Return the values of the next trial: those of the starting point, then suggested ones."""
        ranges = searched(self.preset)
        if not self.trials:
            own = values_of(self.preset)
            return {name: own[name] for name in ranges}
        return suggest(self.trials, ranges, maximise=self.maximise, seed=seed)

    def finish(self, trial: Trial) -> None:
        """Append a finished trial to the file."""
        with self.record.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(trial._asdict()) + "\n")
        self.trials.append(trial)


def without_test(dataset: Dataset, split: Split) -> Visible:
    """Return the data without the test part.

    Raises:
        DataRefused: no user has enough ratings for a validation part.
    """
    if not len(split.validation):
        raise DataRefused(
            "no user has enough ratings to hold any out",
            "users with ten ratings or more",
            "Tuning needs more ratings.",
        )
    rows = np.concatenate([split.train, split.validation])
    return Visible(
        replace(
            dataset,
            ratings=dataset.ratings.take(rows),
            events=None if dataset.events is None else dataset.events.take(rows),
        ),
        dataset.ratings.fitted(split.train),
        dataset.ratings.take(split.validation),
    )


def tune(
    config: TuneConfig,
    visible: Visible,
    reporter: Reporter,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> list[Search]:
    """Run trials until there are enough of them, or the time limit is reached.

    Args:
        config: models, number of trials and time limit.
        visible: the data without the test part.
        reporter: shows a stage for each trial.
        clock: seconds. The first trial of each model always runs; a later one starts only if it
            would end in time, were it as long as the latest.

    Returns:
        The searches, each with at least one trial.

    Raises:
        AtWork: another process tunes the same models on the same data.
        DataRefused: the lists are too short to be measured.
        NightFailed: a trial cannot be recorded, or the first trial diverges.
    """
    _require_ten_movies(visible)
    ends = clock() + config.time_limit
    with _records(config, visible) as searches:
        for search in searches:
            if search.trials:
                _require_preset_score(search, config)
        for search in _turns(searches, config, ends=ends, clock=clock):
            number = len(search.trials) + 1
            began = clock()
            name = f"{search.model} trial {number} of {config.trials}"
            with reporter.stage(name) as stage:
                search.finish(_trial(search, config, visible, stage))
                _require_preset_score(search, config)
                stage.note(_latest_words(search))
            search.seconds = clock() - began
    return searches


def _require_preset_score(search: Search, config: TuneConfig) -> None:
    if search.of_preset is None:
        raise NightFailed(
            f"training diverges on these ratings with the preset {config.preset!r} (and the values "
            "of --parameters, if that is set), where the search starts. Check the ratings, or tune "
            "another preset."
        )


def _values(config: TuneConfig, searches: list[Search]) -> dict[str, dict[str, Any]]:
    """Return the values that differ from the preset: the best, and those the search began at."""
    best = {search.model: search.best.values for search in searches}
    changed = {}
    for model in OBJECTIVES:
        preset = values_of(getattr(PRESETS[config.preset], model))
        chosen = {**values_of(getattr(config.parameters, model)), **best.get(model, {})}
        changed[model] = {name: value for name, value in chosen.items() if value != preset[name]}
    return changed


def write(config: TuneConfig, searches: list[Search]) -> None:
    """Write the best values to a file for `batch run --parameters`.

    Raises:
        NightFailed: the file cannot be written.
    """
    try:
        write_parameters(
            config.out,
            preset=config.preset,
            values=_values(config, searches),
            tuned={
                "data": None if config.data is None else mask_address(config.data),
                **config.model_dump(mode="json", include={"split", "split_date", "seed"}),
                **{
                    search.model: {
                        "figure": f"{search.metric} on the validation part",
                        "preset": search.of_preset,
                        "best": search.best.score,
                        "trials": len(search.trials),
                    }
                    for search in searches
                },
            },
        )
    except OSError as error:
        raise NightFailed(
            f"{config.out} could not be written ({error.strerror or error}). Free disk space or "
            "give another --out, then run again: finished trials are kept."
        ) from error


def _turns(
    searches: list[Search], config: TuneConfig, *, ends: float, clock: Callable[[], float]
) -> Iterator[Search]:
    """Yield the searches in turn, as long as there is time for another trial."""
    while True:
        left = [
            search
            for search in searches
            if len(search.trials) < config.trials
            and (not search.trials or clock() + search.seconds < ends)
        ]
        if not left:
            return
        yield min(left, key=lambda search: len(search.trials))


def _trial(search: Search, config: TuneConfig, visible: Visible, stage: Stage) -> Trial:
    values = search.next_values(config.seed)
    parameters = with_values(search.preset, values)
    measure = _retrieval_metric if search.model == "retrieval" else _rating_metric
    try:
        score = measure(parameters, config, visible, stage)
    except NotFinite:
        return Trial(values, None)
    return Trial(values, score if np.isfinite(score) else None)


def _retrieval_metric(
    parameters: Any,  # noqa: ANN401  # of any preset
    config: TuneConfig,
    visible: Visible,
    stage: Stage,
) -> float:
    training = Training(visible.dataset, lambda: visible.train, config.seed, stage)
    model = train_retrieval_of(parameters, training)
    evaluation = Evaluation(
        visible.dataset,
        fitted=visible.train,
        held_out=visible.validation,
        rank_by=config.parameters.rank_by,
        seed=config.seed,
        threads=config.threads,
    )
    return evaluation.retrieval_metric(model, OBJECTIVES["retrieval"])


def _rating_metric(
    parameters: Any,  # noqa: ANN401  # of any preset
    config: TuneConfig,
    visible: Visible,
    stage: Stage,
) -> float:
    training = Training(visible.dataset, lambda: visible.train, config.seed, stage)
    return rmse(weights_of(train_rating_of(parameters, training)), visible.validation)


def _latest_words(search: Search) -> str:
    score = search.trials[-1].score
    latest = "diverged" if score is None else f"{search.metric} {score:.4f}"
    return f"{latest}, best {search.best.score:.4f}"


def _require_ten_movies(visible: Visible) -> None:
    movies, words = visible.dataset.movies.listed, visible.dataset.words
    if movies < 10:
        raise DataRefused(
            words.adapt(f"the movies file has {movies} movies"),
            "ten or more, since top-10 lists are compared",
            words.adapt("Tuning needs more movies."),
        )


@contextmanager
def _records(config: TuneConfig, visible: Visible) -> Iterator[list[Search]]:
    """Yield the searches with the trials recorded for the same data, settings and program."""
    settings = config.model_dump(mode="json", include={"preset", "split", "split_date", "seed"})
    facts = fingerprint(
        {**settings, "models": config.parameters.to_dict(), "train": len(visible.train)},
        visible.dataset,
        threads=config.threads,
    )
    name = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    folder = config.home / "tuning"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock", timeout=0):
            yield [
                _search(model, getattr(config.parameters, model), folder / f"{name}-{model}.jsonl")
                for model in config.models
            ]
    except Timeout as error:
        raise AtWork(f"a tuning of the same data and preset ({folder / name})") from error
    except OSError as error:
        raise NightFailed(
            f"trials cannot be recorded in {folder} ({error.strerror or error}). Free disk space "
            "or give another --home, then run again: finished trials are kept."
        ) from error


def _search(model: str, preset: object, record: Path) -> Search:
    """Return a search with its recorded trials; an incomplete last line is removed."""
    search = Search(model, preset, record)
    if record.exists():
        lines = record.read_text("utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if whole != lines:
            record.write_text("".join(whole), "utf-8")
        search.trials = [Trial(**json.loads(line)) for line in whole]
    return search
