"""Metrics of a run in words and as short figures, and its age, worded alike by both commands.

Pure functions of a manifest's metrics, which another version of the job may have written: what is
missing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class _Figure(NamedTuple):
    """One of the few metrics that a summary shows."""

    label: str
    group: str
    name: str
    baseline: str
    """Group of the baseline's figure."""
    baseline_words: str


_FIGURES: Final = (
    _Figure("NDCG@10", "retrieval", "ndcg@10", "popularity", "most popular"),
    _Figure("Recall@100", "retrieval", "recall@100", "popularity", "most popular"),
    _Figure("RMSE", "rating", "rmse", "means", "user and item means"),
)


def quality_figures(metrics: object, before: object = None) -> dict[str, str]:
    """Return the main metrics, each with its baseline and last run's figure.

    Args:
        metrics: of the manifest; anything.
        before: of the run to compare with; anything.

    Returns:
        By label, such as `NDCG@10`: `0.385 (last run 0.396, most popular 0.188)`.
    """
    found = {}
    for label, group, name, baseline, words in _FIGURES:
        value = _part(metrics, group).get(name)
        if value is None:
            continue
        beside = {
            "last run": _part(before, group).get(name),
            words: _part(metrics, baseline).get(name),
        }
        said = ", ".join(f"{what} {was:.3f}" for what, was in beside.items() if was is not None)
        found[label] = f"{value:.3f}" + (f" ({said})" if said else "")
    return found


def age_words(age_seconds: float) -> str:
    """Return an age in words, for example `3 hours`.

    Args:
        age_seconds: its age; negative when the clocks of two machines differ.
    """
    if age_seconds < _MINUTE:
        return "less than a minute"
    if age_seconds < 2 * _HOUR:
        return _counted(age_seconds // _MINUTE, "minute")
    if age_seconds < 2 * _DAY:
        return _counted(age_seconds // _HOUR, "hour")
    return _counted(age_seconds // _DAY, "day")


def quality_words(metrics: object) -> dict[str, str]:
    """Say what the metrics of a night mean to a user.

    Args:
        metrics: of the manifest; anything.

    Returns:
        A sentence for each of `first 10`, `first 100`, `shown` and `stars` that can be said.
    """
    found = {}
    ours, theirs = _part(metrics, "retrieval"), _part(metrics, "popularity")
    if (hit := ours.get("hit@10")) is not None:
        found["first 10"] = (
            f"{_of_hundred(hit)} users find at least one movie that was held back from the models"
            + _beside(theirs.get("hit@10"), "showing everyone the most popular")
        )
    if (recall := ours.get("recall@100")) is not None:
        found["first 100"] = f"{_of_hundred(recall)} movies held back are there" + _beside(
            theirs.get("recall@100"), "of the most popular"
        )
    if (coverage := _part(metrics, "lists").get("coverage@10")) is not None:
        found["shown"] = f"{_of_hundred(coverage)} movies stand in somebody's first ten" + _beside(
            _part(metrics, "popular_lists").get("coverage@10"), "of the most popular"
        )
    if (rmse := _part(metrics, "rating").get("rmse")) is not None:
        means = _part(metrics, "means").get("rmse")
        found["stars"] = f"predictions are {rmse:.3f} off (root mean square)" + (
            "" if means is None else f"; from the means of user and movie: {means:.3f}"
        )
    elif isinstance(metrics, Mapping) and metrics.get("without_stars") is True:
        found["stars"] = "none are predicted, since the input has none to learn from"
    return found


def _beside(share: float | None, what: str) -> str:
    return "" if share is None else f"; {what}: {_number(share)}"


def _of_hundred(share: float) -> str:
    return f"{_number(share)} of 100"


def _number(share: float) -> str:
    hundred = 100 * share
    return f"{hundred:.1f}" if hundred < 2 else f"{hundred:.0f}"


def _part(metrics: object, name: str) -> Mapping[str, float]:
    part = metrics.get(name) if isinstance(metrics, Mapping) else None
    if not isinstance(part, Mapping):
        return {}
    return {key: value for key, value in part.items() if isinstance(value, int | float)}


def _counted(count: float, unit: str) -> str:
    return f"{int(count)} {unit}{'' if int(count) == 1 else 's'}"
