"""Variety of lists equals the formulas of the papers, written out pair by pair."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.data.dataset import Histories
from reco_batch.metrics import list_variety
from reco_batch.metrics.list_variety import gini, intra_list_diversity, miscalibration, tag_shares


def cosine(one, other):
    """Return the cosine; 0 for a zero vector."""
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return one @ other / length if length else 0.0


def diversity_by_pairs(row, vectors):
    """Return the mean of 1 - cosine over the pairs."""
    pairs = list(combinations([m for m in row if m >= 0], 2))
    if not pairs:
        return math.nan
    return np.mean([1 - cosine(vectors[one], vectors[other]) for one, other in pairs])


def gini_by_pairs(counts):
    """Return the mean absolute difference of all pairs by twice the mean."""
    differences = [abs(int(one) - int(other)) for one in counts for other in counts]
    return np.mean(differences) / (2 * np.mean(counts))


def tags_of(movies, tags):
    """Return the distribution of the tags of some movies."""
    total = Counter()
    for movie in movies:
        for tag in tags[movie]:
            total[tag] += 1 / len(tags[movie])
    return {tag: value / sum(total.values()) for tag, value in total.items()}


def divergence(row, history, tags):
    """Return the smoothed Kullback-Leibler divergence of Steck's paper."""
    wanted, given = tags_of(history, tags), tags_of([m for m in row if m >= 0], tags)
    if not wanted or not given:
        return math.nan
    return sum(
        share * math.log(share / (0.99 * given.get(tag, 0) + 0.01 * share))
        for tag, share in wanted.items()
    )


@st.composite
def cases(draw):
    """Draw lists, histories, vectors and tags; some of each are empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    movies, users = draw(st.integers(2, 20)), draw(st.integers(1, 9))
    lists = np.stack([rng.permutation(movies)[: min(10, movies)] for _ in range(users)])
    for row in lists:
        row[rng.integers(0, lists.shape[1] + 1) :] = -1
    histories = [rng.permutation(movies)[: rng.integers(0, movies)] for _ in range(users)]
    vectors = rng.integers(-2, 3, (movies, 3)).astype(np.float32)
    tags = [tuple(rng.permutation(list("abcd"))[: rng.integers(0, 4)]) for _ in range(movies)]
    return lists.astype(np.int32), histories, vectors, tags


@pytest.fixture(autouse=True)
def two_users_at_a_time(monkeypatch):
    """Measure few users at a time, so that there are several parts."""
    monkeypatch.setattr(list_variety, "_CELLS", 60)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_variety_is_that_of_the_formulas(case):
    """Lists and histories may be short, and vectors and tags may be missing."""
    lists, histories, vectors, tags = case
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in histories])]).astype(np.int64)
    joined = Histories(offsets, np.concatenate(histories).astype(np.int32))
    counts = np.bincount(lists[lists >= 0], minlength=len(tags))

    np.testing.assert_allclose(
        intra_list_diversity(lists, vectors),
        [diversity_by_pairs(row, vectors) for row in lists.tolist()],
        atol=1e-5,
    )
    np.testing.assert_allclose(
        miscalibration(lists, joined, tag_shares(tags)),
        [divergence(*pair, tags) for pair in zip(lists.tolist(), histories, strict=True)],
        atol=1e-9,
    )
    if counts.any():
        assert gini(counts) == pytest.approx(gini_by_pairs(counts))


def test_the_users_at_a_time_depend_on_tags_and_histories_not_on_the_catalogue(monkeypatch):
    """Else a large catalogue is measured two dozen users at a time."""
    own, sizes = list_variety._distribution, []

    def counted(movies, counts, shares):
        sizes.append(len(counts))
        return own(movies, counts, shares)

    monkeypatch.setattr(list_variety, "_distribution", counted)
    monkeypatch.setattr(list_variety, "_CELLS", 100)
    shares = tag_shares([("a", "b")] * 1000)
    lists = np.zeros((50, 1), np.int32)

    for length, expected in ((1, [50, 50]), (10, [10] * 10)):
        sizes.clear()
        movies = np.zeros(50 * length, np.int32)
        miscalibration(lists, Histories(np.arange(51) * length, movies), shares)
        assert sizes == expected


def test_variety_by_hand():
    """Opposite movies are as diverse as can be; half of the wanted tags cost one bit or so."""
    vectors = np.array([[2, 0], [-1, 0], [1, 0]], np.float32)
    lists = np.array([[0, 1], [0, 2], [1, -1]], np.int32)
    history = Histories(np.array([0, 2, 4, 6]), np.array([0, 1] * 3, np.int32))

    found = miscalibration(lists, history, tag_shares([("a",), ("b",), ("a",)]))

    assert intra_list_diversity(lists, vectors)[:2].tolist() == [2, 0]
    assert np.isnan(intra_list_diversity(lists, vectors)[2])
    assert found[0] == pytest.approx(0)
    assert found[1] == pytest.approx(0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(0.5 / 0.005))
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([0, 0, 0, 4])) == 0.75
    assert math.isnan(gini(np.array([0, 0])))
