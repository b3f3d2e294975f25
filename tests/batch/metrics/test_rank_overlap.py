"""Similarity of ranked lists, compared with plain code on sets and with the series of RBO."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.metrics.rank_overlap import (
    TOP,
    overlap,
    padded,
    rank_biased_overlap,
    shared_by_depth,
)

DEPTH = 14
LISTS = st.lists(st.integers(0, 25), max_size=DEPTH, unique=True)
PAIRS = st.lists(st.tuples(LISTS, LISTS), min_size=1, max_size=5)
#: Terms of the series; the remainder is below 1e-12 for p = 0.9.
TERMS = 300


def rows_of(lists):
    """Pad lists to rows."""
    return padded(lists, DEPTH)


def rbo_by_series(left, right, p):
    """Sum the series of the definition; beyond the end of a list agreement is unchanged."""
    short, long = sorted((left, right), key=len)
    if not long:
        return np.nan

    def shared(depth):
        return len(set(short[:depth]) & set(long[:depth]))

    def agreement(depth):
        s, depth = len(short), min(depth, len(long))
        missing = shared(s) / s * (depth - s) if s and depth > s else 0
        return (shared(depth) + missing) / depth

    return sum((1 - p) * p ** (depth - 1) * agreement(depth) for depth in range(1, TERMS))


@given(PAIRS)
def test_shared_movies_are_the_intersection_of_sets(pairs):
    """At every depth, for lists of any length."""
    left, right = (rows_of(side) for side in zip(*pairs, strict=True))

    shared = shared_by_depth(left, right)

    for row, (a, b) in enumerate(pairs):
        expected = [len(set(a[:d]) & set(b[:d])) for d in range(1, DEPTH + 1)]
        assert shared[row].tolist() == expected


@given(PAIRS)
def test_overlap_is_the_share_of_the_earlier_top(pairs):
    """Only the top-10 of both lists counts; an empty earlier list has no overlap."""
    earlier, later = (rows_of(side) for side in zip(*pairs, strict=True))

    shares = overlap(earlier, later)

    for share, (a, b) in zip(shares, pairs, strict=True):
        expected = len(set(a[:TOP]) & set(b[:TOP])) / len(a[:TOP]) if a else np.nan
        np.testing.assert_equal(share, expected)


@given(PAIRS, st.sampled_from([0.1, 0.5, 0.9]))
def test_rbo_is_the_sum_of_its_series(pairs, p):
    """For lists of any two lengths, in either order."""
    left, right = (rows_of(side) for side in zip(*pairs, strict=True))

    values = rank_biased_overlap(left, right, p=p)

    np.testing.assert_allclose(values, [rbo_by_series(a, b, p) for a, b in pairs], atol=1e-9)
    np.testing.assert_allclose(values, rank_biased_overlap(right, left, p=p))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 1.0),
        ([1, 2, 3], [4, 5, 6], 0.0),
        ([1, 2], [2, 1], 0.9),  # all but the first depth agree
        ([1, 2], [3, 1], 0.45),  # half agrees from the second depth on
        ([1], [1, 2, 3], 1.0),  # the first movie agrees, and agreement stays the same
        ([], [1, 2], 0.0),
    ],
)
def test_rbo_of_small_lists(left, right, expected):
    """Values computed by hand, with p = 0.9."""
    values = rank_biased_overlap(rows_of([left]), rows_of([right]), p=0.9)

    assert values[0] == pytest.approx(expected)


def test_a_movie_that_a_list_contains_twice_counts_once():
    """A broken list does not overlap more than a whole one."""
    left, right = rows_of([[1, 1, 1]]), rows_of([[1, 2, 3]])

    assert shared_by_depth(left, right)[0].tolist() == [1] * DEPTH
    assert overlap(left, right)[0] == pytest.approx(1 / 3)


def test_a_list_that_lost_most_of_its_movies_has_a_small_overlap():
    """The share is of the earlier list, not of the shorter one."""
    assert overlap(rows_of([[1, 2, 3, 4]]), rows_of([[2]]))[0] == 0.25


def test_earlier_positions_weigh_more_in_rbo():
    """A change at the bottom lowers it less than the same change at the top."""
    base = rows_of([[1, 2, 3, 4]])
    bottom, top = rows_of([[1, 2, 3, 9]]), rows_of([[9, 2, 3, 4]])

    values = [rank_biased_overlap(base, other, p=0.9)[0] for other in (bottom, top)]

    assert values[0] > values[1]
