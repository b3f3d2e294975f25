"""Ranking metrics agree with scikit-learn, and their intervals with SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from ranking_oracle import judge
from reco_batch.data.dataset import Histories
from reco_batch.metrics.ranking_metrics import hits_of, interval, list_metrics, per_user_metrics


def as_histories(rows):
    """Join rows of movies, one per user."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Histories(offsets, np.array([m for row in rows for m in row], np.int32))


@st.composite
def lists_and_relevant(draw):
    """Draw lists, some short and some empty, and relevant movies for each user."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    users, movies, length = (
        draw(st.integers(low, high)) for low, high in ((1, 8), (3, 40), (1, 25))
    )
    length = min(length, movies)
    lists = np.stack([rng.permutation(movies)[:length] for _ in range(users)]).astype(np.int32)
    for row in lists:
        row[rng.choice([length, length, 0, rng.integers(0, length + 1)]) :] = -1
    relevant = [rng.permutation(movies)[: rng.integers(1, movies + 1)] for _ in range(users)]
    return lists, [row.tolist() for row in relevant], draw(st.integers(1, length))


@settings(max_examples=60, deadline=None)
@given(lists_and_relevant())
def test_metrics_equal_those_of_scikit_learn(case):
    """Short, full and empty lists with few or many relevant movies agree, user by user."""
    lists, relevant, k = case

    ours = per_user_metrics(lists, as_histories(relevant), np.arange(len(lists)), ks=(k,))

    theirs = [judge(*pair, k=k) for pair in zip(lists.tolist(), relevant, strict=True)]
    assert ours.keys() == theirs[0].keys()
    for name, values in ours.items():
        expected = [row[name] for row in theirs]
        np.testing.assert_allclose(values, expected, atol=1e-12, err_msg=name)


def test_metrics_by_hand():
    """Two of three relevant movies, at the first and the third of four positions."""
    lists = np.array([[5, 1, 7, 2]], np.int32)

    found = per_user_metrics(lists, as_histories([[7, 5, 9]]), np.array([0]), ks=(2, 4))

    assert {name: float(values[0]) for name, values in found.items()} == {
        "recall@2": 1 / 2,
        "ndcg@2": pytest.approx(1 / (1 + 1 / np.log2(3))),
        "map@2": 1 / 2,
        "hit@2": 1,
        "recall@4": pytest.approx(2 / 3),
        "ndcg@4": pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3) + 1 / 2)),
        "map@4": pytest.approx((1 + 2 / 3) / 3),
        "hit@4": 1,
    }


def test_lists_of_some_users_are_compared_with_their_own_movies():
    """The row of a list may differ from the index of its user."""
    relevant = as_histories([[0], [1], [2]])

    hits = hits_of(np.array([[2, 1], [0, 2]], np.int32), relevant, np.array([2, 0]))

    assert hits.tolist() == [[True, False], [True, False]]


def test_an_empty_position_is_no_hit():
    """-1 is no movie, whatever is relevant."""
    lists = np.array([[-1, -1]], np.int32)

    found = per_user_metrics(lists, as_histories([[0, 1]]), np.array([0]), ks=(2,))

    assert {float(values[0]) for values in found.values()} == {0.0}


def test_list_metrics_by_hand():
    """Three lists of two over five movies, two of them equal, one with an empty position."""
    lists = np.array([[0, 1, 4], [0, 1, 3], [2, -1, -1]], np.int32)
    rated = np.array([7, 3, 0, 0, 1])

    found = list_metrics(lists, rated, k=2)

    shares = np.array([8, 4, 1, 1, 2]) / 16
    shown = [0, 1, 0, 1, 2]
    assert found == {
        "coverage@2": 3 / 5,
        "novelty@2": pytest.approx(-np.log2(shares[shown]).mean()),
        "popularity@2": pytest.approx(np.mean([5 / 5, 4 / 5, 5 / 5, 4 / 5, 2 / 5])),
        "distinct_lists@2": 2 / 3,
        "gini@2": pytest.approx((0 * 1 + 2 * 2 + 4 * 2) / (5 * 5)),
    }


def test_the_interval_equals_that_of_scipy():
    """The percentile bootstrap of the mean, up to the randomness of resampling."""
    values = np.random.default_rng(3).beta(0.5, 2, 400)

    ours = np.mean([interval(values, seed=seed) for seed in range(10)], axis=0)

    theirs = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.03 * width)
    assert interval(values, seed=1) == interval(values, seed=1)
