"""What to try next, from what has been tried: optuna's tree-structured Parzen estimator.

Pure: the same finished trials, ranges and seed give the same answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from reco_batch.settings.search_space import Range
from reco_store.errors import NotInstalled


class Trial(NamedTuple):
    """One finished trial."""

    values: Mapping[str, float]
    """What was tried, by dotted name."""
    score: float | None
    """What came of it; None where the training diverged."""


def better(trials: Iterable[Trial], *, maximise: bool) -> Trial:
    """Return the best of the trials that have a score, the earlier of equals.

    Raises:
        ValueError: none has one.
    """
    scored = [trial for trial in trials if trial.score is not None]

    def key(trial: Trial) -> float:
        score = trial.score or 0.0
        return -score if maximise else score

    return min(scored, key=key)


def suggest(
    trials: Sequence[Trial], ranges: Mapping[str, Range], *, maximise: bool, seed: int
) -> dict[str, float]:
    """Return values to try next, a value for each range.

    Args:
        trials: all finished ones, in their order.
        ranges: by dotted name.
        maximise: whether more is better.
        seed: of the chance in it.

    Raises:
        NotInstalled: optuna is missing.
    """
    optuna = require_optuna()
    distributions = {name: _distribution(optuna, found) for name, found in ranges.items()}
    study = optuna.create_study(
        direction="maximize" if maximise else "minimize",
        # Each trial has a seed of its own, so that one after an interruption is what it would be.
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
    """Return optuna, which says nothing by itself.

    Raises:
        NotInstalled: it is missing.
    """
    try:
        import optuna  # noqa: PLC0415  # an optional extra, and a second to import
    except ImportError as error:
        raise NotInstalled("batch tune", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: ModuleType, found: Range) -> Any:  # noqa: ANN401  # optuna's own
    if isinstance(found.low, int) and isinstance(found.high, int):
        return optuna.distributions.IntDistribution(found.low, found.high, log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def _inside(values: Mapping[str, float], ranges: Mapping[str, Range]) -> dict[str, float]:
    """Return values as the ranges have them: a preset's own may lie outside of what is tried."""
    return {name: min(max(values[name], r.low), r.high) for name, r in ranges.items()}
