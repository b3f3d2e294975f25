"""Texts that both commands print: the metrics of a run, and ages.

Pure functions of a manifest's metrics. A manifest may be of another version: missing metrics are
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reco_store.contract.metrics import Figure, Use, figures

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Text in place of errors of predicted ratings.
WITHOUT_RATINGS: Final = "not measured: the interactions have no rating values"


def quality_figures(metrics: object, before: object = None) -> dict[str, str]:
    """Return the main metrics, each with the previous live value and its baseline.

    Args:
        metrics: of the manifest; anything.
        before: metrics of the generation that was live before; anything.

    Returns:
        Label -> text, such as `NDCG@10` -> `0.385 (live before 0.396, most popular 0.188)`.
    """
    return {
        figure.label: text
        for figure in figures(Use.SUMMARY)
        if (text := _value_words(figure, metrics, before))
    }


def quality_words(metrics: object) -> dict[str, str]:
    """Return the metrics that have an explanation, each with its baseline and meaning.

    Args:
        metrics: of the manifest; anything.

    Returns:
        Label -> text, such as `Recall@100` -> `0.532 (most popular 0.303). Share of ...`.
    """
    words = {
        figure.label: f"{text}. {figure.meaning}"
        for figure in figures(Use.DETAILS)
        if (text := _value_words(figure, metrics, None))
    }
    if isinstance(metrics, Mapping) and metrics.get("without_stars") is True:
        words.setdefault("RMSE", WITHOUT_RATINGS)
    return words


def age_words(age_seconds: float) -> str:
    """Return an age in words, for example `3 hours`.

    Args:
        age_seconds: in seconds; negative if the clocks of two machines differ.
    """
    if age_seconds < _MINUTE:
        return "less than a minute"
    if age_seconds < 2 * _HOUR:
        return _counted(age_seconds // _MINUTE, "minute")
    if age_seconds < 2 * _DAY:
        return _counted(age_seconds // _HOUR, "hour")
    return _counted(age_seconds // _DAY, "day")


def _value_words(figure: Figure, metrics: object, before: object) -> str:
    """Return a value with the previous live one and the baseline's; empty if the run has none."""
    group, spec = figure.group, figure.metric.format
    value = _part(metrics, group.name).get(figure.name)
    if value is None:
        return ""
    compared = {
        "live before": _part(before, group.name).get(figure.name),
        group.baseline_label: _part(metrics, group.baseline).get(figure.name),
    }
    words = ", ".join(f"{name} {v:{spec}}" for name, v in compared.items() if v is not None)
    return f"{value:{spec}}" + (f" ({words})" if words else "")


def _part(metrics: object, name: str) -> Mapping[str, float]:
    part = metrics.get(name) if isinstance(metrics, Mapping) else None
    if not isinstance(part, Mapping):
        return {}
    return {key: value for key, value in part.items() if isinstance(value, int | float)}


def _counted(count: float, unit: str) -> str:
    return f"{int(count)} {unit}{'' if int(count) == 1 else 's'}"
