"""Stored rating model: a user's vector is the regularised least-squares solution."""

import numpy as np
import pytest

from handmade_ratings import ratings_of
from reco_batch.models.rating.stored_rating import StoredRating
from reco_batch.scoring.factor_model import LinearRating

USERS, MOVIES, WIDTH = 30, 12, 3
IDS = tuple(f"m{movie}" for movie in range(MOVIES))


@pytest.fixture
def trained():
    """A model of random users and movies, and noisy ratings of every pair."""
    rng = np.random.default_rng(3)
    model = LinearRating(
        3.0,
        rng.normal(0.2, 0.3, USERS).astype(np.float32),
        rng.normal(0, 0.3, MOVIES).astype(np.float32),
        rng.normal(0, 1, (USERS, WIDTH)).astype(np.float32),
        rng.normal(0, 0.5, (MOVIES, WIDTH)).astype(np.float32),
        (-20, 20),
    )
    user, movie = (index.ravel().astype(np.int32) for index in np.indices((USERS, MOVIES)))
    stars = model.predict(user, movie) + rng.normal(0, 0.1, len(user)).astype(np.float32)
    return model, ratings_of(np.column_stack([user, movie]), stars=stars)


def test_it_is_the_normal_prior_of_the_trained_users(trained):
    """The mean is theirs, and the penalty is the noise times the inverse of their covariance."""
    model, ratings = trained
    stored = StoredRating.of(model, ratings, IDS)
    vectors = np.column_stack([model.user_bias, model.users])
    np.testing.assert_allclose(stored.usual, vectors.mean(axis=0), rtol=1e-5)
    left = ratings.stars - model.predict(ratings.user_index, ratings.movie_index)
    expected = np.mean(left**2) * np.linalg.inv(np.cov(vectors.T))
    np.testing.assert_allclose(stored.penalty, expected, rtol=1e-3, atol=1e-4)


def test_a_user_is_folded_in_by_least_squares(trained):
    """Independent of the order of the ratings, and equal to a solver of the stacked system."""
    model, ratings = trained
    stored = StoredRating.of(model, ratings, IDS)
    some = ratings.take(np.random.default_rng(5).permutation(len(ratings))[:100])
    found = stored.with_users(some, user_count=USERS + 1)
    features = np.column_stack([np.ones(MOVIES), model.movies])
    root = np.linalg.cholesky(stored.penalty).T
    for user in range(USERS + 1):
        own = some.take(np.flatnonzero(some.user_index == user))
        left = own.stars - model.mean - model.movie_bias[own.movie_index]
        rows = np.vstack([features[own.movie_index], root])
        x = np.linalg.lstsq(rows, np.append(left, root @ stored.usual), rcond=None)[0]
        np.testing.assert_allclose([found.user_bias[user], *found.users[user]], x, atol=1e-4)
    np.testing.assert_allclose(found.users[USERS], stored.usual[1:], rtol=1e-5)  # without ratings


def test_nobody_is_folded_in_too(trained):
    """A refresh without changed users has no ratings to fold in."""
    model, ratings = trained
    none = ratings.take(np.arange(0))
    found = StoredRating.of(model, ratings, IDS).with_users(none, user_count=0)
    assert found.users.shape == (0, WIDTH)


def test_it_is_arranged_for_other_movies(trained):
    """Movies keep their vectors in another order; an unknown one has none."""
    model, ratings = trained
    stored = StoredRating.of(model, ratings, IDS)
    other = stored.arranged(("m7", "new", "m0"))
    np.testing.assert_array_equal(other.movies[[0, 2]], model.movies[[7, 0]])
    np.testing.assert_array_equal(other.movie_bias[[0, 2]], model.movie_bias[[7, 0]])
    assert not other.movies[1].any()
    assert other.movie_bias[1] == 0
    assert other.counts.tolist() == [USERS, 0, USERS]
    assert stored.arranged(IDS) is stored
