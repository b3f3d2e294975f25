"""Metrics of a run in the report: against the last run and the baselines, and over kept runs.

The metrics, their labels and meanings are in `reco_store.contract.metrics`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from reco_batch.artifact.check import REFUSED
from reco_batch.report.plots import Spark, spark
from reco_batch.report.text import figure_of, moment, number, part_of, safe
from reco_store.contract.metrics import WITH_RULES, Better, Figure, Use, figures
from reco_store.contract.words import words_of
from reco_terminal.wording import WITHOUT_RATINGS, refresh_words

Manifest = Mapping[str, Any]
#: Relative changes below this would be printed as 0.0 %.
_SAME: Final = 0.0005


class MetricRow(NamedTuple):
    """One row of the table of metrics."""

    label: str
    """Name for people, such as `NDCG@10`."""
    meaning: str
    """One sentence."""
    path: str
    """Path in the manifest's metrics, such as `retrieval.ndcg@10`."""
    now: str
    interval: str
    """95 % interval; empty if the run has none."""
    with_rules: str
    """Value of the lists with rules; empty without rules for them."""
    before: str
    """Value of the last run."""
    change: str
    """Relative change against the last run."""
    kind: str
    """Class of the change: good, bad or none."""
    baseline: str
    baseline_name: str
    recent: list[str]
    """Values of the baselines from recent ratings, with their names."""
    trend: Spark | None


class NightRow(NamedTuple):
    """One row of the table of kept runs."""

    generation: str
    when: str
    verdict: str
    kind: str
    users: str
    ndcg: str
    rmse: str
    link: bool
    """True if its report exists, and is not this one."""
    this: bool
    """True for the run of this report."""


class FigureRow(NamedTuple):
    """One number of the manifest's metrics."""

    name: str
    now: str
    before: str


def quality_note(manifest: Manifest) -> str:
    """Return whose metrics these are, after a refresh, and why errors of stars are missing."""
    without = part_of(manifest, "metrics").get("without_stars") is True
    words = refresh_words(manifest)
    refreshed = f"A refresh: {', '.join(words)}, whose metrics these are." if words else ""
    parts = (safe(refreshed, 200), f"RMSE {WITHOUT_RATINGS}." if without else "")
    return " ".join(filter(None, parts))


def metric_rows(
    now: Manifest, before: Manifest | None, nights: Sequence[Manifest]
) -> list[MetricRow]:
    """Return the rows of the table of metrics; a metric that the run lacks has none.

    Args:
        now: manifest of the run.
        before: manifest of the run that it is compared with.
        nights: manifests of the kept runs up to this one, oldest first.
    """
    rows = [_row(figure, now, before, nights) for figure in figures(Use.REPORT)]
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
    """Return the rows of the table of kept runs, newest first.

    Args:
        nights: manifest of each kept run, and whether its report exists; oldest first.
        generation: of the run of this report.
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
    figure: Figure, now: Manifest, before: Manifest | None, nights: Sequence[Manifest]
) -> MetricRow | None:
    group, name = figure.group, figure.name
    path = "metrics", group.name, name
    value, was = figure_of(now, *path), figure_of(before, *path)
    if value is None:
        return None
    baseline = figure_of(now, "metrics", group.baseline, name)
    interval = _interval(now, group.name, name)
    ruled = figure_of(now, "metrics", group.with_rules, name)
    change, kind = _change(value, was, figure.metric.better, interval)
    spec = figure.metric.format
    return MetricRow(
        label=words_of(now).adapt(figure.label),
        meaning=words_of(now).adapt(f"{figure.meaning}."),
        path=figure.path,
        now=_text(value, spec),
        interval=""
        if interval is None
        else f"95 %: {_text(interval[0], spec)} to {_text(interval[1], spec)}",
        with_rules="" if ruled is None else f"{_text(ruled, spec)} {WITH_RULES}",
        before=_text(was, spec),
        change=change,
        kind=kind,
        baseline=_text(baseline, spec),
        baseline_name="" if baseline is None else group.baseline_label,
        recent=[
            f"{_text(popular, spec)} {words}"
            for name_of, words in group.recent_baselines.items()
            if (popular := figure_of(now, "metrics", name_of, name)) is not None
        ],
        trend=_trend(nights, path, spec),
    )


def _text(value: float | None, spec: str) -> str:
    return number(None) if value is None else f"{value:{spec}}"


def _change(
    value: float, was: float | None, better: Better, interval: tuple[float, float] | None
) -> tuple[str, str]:
    """Return the relative change, and good or bad if it is larger than chance explains."""
    if was is None or was == 0:
        return "", "none"
    part = (value - was) / abs(was)
    if abs(part) < _SAME:
        return "the same", "none"
    directed = better is not Better.NEITHER
    real = directed and interval is not None and _is_outside(value, was, interval)
    kind = "none" if not real else "good" if (part > 0) is (better is Better.HIGHER) else "bad"
    sign = "+" if part > 0 else "\N{MINUS SIGN}"
    return f"{sign}{abs(100 * part):.1f} %", kind


def _is_outside(value: float, was: float, interval: tuple[float, float]) -> bool:
    """Return whether a change exceeds chance; both runs vary by half an interval."""
    low, high = interval
    return not low <= was <= high and abs(value - was) > math.sqrt(2) * (high - low) / 2


def _interval(manifest: Manifest, group: str, name: str) -> tuple[float, float] | None:
    ends = part_of(manifest, "metrics", "intervals", group).get(name)
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    low, high = ends
    return (low, high) if isinstance(low, float) and isinstance(high, float) else None


def _trend(nights: Sequence[Manifest], path: tuple[str, ...], spec: str) -> Spark | None:
    points = []
    for manifest in nights:
        value = figure_of(manifest, *path)
        if value is not None:
            refused = part_of(manifest, "gate").get("verdict") == REFUSED
            text = f"{moment(manifest.get('created'))}: {_text(value, spec)}"
            kind, suffix = (REFUSED, " (refused)") if refused else ("before", "")
            points.append((value, kind, text + suffix))
    if points:
        value, kind, text = points[-1]
        points[-1] = (value, kind if kind == REFUSED else "now", text)
    return spark(points)
