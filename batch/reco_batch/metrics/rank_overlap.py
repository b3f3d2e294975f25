"""Similarity of two ranked lists: churn, overlap of the top, and rank-biased overlap.

`overlap` is the one definition of churn: the quality gate, the report and `batch diff` all use it.

Pure functions over arrays. A list is a row of indices, best first, padded with -1.

Shapes: R pairs of lists, D positions.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Positions that a user sees at once, and that churn is about.
TOP: Final = 10


def shared_by_depth(left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count the movies that both lists have in their top-d, for every d.

    Args:
        left: [R, D].
        right: [R, D]; a movie that a list contains twice counts once.

    Returns:
        [R, D]; column d - 1 is the count for the top-d.
    """
    rows, depth = left.shape
    span = 1 + int(max(left.max(initial=0), right.max(initial=0)))
    keys, positions = zip(*(_keys(lists, span) for lists in (left, right)), strict=True)
    common, in_left, in_right = np.intersect1d(*keys, return_indices=True)
    # A movie is common to both from the lower of its two positions on.
    position = np.maximum(positions[0][in_left], positions[1][in_right])
    first = np.bincount(common // span * depth + position, minlength=rows * depth)
    return first.reshape(rows, depth).cumsum(axis=1)


def overlap(earlier: NDArray[np.int32], later: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of the earlier top-10 that is in the later top-10.

    Churn is 1 - overlap: the share of the top-10 that is gone. The order within the top-10 does
    not matter. A share of the earlier list, so that a list that lost most of its movies has high
    churn.

    Args:
        earlier: [R, D].
        later: [R, D].

    Returns:
        [R], 0 to 1; NaN where the earlier list is empty.
    """
    earlier, later = earlier[:, :TOP], later[:, :TOP]
    shared = shared_by_depth(earlier, later)[:, -1]
    lengths = _lengths(earlier)
    shares = np.full(len(earlier), np.nan)
    np.divide(shared, lengths, out=shares, where=lengths > 0)
    return shares


def padded(lists: Sequence[Sequence[int] | NDArray[np.int32]], depth: int) -> NDArray[np.int32]:
    """Return lists of any lengths as rows, cut or padded with -1 to the same depth."""
    rows = np.full((len(lists), depth), -1, np.int32)
    for row, items in zip(rows, lists, strict=True):
        row[: len(items)] = items[:depth]
    return rows


def rank_biased_overlap(
    left: NDArray[np.int32], right: NDArray[np.int32], *, p: float
) -> NDArray[np.float64]:
    """Return extrapolated rank-biased overlap, which weights earlier positions more.

    The mean agreement over all depths d, weighted by (1 - p) p^(d - 1). Beyond the end of a list
    agreement is assumed to continue unchanged.

    Args:
        left: [R, D] lists of any length.
        right: [R, D].
        p: persistence, 0 < p < 1: the probability that a reader of one movie reads the next, so
            that 1 / (1 - p) movies are read on average.

    Returns:
        [R], 0 (nothing in common) to 1 (equal lists); NaN where both are empty.

    Source:
        RBO_ext, equation 32 of Webber, Moffat, Zobel: A similarity measure for indefinite rankings.
        ACM TOIS 28(4), 2010, doi:10.1145/1852102.1852106.
    """
    shared = shared_by_depth(left, right)
    lengths = _lengths(left), _lengths(right)
    short, long = np.minimum(*lengths)[:, np.newaxis], np.maximum(*lengths)[:, np.newaxis]
    depth = np.arange(1, left.shape[1] + 1)  # [D]
    last = np.maximum(long, 1)
    at_short = np.take_along_axis(shared, np.maximum(short, 1) - 1, axis=1) / np.maximum(short, 1)
    agreement = (shared + np.maximum(0, depth - short) * at_short) / depth  # [R, D]
    at_end = np.take_along_axis(agreement, last - 1, axis=1)
    agreement = np.where(depth <= long, agreement, at_end)
    weights = (1 - p) * p ** (depth - 1.0)
    value: NDArray[np.float64] = agreement @ weights + at_end[:, 0] * p ** left.shape[1]
    return np.where(long[:, 0] > 0, value, np.nan)


def _keys(lists: NDArray[np.int32], span: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each entry, unique to its row and movie, and its position."""
    rows, positions = np.nonzero(lists >= 0)
    return rows * span + lists[rows, positions], positions


def _lengths(lists: NDArray[np.int32]) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = (lists >= 0).sum(axis=1)
    return lengths
