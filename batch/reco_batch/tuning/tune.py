"""Tuning: other hyper-parameters, tried on the validation part.

What chooses never sees the test part: it is taken out of the data before anything else is done
(`without_test`). Every trial trains one model on the training part and measures it on the
validation part, with the figures of the night. The first trial is the preset itself.

Finished trials stand in a file, a line each, so that a tuning that was stopped goes on. What is
tried next depends on the finished trials and the seed only, so it finds what an undisturbed one
finds.
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
from reco_batch.evaluation.evaluate import Evaluation
from reco_batch.metrics.ranking_metrics import direction
from reco_batch.models.registry import Training, recency_of, train_rating_of, train_retrieval_of
from reco_batch.progress.reporter import Reporter, Stage
from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.settings.run_config import TuneConfig
from reco_batch.settings.search_space import searched, values_of, with_values
from reco_batch.tuning.parameter_file import write_parameters
from reco_batch.tuning.suggest import Trial, better, suggest


class Visible(NamedTuple):
    """What choosing may see."""

    dataset: Dataset
    """Without the test part's ratings."""
    train: Ratings
    validation: Ratings


class Aim(NamedTuple):
    """What is looked for in one of the two models."""

    figure: str

    @property
    def maximise(self) -> bool:
        """True if higher values of the figure are better."""
        return direction(self.figure) > 0


AIMS: Final[Mapping[str, Aim]] = {
    "rating": Aim("rmse"),
    "retrieval": Aim("ndcg@10"),
}


@dataclass
class Search:
    """The trials of one model."""

    model: str
    preset: Any
    """Its parameters in the preset."""
    record: Path
    trials: list[Trial] = field(default_factory=list)
    seconds: float = 0.0
    """Of the latest trial of this run."""

    @property
    def aim(self) -> Aim:
        """What is looked for."""
        return AIMS[self.model]

    @property
    def best(self) -> Trial:
        """The best trial so far."""
        return better(self.trials, maximise=self.aim.maximise)

    @property
    def of_preset(self) -> float | None:
        """What the preset itself scored."""
        return self.trials[0].score

    def next_values(self, seed: int) -> dict[str, Any]:
        """Return what to try: first the preset's own values, then what the trials suggest."""
        ranges = searched(self.preset)
        if not self.trials:
            own = values_of(self.preset)
            return {name: own[name] for name in ranges}
        return suggest(self.trials, ranges, maximise=self.aim.maximise, seed=seed)

    def finish(self, trial: Trial) -> None:
        """Keep a trial."""
        with self.record.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(trial._asdict()) + "\n")
        self.trials.append(trial)


def without_test(dataset: Dataset, split: Split) -> Visible:
    """Take the test part out of the data.

    Raises:
        DataRefused: no user has enough ratings for a validation part.
    """
    if not len(split.validation):
        raise DataRefused(
            "no user has enough ratings to hold any out",
            "users with ten ratings or more",
            "Give more ratings; nothing can be tuned on these.",
        )
    rows = np.concatenate([split.train, split.validation])
    return Visible(
        replace(dataset, ratings=dataset.ratings.take(rows)),
        dataset.ratings.take(split.train),
        dataset.ratings.take(split.validation),
    )


def tune(
    config: TuneConfig,
    visible: Visible,
    reporter: Reporter,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> list[Search]:
    """Try hyper-parameters until there are enough trials, or the time is up.

    Args:
        config: how many, how long, and what.
        visible: the data without the test part.
        reporter: shows a stage for each trial.
        clock: seconds; the first trial of each model is done however late it is, and then none
            that would, by the latest, not end in time.

    Returns:
        The searches, each with at least one trial.

    Raises:
        AtWork: another tuning of the same is at work.
        DataRefused: the lists are too short to be measured.
        NightFailed: a trial's record cannot be written, or the preset itself diverges.
    """
    _require_ten_movies(visible)
    ends = clock() + config.time_limit
    with _records(config, visible) as searches:
        for search in searches:
            if search.trials:
                _require_a_beginning(search, config)
        for search in _turns(searches, config, ends=ends, clock=clock):
            number = len(search.trials) + 1
            began = clock()
            name = f"{search.model} trial {number} of {config.trials}"
            with reporter.stage(name) as stage:
                search.finish(_trial(search, config, visible, stage))
                _require_a_beginning(search, config)
                stage.note(_said(search))
            search.seconds = clock() - began
    return searches


def _require_a_beginning(search: Search, config: TuneConfig) -> None:
    if search.of_preset is None:
        raise NightFailed(
            f"the preset {config.preset!r} diverges on these ratings, so there is "
            "nothing to begin from. Look at the ratings, or tune another preset."
        )


def _values(config: TuneConfig, searches: list[Search]) -> dict[str, dict[str, Any]]:
    """Return what differs from the preset: the best, and what the tuning was told to begin from."""
    best = {search.model: search.best.values for search in searches}
    found = {}
    for model in AIMS:
        preset = values_of(getattr(PRESETS[config.preset], model))
        chosen = {**values_of(getattr(config.parameters, model)), **best.get(model, {})}
        found[model] = {name: value for name, value in chosen.items() if value != preset[name]}
    return found


def write(config: TuneConfig, searches: list[Search]) -> None:
    """Write the best of each search to the file that `batch run --parameters` takes.

    Raises:
        NightFailed: it cannot be written.
    """
    try:
        write_parameters(
            config.out,
            preset=config.preset,
            values=_values(config, searches),
            tuned={
                "data": config.data,
                "split": config.split,
                "seed": config.seed,
                **{
                    search.model: {
                        "figure": f"{search.aim.figure} on the validation part",
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
            f"{config.out} could not be written ({error.strerror or error}). Make room or give "
            "another --out, then run again: finished trials are not lost."
        ) from error


def _turns(
    searches: list[Search], config: TuneConfig, *, ends: float, clock: Callable[[], float]
) -> Iterator[Search]:
    """Yield the models in turns, as long as there is time for one more trial."""
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
    measure = _measure_retrieval if search.model == "retrieval" else _measure_rating
    try:
        figures = measure(parameters, config, visible, stage)
    except NotFinite:
        return Trial(values, None)
    score = figures[search.aim.figure]
    return Trial(values, score if np.isfinite(score) else None)


def _measure_retrieval(
    parameters: Any,  # noqa: ANN401  # of whatever preset
    config: TuneConfig,
    visible: Visible,
    stage: Stage,
) -> Mapping[str, float]:
    recency, _ = recency_of(
        parameters, visible.dataset, visible.train, visible.validation, seed=config.seed
    )
    training = Training(visible.dataset, lambda: visible.train, config.seed, recency, stage)
    model = train_retrieval_of(parameters, training)
    figures: Mapping[str, float] = _evaluation(config, visible).of_retrieval(model)["retrieval"]
    return figures


def _measure_rating(
    parameters: Any,  # noqa: ANN401  # of whatever preset
    config: TuneConfig,
    visible: Visible,
    stage: Stage,
) -> Mapping[str, float]:
    training = Training(visible.dataset, lambda: visible.train, config.seed, 0.0, stage)
    model = train_rating_of(parameters, training)
    figures: Mapping[str, float] = _evaluation(config, visible).of_rating(model)["rating"]
    return figures


def _evaluation(config: TuneConfig, visible: Visible) -> Evaluation:
    return Evaluation(
        visible.dataset,
        fitted=visible.train,
        held_out=visible.validation,
        rank_by=config.parameters.rank_by,
        seed=config.seed,
        threads=config.threads,
    )


def _said(search: Search) -> str:
    score = search.trials[-1].score
    found = "diverged" if score is None else f"{search.aim.figure} {score:.4f}"
    return f"{found}, best {search.best.score:.4f}"


def _require_ten_movies(visible: Visible) -> None:
    movies = len(visible.dataset.movies)
    if movies < 10:
        raise DataRefused(
            f"there are {movies} movies",
            "ten or more, since lists are judged by their first ten",
            "Nothing can be tuned on these.",
        )


@contextmanager
def _records(config: TuneConfig, visible: Visible) -> Iterator[list[Search]]:
    """Open the records of a tuning of the same data, preset, split, seed and program."""
    said = {name: getattr(config, name) for name in ("preset", "split", "seed")}
    facts = fingerprint(
        {**said, "models": config.parameters.to_dict(), "train": len(visible.train)},
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
            f"the trials in {folder} cannot be kept ({error.strerror or error}). Make room or "
            "give another --home, then run again: finished trials are not lost."
        ) from error


def _search(model: str, preset: object, record: Path) -> Search:
    """Read what was tried; a line that a stop cut short was no finished trial."""
    found = Search(model, preset, record)
    if record.exists():
        lines = record.read_text("utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if whole != lines:
            record.write_text("".join(whole), "utf-8")
        found.trials = [Trial(**json.loads(line)) for line in whole]
    return found
