"""Training curves and stage times of a run. Pure functions of a manifest."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from reco_batch.progress.terminal import duration
from reco_batch.report.plots import LinePlot, Series, Words, line_plot
from reco_batch.report.text import figure_of, number, part_of, safe

#: Beginnings of the names of stages that train a published or measured model.
_TRAININGS: Final = ("train", "refit")


class Span(NamedTuple):
    """Stage on the timeline; start and width are percentages of the whole run."""

    name: str
    start: float
    width: float
    seconds: str
    """Duration, as text."""
    kind: str


class Timeline(NamedTuple):
    """All stages in the order of their start."""

    spans: list[Span]
    total: str
    side_by_side: bool
    """True if the start of each stage is recorded."""


def training_plots(manifest: Mapping[str, Any]) -> list[LinePlot]:
    """Return a plot of the loss for each training that recorded it.

    The training by which a run chooses the length of the others is left out.
    """
    losses = part_of(manifest, "losses")
    names = [name for name in losses if name.startswith(_TRAININGS)]
    # The training and the refit of a model are neighbours on the page.
    names.sort(key=lambda name: (name.rpartition(" ")[2], not name.startswith("train")))
    return [_curve(safe(name), parts) for name in names if (parts := _parts(losses[name]))]


def timeline(manifest: Mapping[str, Any]) -> Timeline | None:
    """Return the stages with their times; None if no time was recorded."""
    seconds = {
        name: took
        for name in part_of(manifest, "seconds")
        if (took := figure_of(manifest, "seconds", name)) is not None and took >= 0
    }
    if not seconds:
        return None
    began = {name: figure_of(manifest, "began", name) for name in seconds}
    known = all(start is not None for start in began.values())
    starts = {name: began[name] or 0.0 for name in seconds}
    first = min(starts.values())
    ends = [starts[name] + took - first for name, took in seconds.items()]
    whole = max(1e-3, *ends)
    return Timeline(
        [
            Span(
                safe(name),
                round(100 * (starts[name] - first) / whole, 2),
                round(max(100 * seconds[name] / whole, 0.3), 2),
                duration(seconds[name]),
                "now" if name.startswith(_TRAININGS) else "before",
            )
            for name in sorted(seconds, key=lambda name: (starts[name], -seconds[name], name))
        ],
        duration(whole if known else sum(seconds.values())),
        known,
    )


def _parts(losses: object) -> list[list[tuple[float, float]]]:
    """Split losses where the epochs start again: parts of a model are trained one after another."""
    if not isinstance(losses, Sequence) or isinstance(losses, str):
        return []
    points = [
        (float(pair[0]), float(pair[1]))
        for pair in losses
        if isinstance(pair, Sequence)
        and len(pair) == 2
        and all(isinstance(number, int | float) for number in pair)
    ]
    begins = [0, *(n for n, (a, b) in enumerate(pairwise(points), start=1) if b[0] <= a[0])]
    return [points[a:b] for a, b in pairwise([*begins, len(points)]) if points]


def _curve(name: str, parts: list[list[tuple[float, float]]]) -> LinePlot:
    first, last = parts[0][0], parts[-1][-1]
    several = len(parts) > 1
    kinds = ("now", "other", "before")
    return line_plot(
        [
            Series(f"part {place + 1}" if several else "", kinds[place % len(kinds)], points)
            for place, points in enumerate(parts)
        ],
        Words(
            name.capitalize(),
            f"{name}: loss {number(first[1])} after epoch {first[0]:.0f}, "
            f"{number(last[1])} at the end.",
            "epoch",
            "loss",
        ),
    )
