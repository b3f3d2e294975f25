"""How alike ranked lists are, beside plain code that counts with sets and adds up a long series."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.metrics.rank_overlap import overlap, rank_biased_overlap, shared_by_depth

DEPTH = 6
LISTS = st.lists(st.integers(0, 9), max_size=DEPTH, unique=True)
PAIRS = st.lists(st.tuples(LISTS, LISTS), min_size=1, max_size=5)
#: So many terms that what is left out is below 1e-12 for p = 0.9.
TERMS = 300


def padded(lists):
    """Make rows as long as the depth."""
    return np.array([[*row, *[-1] * (DEPTH - len(row))] for row in lists], np.int32)


def plain_rbo(left, right, p):
    """Add up the series of the definition, lists going on below their ends as they were."""
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
def test_shared_is_what_sets_have_in_common(pairs):
    """At every depth, for lists of any length."""
    left, right = (padded(side) for side in zip(*pairs, strict=True))

    found = shared_by_depth(left, right)

    for row, (a, b) in enumerate(pairs):
        expected = [len(set(a[:d]) & set(b[:d])) for d in range(1, DEPTH + 1)]
        assert found[row].tolist() == expected


@given(PAIRS)
def test_overlap_is_a_part_of_the_left(pairs):
    """Of the first three; no figure where that list is empty."""
    left, right = (padded(side) for side in zip(*pairs, strict=True))

    found = overlap(left, right, k=3)

    for share, (a, b) in zip(found, pairs, strict=True):
        expected = len(set(a[:3]) & set(b[:3])) / len(a[:3]) if a else np.nan
        np.testing.assert_equal(share, expected)


@given(PAIRS, st.sampled_from([0.1, 0.5, 0.9]))
def test_rbo_is_the_sum_of_its_series(pairs, p):
    """For lists of any two lengths; either order gives the same."""
    left, right = (padded(side) for side in zip(*pairs, strict=True))

    found = rank_biased_overlap(left, right, p=p)

    np.testing.assert_allclose(found, [plain_rbo(a, b, p) for a, b in pairs], atol=1e-9)
    np.testing.assert_allclose(found, rank_biased_overlap(right, left, p=p))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 1.0),
        ([1, 2, 3], [4, 5, 6], 0.0),
        ([1, 2], [2, 1], 0.9),  # all but the first depth agree
        ([1, 2], [3, 1], 0.45),  # half from the second depth on
        ([1], [1, 2, 3], 1.0),  # what is there agrees, and is taken to go on so
        ([], [1, 2], 0.0),
    ],
)
def test_rbo_of_small_lists(left, right, expected):
    """Values that can be worked out by hand, with p = 0.9."""
    found = rank_biased_overlap(padded([left]), padded([right]), p=0.9)

    assert found[0] == pytest.approx(expected)


def test_what_stands_twice_counts_once():
    """A broken list does not agree more than a whole one."""
    left, right = padded([[1, 1, 1]]), padded([[1, 2, 3]])

    assert shared_by_depth(left, right)[0].tolist() == [1] * DEPTH
    assert overlap(left, right, k=3)[0] == pytest.approx(1 / 3)


def test_a_list_that_lost_all_but_one_did_not_stay():
    """What is left is a part of what was there."""
    assert overlap(padded([[1, 2, 3, 4]]), padded([[2]]), k=4)[0] == 0.25


def test_the_top_counts_most():
    """A change at the bottom is less than the same change at the top."""
    base = padded([[1, 2, 3, 4]])
    bottom, top = padded([[1, 2, 3, 9]]), padded([[9, 2, 3, 4]])

    found = [rank_biased_overlap(base, other, p=0.9)[0] for other in (bottom, top)]

    assert found[0] > found[1]
