"""Recency: weights, and the choice of the exponent on the validation part."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handmade_ratings import random_ratings, ratings_of
from reco_batch.data.dataset import histories
from reco_batch.models.retrieval.recency import as_matrix, choose_recency, recency_weights
from reco_batch.settings.hyperparameters import EaseParameters, HybridParameters

PARAMETERS = HybridParameters(neighbours=EaseParameters(least_ratings=1, l2=1))


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


def changed_tastes():
    """Make users who rated mostly movies 0 to 19 first and 20 to 39 last."""
    rng = np.random.default_rng(0)
    train, early, late = [], [], []
    for user in range(60):
        first, last = rng.permutation(20), 20 + rng.permutation(20)
        train += [(user, movie) for movie in (*first[:14], *last[:6])]
        early += [(user, movie) for movie in first[14:]]
        late += [(user, movie) for movie in last[6:12]]
    return ratings_of(train), ratings_of(early), ratings_of(late)


def choose(train, validation, parameters=PARAMETERS):
    """Choose an exponent for these users."""
    return choose_recency(
        train, validation, user_count=61, movie_count=40, parameters=parameters, seed=1
    )


def test_exponent_suits_what_is_held_out():
    """Late tastes are predicted by the newest ratings, early ones by all alike."""
    train, early, late = changed_tastes()

    exponent_of_late, found_late = choose(train, late)
    exponent_of_early, found_early = choose(train, early)

    assert exponent_of_late == 1.0
    assert exponent_of_early == 0.0
    for found, best in ((found_late, "1.0"), (found_early, "0.0")):
        assert list(found) == ["0.0", "0.1", "0.25", "0.5", "1.0"]
        assert all(0 <= value <= 1 for value in found.values())
        assert found[best] == max(found.values()) > min(found.values())


def test_a_sample_of_many_users_is_measured():
    """The sample depends on the seed and has the given size; metrics are of these users alone."""
    train, _, late = changed_tastes()
    everybody = choose(train, late)[1]

    few = replace(PARAMETERS, recency_users=12)
    exponent, found = choose(train, late, few)

    assert exponent == 1.0
    assert found != everybody
    assert found == choose(train, late, few)[1]
    of_twelve = np.sort(np.random.default_rng(1).choice(60, 12, replace=False))
    only = late.take(np.flatnonzero(np.isin(late.user_index, of_twelve)))
    assert found == choose(train, only)[1]


@pytest.mark.parametrize("lacking", ["validation", "time", "choice"])
def test_without_a_choice_it_is_the_first(lacking):
    """No metrics are computed then."""
    train, _, late = changed_tastes()
    cases = {
        "validation": (train, ratings_of([]), PARAMETERS),
        "time": (replace(train, timestamp=None), late, PARAMETERS),
        "choice": (train, late, HybridParameters(recency_choices=(0.0,))),
    }

    assert choose(*cases[lacking]) == (0.0, {})


def test_of_equals_the_first_is_chosen():
    """Without a difference between lists, all ratings count alike."""
    train = ratings_of([(user, movie) for user in range(3) for movie in range(3)])

    exponent, found = choose_recency(
        train, ratings_of([(0, 3)]), user_count=3, movie_count=4, parameters=PARAMETERS, seed=1
    )

    assert exponent == 0.0
    assert set(found.values()) == {1.0}
