"""Next trial of a hyper-parameter search, by optuna's tree-structured Parzen estimator.

Deterministic: the same finished trials, ranges and seed give the same values.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from reco_batch.settings.search_space import Range
from reco_store.errors import NotInstalled


class Trial(NamedTuple):
    """One finished trial."""

    values: Mapping[str, float]
    """Hyper-parameters by dotted name."""
    score: float | None
    """Value of the metric; None if the training diverged."""


def best_of(trials: Iterable[Trial], *, maximise: bool) -> Trial:
    """Return the trial with the best score, the earlier one of equals.

    Raises:
        ValueError: no trial has a score.
    """
    scored = [trial for trial in trials if trial.score is not None]

    def key(trial: Trial) -> float:
        score = trial.score or 0.0
        return -score if maximise else score

    return min(scored, key=key)


def suggest(
    trials: Sequence[Trial], ranges: Mapping[str, Range], *, maximise: bool, seed: int
) -> dict[str, float]:
    """Return the values of the next trial, one for each range.

    Args:
        trials: all finished trials, in order.
        ranges: search range by dotted name.
        maximise: true if a higher score is better.
        seed: random seed.

    Raises:
        NotInstalled: optuna is missing.
    """
    optuna = require_optuna()
    distributions = {name: _distribution(optuna, one) for name, one in ranges.items()}
    study = optuna.create_study(
        direction="maximize" if maximise else "minimize",
        # A seed per trial, so that an interrupted search continues with the same values.
        sampler=optuna.samplers.TPESampler(seed=seed + len(trials)),
    )
    states = optuna.trial.TrialState
    study.add_trials(
        optuna.trial.create_trial(
            params=_inside(trial.values, ranges),
            distributions=distributions,
            value=trial.score,
            state=states.FAIL if trial.score is None else states.COMPLETE,
        )
        for trial in trials
    )
    return dict(study.ask(distributions).params)


def require_optuna() -> ModuleType:
    """Return optuna, with its own log messages switched off.

    Raises:
        NotInstalled: optuna is missing.
    """
    try:
        import optuna  # noqa: PLC0415  # an optional extra, and a second to import
    except ImportError as error:
        raise NotInstalled("batch tune", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: ModuleType, one: Range) -> Any:  # noqa: ANN401  # optuna's own
    if isinstance(one.low, int) and isinstance(one.high, int):
        return optuna.distributions.IntDistribution(one.low, one.high, log=one.log)
    return optuna.distributions.FloatDistribution(one.low, one.high, log=one.log)


def _inside(values: Mapping[str, float], ranges: Mapping[str, Range]) -> dict[str, float]:
    """Return values clipped to the ranges: a preset's own values may be outside."""
    return {name: min(max(values[name], r.low), r.high) for name, r in ranges.items()}
