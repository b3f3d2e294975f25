"""How good a night is: its metrics beside last night's and the baselines', and their course."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from reco_batch.artifact.checks import REFUSED
from reco_batch.metrics.ranking_metrics import direction
from reco_batch.report.plots import Spark, spark
from reco_batch.report.text import figure_of, moment, number, part_of, safe
from reco_terminal.wording import quality_words

Manifest = Mapping[str, Any]
#: What would be written as 0.0 %.
_SAME: Final = 0.0005


class _Measure(NamedTuple):
    """A metric that the page explains."""

    name: str
    """Group and name."""
    words: str


_MEASURES: Final = (
    _Measure("retrieval hit@10", "Users with a held-out movie in their top-10"),
    _Measure("retrieval recall@10", "Held-out movies found in the top-10"),
    _Measure("retrieval ndcg@10", "The same, the first places counting most"),
    _Measure("retrieval recall@100", "Held-out movies found in the top-100"),
    _Measure("lists coverage@10", "Test coverage: share of all movies in a test user's top-10"),
    _Measure("lists popularity@10", "How popular the shown movies are: mean percentile"),
    _Measure("rating rmse", "Error of the predicted stars, large ones counting more"),
    _Measure("rating mae", "Mean error of the predicted stars"),
    _Measure("ranked ndcg@10", "Ranked lists: held-out movies found, first places counting most"),
    _Measure("ranked little_known@10", "Ranked lists: share of movies with at most two ratings"),
)
#: Group of a figure -> group of the baseline's, and what that is.
_BASELINES: Final = {
    "retrieval": ("popularity", "most popular for all"),
    "lists": ("popular_lists", "most popular for all"),
    "rating": ("means", "user and item means"),
    "ranked": ("ranked_means", "highest mean rating"),
}
#: A sentence that the section on published lists has in its own words, of all users.
_SAID_ELSEWHERE: Final = "shown"


class MetricRow(NamedTuple):
    """One metric as the page shows it."""

    words: str
    name: str
    now: str
    interval: str
    before: str
    change: str
    kind: str
    """Class of the change: good, bad or none."""
    baseline: str
    baseline_name: str
    trend: Spark | None


class NightRow(NamedTuple):
    """One of the kept nights."""

    generation: str
    when: str
    verdict: str
    kind: str
    users: str
    ndcg: str
    rmse: str
    link: bool
    """Whether its report is there to be opened."""
    this: bool


class FigureRow(NamedTuple):
    """A figure by its own name."""

    name: str
    now: str
    before: str


def sentences(manifest: Manifest) -> list[tuple[str, str]]:
    """Return what the metrics mean to a user, as the commands say it."""
    said = quality_words(manifest.get("metrics"))
    return [(name, safe(text, 300)) for name, text in said.items() if name != _SAID_ELSEWHERE]


def metric_rows(
    now: Manifest, before: Manifest | None, nights: Sequence[Manifest]
) -> list[MetricRow]:
    """Return the metrics that the page explains, as far as the night has them.

    Args:
        now: the night.
        before: the one it is compared with.
        nights: the kept ones up to this one, oldest first.
    """
    rows = [_row(measure, now, before, nights) for measure in _MEASURES]
    return [row for row in rows if row is not None]


def all_figures(now: Manifest, before: Manifest | None) -> list[FigureRow]:
    """Return every number among the metrics."""
    metrics = part_of(now, "metrics")
    rows = []
    for group in metrics:
        for name in part_of(metrics, group):
            value = figure_of(metrics, group, name)
            if value is not None:
                was = figure_of(before, "metrics", group, name)
                rows.append(FigureRow(safe(f"{group}.{name}"), number(value), number(was)))
    return rows


def night_rows(nights: Sequence[tuple[Manifest, bool]], generation: str) -> list[NightRow]:
    """Return the kept nights, newest first.

    Args:
        nights: manifest, and whether there is a report to open; oldest first.
        generation: the one that the page is about.
    """
    kinds = {"passed": "good", "forced": "warn", REFUSED: "bad"}
    rows = []
    for manifest, link in reversed(nights):
        verdict = str(part_of(manifest, "gate").get("verdict", "not judged"))
        name = str(manifest.get("generation"))
        rows.append(
            NightRow(
                safe(name),
                moment(manifest.get("created")),
                safe(verdict),
                kinds.get(verdict, "none"),
                number(figure_of(manifest, "data", "users")),
                number(figure_of(manifest, "metrics", "retrieval", "ndcg@10")),
                number(figure_of(manifest, "metrics", "rating", "rmse")),
                link and name != generation,
                name == generation,
            )
        )
    return rows


def _row(
    measure: _Measure, now: Manifest, before: Manifest | None, nights: Sequence[Manifest]
) -> MetricRow | None:
    group, _, name = measure.name.partition(" ")
    path = "metrics", group, name
    value, was = figure_of(now, *path), figure_of(before, *path)
    if value is None:
        return None
    theirs, baseline_name = _BASELINES.get(group, ("", ""))
    baseline = figure_of(now, "metrics", theirs, name)
    interval = _interval(now, group, name)
    change, kind = _change(value, was, direction(name), interval)
    return MetricRow(
        words=measure.words,
        name=measure.name,
        now=number(value),
        interval=""
        if interval is None
        else f"95 %: {number(interval[0])} to {number(interval[1])}",
        before=number(was),
        change=change,
        kind=kind,
        baseline=number(baseline),
        baseline_name="" if baseline is None else baseline_name,
        trend=_trend(nights, path),
    )


def _change(
    value: float, was: float | None, better: int, interval: tuple[float, float] | None
) -> tuple[str, str]:
    """Return the change in words, and whether it is more than chance explains."""
    if was is None or was == 0:
        return "", "none"
    part = (value - was) / abs(was)
    if abs(part) < _SAME:
        return "the same", "none"
    real = better != 0 and interval is not None and _is_outside(value, was, interval)
    kind = "none" if not real else "good" if part * better > 0 else "bad"
    sign = "+" if part > 0 else "\N{MINUS SIGN}"
    return f"{sign}{abs(100 * part):.1f} %", kind


def _is_outside(value: float, was: float, interval: tuple[float, float]) -> bool:
    """Return whether a change exceeds chance: both runs vary, each by half an interval."""
    low, high = interval
    return not low <= was <= high and abs(value - was) > math.sqrt(2) * (high - low) / 2


def _interval(manifest: Manifest, group: str, name: str) -> tuple[float, float] | None:
    ends = part_of(manifest, "metrics", "intervals", group).get(name)
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    low, high = ends
    return (low, high) if isinstance(low, float) and isinstance(high, float) else None


def _trend(nights: Sequence[Manifest], path: tuple[str, ...]) -> Spark | None:
    values = []
    for manifest in nights:
        value = figure_of(manifest, *path)
        if value is not None:
            verdict = part_of(manifest, "gate").get("verdict")
            said = f"{moment(manifest.get('created'))}: {number(value)}"
            refused = " (refused)" if verdict == REFUSED else ""
            values.append((value, REFUSED if refused else "before", said + refused))
    if values:
        value, kind, said = values[-1]
        values[-1] = (value, kind if kind == REFUSED else "now", said)
    return spark(values)
