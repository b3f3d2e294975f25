"""Verdict of an experiment: in which arm people did more, with intervals that are always valid.

The outcome is the number of movies that a user took since the experiment began: the target
interactions of the input, whatever list or page they came from. It is defined without any list,
so no arm gains by listing what people would have taken anyway. A user's arm follows from the
user's id, so nothing needs to be logged, and everything is computed again from the input.

The users are those with an interaction before the experiment began, also if it was repeated since:
who they are does not depend on the arms. Those who came later are left out.

Shapes: U users of the data set.
"""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.manifests import NOT_MEASURED
from reco_batch.data.dataset import SECONDS_PER_DAY, Dataset
from reco_batch.metrics.confidence_sequence import half_width
from reco_store.contract.experiment import Experiment

#: Share of experiments without any difference in which one is called, at whatever look.
ERROR: Final = 0.05
#: Relative difference for which the needed number of users is computed.
LIFT: Final = 0.05
#: Share of experiments in which that many users find such a difference.
FOUND: Final = 0.8
#: Interactions that the smaller arm is to have, if people do the same in both, before the verdict:
#: the intervals hold for sums of many.
FEWEST: Final = 20
#: The interval is tightest when people have done as much as in so many days before the start.
TIGHTEST_DAYS: Final = 14
BETTER: Final = "better"
WORSE: Final = "worse"
OPEN: Final = "open"
_DIGITS: Final = 6


class Counts(NamedTuple):
    """Number, sum and sum of squares of the outcomes of some users."""

    users: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean outcome of a user."""
        return self.total / self.users

    @property
    def spread(self) -> NDArray[np.float64]:
        """Sum of squared deviations from the mean."""
        return self.squares - self.total * self.mean

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance of a user's outcome; 0 of a single user."""
        return self.spread / np.maximum(self.users - 1, 1)


def counts_of(outcome: NDArray[np.int64], inside: NDArray[np.bool_]) -> Counts:
    """Return the sums of the users inside.

    Args:
        outcome: [U].
        inside: [U].
    """
    own = outcome[inside].astype(np.float64)
    return Counts(np.float64(len(own)), own.sum(), (own**2).sum())  # type: ignore[arg-type]


def difference(
    arm: Counts, control: Counts, *, unit: float, error: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the difference of two arms' mean outcomes, and half the width of its interval.

    Args:
        arm: of one arm.
        control: of the arm to compare with.
        unit: spread of the users of both arms at which the interval is to be tightest.
        error: share of experiments in which the interval misses at any look.

    Returns:
        The differences, and the half widths, infinite as long as there is too little to compare.
    """
    both = _together(arm, control)
    expected = both.mean * np.minimum(arm.users, control.users)
    is_enough = (expected >= FEWEST) & (both.spread > 0)
    variance = np.add(*variances(arm, control))
    tightest = unit / (both.users - 1) * (1 / arm.users + 1 / control.users)
    information = np.where(is_enough, variance / tightest, 1)
    width = half_width(np.sqrt(variance), information, error=error)
    return arm.mean - control.mean, np.where(is_enough, width, np.inf)


def variances(arm: Counts, control: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the variances of two arms' mean outcomes, of that of the arm first.

    Of the arms' own variances and that of all users together, those with the larger sum. A small
    arm may be more uneven than the other one, or owe nearly everything to one person; but few
    people who happen to do nothing have no variance of their own.

    Args:
        arm: of one arm.
        control: of the arm to compare with.
    """
    of_all = _together(arm, control).variance
    own = arm.variance / arm.users, control.variance / control.users
    pooled = of_all / arm.users, of_all / control.users
    is_pooled = np.add(*pooled) >= np.add(*own)
    of_arm, of_control = (np.where(is_pooled, *two) for two in zip(pooled, own, strict=True))
    return of_arm, of_control


def ratios(arm: Counts, control: Counts, *, width: float) -> tuple[float, float] | None:
    """Return the interval of the ratio of two arms' mean outcomes; None if it has no end.

    Of all ratios, those which the data do not exclude (Fieller's interval): it contains 1 if and
    only if that of the difference contains 0, and counts the uncertainty of both means. No ratio of
    rates is below 0.

    Args:
        arm: of one arm.
        control: of the arm to compare with.
        width: half the width of the interval of the difference.
    """
    mean, base = float(arm.mean), float(control.mean)
    own, other = map(float, variances(arm, control))
    of_control = other / (own + other) * width**2
    of_arm = width**2 - of_control
    if base**2 <= of_control:
        return None
    root = math.sqrt(mean**2 * of_control + base**2 * of_arm - of_arm * of_control)
    low, high = ((mean * base + sign * root) / (base**2 - of_control) for sign in (-1, 1))
    return max(low, 0.0), high


def _together(arm: Counts, control: Counts) -> Counts:
    """Return the sums of the users of both."""
    return Counts(*(one + other for one, other in zip(arm, control, strict=True)))


def arms_of(user_ids: tuple[str, ...], experiment: Experiment) -> NDArray[np.int64]:
    """Return the arm of each user, as place in the experiment, [U]."""
    place = {namespace: place for place, (namespace, _) in enumerate(experiment.arms)}
    return np.array([place[experiment.assign(user)] for user in user_ids], np.int64)


def experiment_section(
    dataset: Dataset,
    experiment: Experiment,
    arm: NDArray[np.int64],
    *,
    last: Mapping[str, Any],
) -> dict[str, Any]:
    """Compare what people did in the arms of an experiment since it began.

    Args:
        dataset: today's input.
        experiment: the experiment that is under way.
        arm: [U] place of each user's arm.
        last: section of the run before; empty without one. Its `unit` is kept, which must not
            change during an experiment.

    Returns:
        The manifest's section: `name`; `began` and `until`, seconds since 1970; `days` between
        them; `error`; `unit`; `arms`, each with `namespace`, `users`, `interactions`, and `rate`,
        interactions a user and day; `comparisons` of each other arm with the first one: the
        `difference` of the rates with `low` and `high`, the same relative to the first arm's rate
        (`lift`), the `verdict`, and `needed`, the users and their interactions a day with which a
        difference of `LIFT` is found after as many days, in `FOUND` of experiments; the verdict
        alone as long as there is too little to compare, and no `lift` if its interval has no end.
        Or `name`, `began` and `not_measured`, the reason.
    """
    named = {"name": experiment.name, "began": experiment.began}
    ratings, began = dataset.ratings, experiment.began
    if began is None:
        return {**named, NOT_MEASURED: "it began with an earlier version; begin it again"}
    if ratings.timestamp is None or dataset.first_time is None:
        return {**named, NOT_MEASURED: "the interactions have no times"}
    until = int(ratings.timestamp.max(initial=began))
    is_known = dataset.first_time < began
    groups = [is_known & (arm == place) for place in range(len(experiment.arms))]
    if until <= began:
        return {**named, NOT_MEASURED: "the input has no interaction since it began"}
    if few := [
        name for (name, _), own in zip(experiment.arms, groups, strict=True) if not own.any()
    ]:
        return {**named, NOT_MEASURED: f"no user from before it began is in {', '.join(few)}"}
    outcome = _taken(dataset, began, until + 1)
    days = (until - began) / SECONDS_PER_DAY
    unit = _unit(dataset, experiment, is_known, outcome, last)
    counts = [counts_of(outcome, own) for own in groups]
    error = ERROR / (len(counts) - 1)
    return {
        **named,
        "until": until,
        "days": round(days, 2),
        "error": ERROR,
        "unit": unit,
        "arms": [
            {
                "namespace": namespace,
                "users": int(own.users),
                "interactions": int(own.total),
                "rate": round(float(own.mean) / days, _DIGITS),
            }
            for (namespace, _), own in zip(experiment.arms, counts, strict=True)
        ],
        "comparisons": [
            {
                "namespace": namespace,
                **_comparison(own, counts[0], unit=unit, error=error, days=days),
            }
            for (namespace, _), own in zip(experiment.arms[1:], counts[1:], strict=True)
        ],
    }


def _taken(dataset: Dataset, start: int, end: int) -> NDArray[np.int64]:
    """Return the number of target interactions of each user from `start` until before `end`."""
    targets = dataset.ratings.targets
    times = targets.timestamp
    if times is None:
        raise ValueError("interactions without times; expected interactions with them")
    inside = (times >= start) & (times < end)
    return np.bincount(targets.user_index[inside], minlength=len(dataset.user_ids))


def _unit(
    dataset: Dataset,
    experiment: Experiment,
    is_known: NDArray[np.bool_],
    outcome: NDArray[np.int64],
    last: Mapping[str, Any],
) -> float:
    """Return the spread at which intervals are tightest: that of two weeks before the start."""
    if (last.get("name"), last.get("began")) == (experiment.name, experiment.began):
        kept = last.get("unit")
        if isinstance(kept, int | float) and math.isfinite(kept) and kept > 0:
            return float(kept)
    began = experiment.began or 0
    before = _taken(dataset, began - TIGHTEST_DAYS * SECONDS_PER_DAY, began)
    spreads = (float(counts_of(own, is_known).spread) for own in (before, outcome))
    return next((spread for spread in spreads if spread > 0), 1.0)


def _comparison(
    arm: Counts, control: Counts, *, unit: float, error: float, days: float
) -> dict[str, Any]:
    base = float(control.mean)
    change, width = map(float, difference(arm, control, unit=unit, error=error))
    if not math.isfinite(width):
        return {"verdict": OPEN}
    ends = {"difference": change, "low": change - width, "high": change + width}
    verdict = BETTER if ends["low"] > 0 else WORSE if ends["high"] < 0 else OPEN
    rates = {name: round(value / days, _DIGITS) for name, value in ends.items()}
    ratio = ratios(arm, control, width=width)
    if ratio is None:
        return {**rates, "verdict": verdict}
    lifts = (change / base, *(end - 1 for end in ratio))
    names = ("lift", "lift_low", "lift_high")
    half = width + NormalDist().inv_cdf(FOUND) * math.sqrt(np.add(*variances(arm, control)))
    users = math.ceil(float(arm.users + control.users) * (half / (LIFT * base)) ** 2)
    return {
        **rates,
        **{name: round(value, _DIGITS) for name, value in zip(names, lifts, strict=True)},
        "verdict": verdict,
        "needed": {
            "lift": LIFT,
            "users": users,
            "interactions_a_day": math.ceil(users * base / days),
        },
    }
