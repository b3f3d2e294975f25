"""Weights of the ratings in a history, and histories as a matrix."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handmade_ratings import random_ratings, ratings_of
from reco_batch.data.dataset import histories
from reco_batch.models.retrieval.history_weights import (
    as_matrix,
    evidence,
    history_weights,
    recency_weights,
)
from reco_batch.scoring.explanations import liked, strengths


@given(st.integers(0, 10**6), st.floats(0, 3))
def test_the_newest_counts_one_and_the_sixth_half_to_the_power(seed, exponent):
    """Each user's ratings are numbered from the newest."""
    ratings = random_ratings(np.random.default_rng(seed), users=4, movies=8)
    history = histories(ratings, user_count=5)

    weights = recency_weights(history, exponent=exponent)

    expected = [
        (place / 5 + 1) ** -exponent for user in range(5) for place in range(len(history.of(user)))
    ]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert weights.dtype == np.float32


@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.5, 0.0, -0.5]))
def test_a_disliked_rating_counts_by_its_own_weight(seed, dislike_weight):
    """Ratings below the user's mean have the factor, whatever their age."""
    ratings = random_ratings(np.random.default_rng(seed), users=4, movies=8)
    rated = strengths(ratings, user_count=5)

    found = history_weights(rated, recency=0.5, dislike_weight=dislike_weight)

    factor = np.where(rated.weights == 1, 1, dislike_weight)
    expected = recency_weights(rated.history, exponent=0.5) * factor
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_the_liked_ratings_are_left_as_they_are():
    """Both halves, and the explanations, compute weights from the same ratings."""
    rated = strengths(ratings_of([(0, 0), (0, 1)], stars=[1, 5]), user_count=1)

    history_weights(rated, recency=1.0, dislike_weight=-0.5)

    assert rated.weights.tolist() == [1, -1]  # newest first


def test_events_below_0_are_dislikes_of_their_strength():
    """Stars and events are two ends of one thing; only whether a dislike was a choice differs."""
    events = replace(
        ratings_of([(0, 0), (0, 1), (1, 2)], timestamps=None),
        rating=None,
        strength=np.array([2, -3, 1], np.float32),
    )
    rated = strengths(events, user_count=2)

    assert rated.weights.tolist() == [-3, 2, 1]  # newest first
    assert history_weights(rated, recency=0, dislike_weight=-0.5).tolist() == pytest.approx(
        [-0.5, 2 / 3, 1]
    )
    assert evidence(rated, events).tolist() == [0, 2, 1]
    assert liked(events, user_count=2).weights.tolist() == [0, 1, 1]
    stars = ratings_of([(0, 0), (0, 1)], stars=[1, 5])
    assert evidence(strengths(stars, user_count=1), stars) is None


def test_a_history_of_any_age_has_the_same_weights():
    """Users 0 and 2 differ only in the half-lives that they were idle; user 1 has no events."""
    strength = np.array([4, -2, 1], np.float32)
    events = replace(
        ratings_of([(user, movie) for user in (0, 2) for movie in range(3)], timestamps=None),
        rating=None,
        strength=np.concatenate([strength, strength * np.float32(2**-60)]),
    )

    found = history_weights(strengths(events, user_count=3), recency=0.5, dislike_weight=-0.5)

    recency = [1, 1.2**-0.5, 1.4**-0.5]
    assert found[:3].tolist() == pytest.approx([0.25, -0.25 * recency[1], recency[2]])
    assert found[3:].tolist() == found[:3].tolist()


def test_strengths_of_0_weigh_nothing():
    """As the limits of a sum may make them."""
    events = replace(
        ratings_of([(0, 0), (0, 1)], timestamps=None), rating=None, strength=np.zeros(2, np.float32)
    )

    found = history_weights(strengths(events, user_count=1), recency=0, dislike_weight=1)

    assert found.tolist() == [0, 0]


@given(st.integers(0, 10**6))
def test_matrix_has_each_weight_at_its_place(seed):
    """One row per user, also without ratings; without weights all values are 1."""
    rng = np.random.default_rng(seed)
    history = histories(random_ratings(rng, users=4, movies=8), user_count=5)
    weights = rng.random(len(history.movie_index)).astype(np.float32)

    weighted = as_matrix(history, weights, movie_count=9).toarray()
    plain = as_matrix(history, None, movie_count=9).toarray()

    expected = np.zeros((5, 9), np.float32)
    for user in range(5):
        expected[user, history.of(user)] = weights[history.offsets[user] :][: len(history.of(user))]
    np.testing.assert_array_equal(weighted, expected)
    np.testing.assert_array_equal(plain, expected > 0)
