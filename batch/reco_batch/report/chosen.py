"""Hyper-parameters that the run chose on the validation part. Pure functions of a manifest."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from reco_batch.report.text import figure_of, number, part_of, safe

Manifest = Mapping[str, Any]
#: Most other values of a step to show.
_MOST_SHOWN: Final = 10


class TriedRow(NamedTuple):
    """Values that were measured, with the metrics of their lists."""

    value: str
    metrics: list[str]


class ChosenRow(NamedTuple):
    """One step of the choice: one or a few hyper-parameters that were chosen together."""

    name: str
    """Dotted names."""
    chosen: str
    before: str
    """Value of the last run; empty if it is the same or not known."""
    metrics: list[str]
    """Metrics of the chosen value in this step, in the order of the names; empty if it has none."""
    others: list[TriedRow]
    """Other values in the order of trial, or the best of many by the first metric."""
    not_shown: int
    """Number of further values."""


class ChosenView(NamedTuple):
    """Content of the section."""

    metrics: list[str]
    """Names of the metrics, for people."""
    rows: list[ChosenRow]
    lists: list[TriedRow]
    """Lists of the chosen values and of the most popular movies."""
    notes: list[str]


def chosen_view(now: Manifest, before: Manifest | None) -> ChosenView | None:
    """Return the choice of a run; None if the run chose nothing.

    Args:
        now: manifest of the run.
        before: manifest of the run that it is compared with.
    """
    found = part_of(now, "metrics", "chosen")
    values, last = part_of(found, "retrieval"), part_of(before, "metrics", "chosen", "retrieval")
    if not values:
        return None
    steps: dict[str, list[Mapping[str, Any]]] = {}
    for entry in _dicts(found.get("tried")):
        steps.setdefault(str(entry.get("name")), []).append(entry)
    names = _metric_names(entry for entries in steps.values() for entry in entries)
    rows = [
        _row(step, entries, values, last, names)
        for step, entries in steps.items()
        if part_of(entries[0], "values")
    ]
    measured = {name for row in steps.values() for name in part_of(row[0], "values")}
    rows += [_row(name, [], values, last, names) for name in values if name not in measured]
    notes = found.get("notes")
    return ChosenView(
        [_label(name) for name in names],
        rows,
        [
            TriedRow(safe(step), _texts(entries[0], names))
            for step, entries in steps.items()
            if not part_of(entries[0], "values")
        ],
        [safe(note, 300) for note in notes] if isinstance(notes, list) else [],
    )


def _row(
    step: str,
    entries: list[Mapping[str, Any]],
    values: Manifest,
    last: Manifest,
    names: list[str],
) -> ChosenRow:
    """Return the row of a step."""
    own = list(part_of(entries[0], "values")) if entries else [step]
    chosen, before = _value(values, own), _value(last, own)
    others, metrics = [], []
    if names and len(entries) > _MOST_SHOWN:
        entries = sorted(entries, key=lambda entry: -(figure_of(entry, names[0]) or 0.0))
    for entry in entries:
        row = TriedRow(_value(part_of(entry, "values"), own), _texts(entry, names))
        if row.value == chosen:
            metrics = row.metrics
        else:
            others.append(row)
    known = before != chosen and any(name in last for name in own)
    shown = others[: _MOST_SHOWN if names else None]
    last_value = before if known else ""
    return ChosenRow(safe(step), chosen, last_value, metrics, shown, len(others) - len(shown))


def _value(values: Manifest, names: Iterable[str]) -> str:
    """Return the values of some names as text."""
    texts = []
    for name in names:
        figure = figure_of(values, name)
        texts.append(f"{figure:g}" if figure is not None else safe(values.get(name, "")))
    return ", ".join(texts)


def _metric_names(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the metrics to show: NDCG of the shortest lists, and recall of the longest."""
    names = dict.fromkeys(name for entry in entries for name in entry if "@" in name)
    ndcg = [name for name in names if name.startswith("ndcg@")]
    recall = [name for name in names if name.startswith("recall@")]
    return ndcg[:1] + recall[-1:]


def _label(name: str) -> str:
    return safe(name).replace("ndcg", "NDCG").replace("recall", "Recall")


def _texts(entry: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [number(figure_of(entry, name)) for name in names]


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
