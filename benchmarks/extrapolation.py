"""Extrapolation of a run on a whole data set from runs on samples of it."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy.optimize import nnls

Night = Mapping[str, object]
"""A run's `scale`, `seconds`, `stages` and sizes; several runs may have one scale."""

#: Stages whose work depends on the catalogue, not on the number of users.
OF_CATALOGUE = ("load TensorFlow", "score similar lists", "score next lists")
_DRAWS = 400
#: Extrapolated figures of a whole run, in addition to its stages.
WHOLE = ("seconds", "peak_bytes", "ratings_bytes", "artifact_bytes", "store_bytes")


def figures_of(night: Night) -> dict[str, float]:
    """Return the figures of a run that are extrapolated, by name."""
    return {**night["stages"], **{name: night[name] for name in WHOLE}}


def by_scale(nights: Sequence[Night]) -> dict[float, dict[str, float]]:
    """Return, for each scale, the means of the figures that all its runs have.

    Means rather than medians: the samples of a round run one after the other and share the
    machine's pace, so the difference of means is the mean of the rounds' differences.
    """
    found = {}
    for scale in sorted({night["scale"] for night in nights}):
        same = [figures_of(night) for night in nights if night["scale"] == scale]
        names = [name for name in same[0] if all(name in each for each in same)]
        found[scale] = {name: fmean(each[name] for each in same) for name in names}
    return found


def lines_of(parts: Mapping[float, Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return each figure's line over the scales: its value at scale 0, and its slope.

    Neither is negative, because no stage takes less time for more users; a negative estimate is
    noise. Stages of the catalogue have their mean as a constant. Other lines are exact for two
    samples and least squares for more. A figure that one sample lacks has no line.

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
    """Return the lines' values at a scale, and the values of a run of that scale.

    Args:
        lines: from `lines_of`.
        whole: figures of that scale; None if there is no such run.
        scale: of the result.

    Returns:
        For each figure `expected`, and with a run `measured` and `deviation`, the share by which it
        exceeded the expectation; no deviation from zero.
    """
    found = {name: {"expected": start + slope * scale} for name, (start, slope) in lines.items()}
    for name in found.keys() & (whole or {}).keys():
        value, expected = whole[name], found[name]["expected"]
        found[name] |= {"measured": value}
        if expected > 0:
            found[name]["deviation"] = value / expected - 1
    return found


def extrapolate(nights: Sequence[Night], *, target: float) -> dict[str, dict[str, object]]:
    """Return the extrapolation to the target from the runs of smaller scales.

    Returns:
        The result of `extrapolated`. With several runs of each sample also `between`: 5 % and 95 %
        of the expectations over resampled runs. With several runs of the target also
        `measured_range`: minimum and maximum.
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
    """Return for each figure the 5 % and 95 % quantiles of expectations over resampled runs.

    Whole rounds are drawn where all samples have equally many runs: the first of each form a round,
    and so on. Otherwise the runs of each sample are drawn independently.
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
