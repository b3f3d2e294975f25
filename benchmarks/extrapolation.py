"""What nights on parts of a data set tell of a night on the whole of it."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy.optimize import nnls

Night = Mapping[str, object]
"""A night's `scale`, `seconds`, `stages` and sizes; there may be several of one scale."""

#: Stages whose work is that of the catalogue, however many users there are.
OF_CATALOGUE = ("load TensorFlow", "score similar lists", "score next lists")
_DRAWS = 400
#: What is told of a whole night beside its stages.
WHOLE = ("seconds", "peak_bytes", "ratings_bytes", "artifact_bytes", "store_bytes")


def figures_of(night: Night) -> dict[str, float]:
    """Return what is extrapolated of a night, by name."""
    return {**night["stages"], **{name: night[name] for name in WHOLE}}


def by_scale(nights: Sequence[Night]) -> dict[float, dict[str, float]]:
    """Return for each scale the means of its nights' figures; those that all of them have.

    Means, where medians are usual: the parts of a round were run one after the other and shared
    the machine's pace, and the difference of means is that of the rounds' differences.
    """
    found = {}
    for scale in sorted({night["scale"] for night in nights}):
        same = [figures_of(night) for night in nights if night["scale"] == scale]
        names = [name for name in same[0] if all(name in each for each in same)]
        found[scale] = {name: fmean(each[name] for each in same) for name in names}
    return found


def lines_of(parts: Mapping[float, Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return each figure's line over the scales: its value at none, and what a whole adds.

    Neither is below nothing, for no stage takes less for more users, nor less than nothing for
    none: where the parts say otherwise, chance does. Of a stage of the catalogue alone it is the
    mean. Else the line through two parts is exact, and through more it is that of least squares.
    What one of them does not have has no line.

    Args:
        parts: from `by_scale`.
    """
    scales = np.array(list(parts))
    design = np.column_stack([np.ones_like(scales), scales])
    figures = list(parts.values())
    found = {}
    for name in figures[0]:
        if all(name in each for each in figures):
            values = np.array([each[name] for each in figures])
            start, slope = (values.mean(), 0) if name in OF_CATALOGUE else nnls(design, values)[0]
            found[name] = (float(start), float(slope))
    return found


def extrapolated(
    lines: Mapping[str, tuple[float, float]], whole: Mapping[str, float] | None, *, scale: float
) -> dict[str, dict[str, float]]:
    """Return what the lines say of a scale, beside what a night of it was.

    Args:
        lines: from `lines_of`.
        whole: figures of that scale; None if there is no night of it.
        scale: to look at.

    Returns:
        For each figure `expected`, and with a night `measured` and `deviation`, the share by which
        it was more; no deviation from nothing.
    """
    found = {name: {"expected": start + slope * scale} for name, (start, slope) in lines.items()}
    for name in found.keys() & (whole or {}).keys():
        value, expected = whole[name], found[name]["expected"]
        found[name] |= {"measured": value}
        if expected > 0:
            found[name]["deviation"] = value / expected - 1
    return found


def told(nights: Sequence[Night], *, target: float) -> dict[str, dict[str, object]]:
    """Return what the nights smaller than the target say of it.

    Returns:
        As `extrapolated`; with several nights of the parts also `between`, 5 % and 95 % of what is
        expected by nights drawn anew; with several of the target `measured_range`, the least and
        the most.
    """
    figures = by_scale(nights)
    of_parts = {scale: figures[scale] for scale in figures if scale < target}
    if len(of_parts) < 2:
        return {}
    found = extrapolated(lines_of(of_parts), figures.get(target), scale=target)
    parts = [night for night in nights if night["scale"] < target]
    if len(parts) > len(of_parts):
        for name, between in _between(parts, scale=target).items():
            found[name]["between"] = between
    wholes = [figures_of(night) for night in nights if night["scale"] == target]
    if len(wholes) > 1:
        for name in found.keys() & figures[target].keys():
            values = [each[name] for each in wholes]
            found[name]["measured_range"] = (min(values), max(values))
    return found


def _between(parts: Sequence[Night], *, scale: float) -> dict[str, tuple[float, float]]:
    """Return for each figure 5 % and 95 % of what is expected by other draws of the nights.

    Whole rounds are drawn where each part has as many nights as the others: the first of each make
    a round, and so on. Else each part's are drawn for themselves.
    """
    chance = np.random.default_rng(0)
    scales = np.array([night["scale"] for night in parts])
    same = [np.flatnonzero(scales == each) for each in np.unique(scales)]
    drawn: dict[str, list[float]] = {}
    in_rounds = len({len(rows) for rows in same}) == 1
    for _ in range(_DRAWS):
        if in_rounds:
            rows = np.stack(same)[:, chance.integers(len(same[0]), size=len(same[0]))].ravel()
        else:
            rows = np.concatenate([chance.choice(rows, len(rows)) for rows in same])
        lines = lines_of(by_scale([parts[row] for row in rows]))
        for name, (start, slope) in lines.items():
            drawn.setdefault(name, []).append(start + slope * scale)
    return {name: tuple(np.percentile(values, (5, 95))) for name, values in drawn.items()}
