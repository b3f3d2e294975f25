"""How alike two ranked lists are: what they have in common, and how far up.

Pure functions over arrays. A list is a row of indices, best first, filled up with -1.

Shapes: R pairs of lists, D places.
"""

import numpy as np
from numpy.typing import NDArray


def shared_by_depth(left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count what both lists have among their first d places, for every d.

    Args:
        left: [R, D].
        right: [R, D]; what stands twice in a list counts once.

    Returns:
        [R, D]; column d - 1 is about the first d places.
    """
    rows, depth = left.shape
    span = 1 + int(max(left.max(initial=0), right.max(initial=0)))
    keys, places = zip(*(_keys(lists, span) for lists in (left, right)), strict=True)
    common, in_left, in_right = np.intersect1d(*keys, return_indices=True)
    # Both have it from the place on where the later of the two has it.
    place = np.maximum(places[0][in_left], places[1][in_right])
    first = np.bincount(common // span * depth + place, minlength=rows * depth)
    return first.reshape(rows, depth).cumsum(axis=1)


def overlap(left: NDArray[np.int32], right: NDArray[np.int32], *, k: int) -> NDArray[np.float64]:
    """Return the share of the left list's first k that are among the first k of the right one.

    Of the left one, the earlier, so that a list which lost all but a few is not one that stayed.

    Args:
        left: [R, D].
        right: [R, D].
        k: places, at most D.

    Returns:
        [R], 0 to 1; NaN where the left list is empty.
    """
    shared = shared_by_depth(left[:, :k], right[:, :k])[:, -1]
    lengths = _lengths(left[:, :k])
    found = np.full(len(left), np.nan)
    np.divide(shared, lengths, out=found, where=lengths > 0)
    return found


def rank_biased_overlap(
    left: NDArray[np.int32], right: NDArray[np.int32], *, p: float
) -> NDArray[np.float64]:
    """Return RBO, extrapolated: the top counts most, and lists may be of any length.

    The mean agreement over all depths d, weighted by (1 - p) p^(d - 1). Below the end of a list
    it is taken to go on as it was.

    Args:
        left: [R, D].
        right: [R, D].
        p: 0 < p < 1; a reader who has looked at one movie looks at the next with that probability,
            so 1 / (1 - p) are looked at on average.

    Returns:
        [R], 0 (nothing in common) to 1 (the same); NaN where both are empty.

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
    found: NDArray[np.float64] = agreement @ weights + at_end[:, 0] * p ** left.shape[1]
    return np.where(long[:, 0] > 0, found, np.nan)


def _keys(lists: NDArray[np.int32], span: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each entry, other in each row, and its place."""
    rows, places = np.nonzero(lists >= 0)
    return rows * span + lists[rows, places], places


def _lengths(lists: NDArray[np.int32]) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = (lists >= 0).sum(axis=1)
    return lengths
