"""Ridge regression: shared weights, and each user's deviation from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import ODD_DATA, random_ratings, ratings_of
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.ridge import fit_ridge
from reco_batch.scoring.factor_model import fit_biases

SCALE = 0.5, 5.0


def fit(ratings, features, *, users=5, l2=3.0):
    """Fit with default hyper-parameters."""
    ratings = ratings.take(np.argsort(ratings.user_index, kind="stable"))
    return fit_ridge(ratings, features, user_count=users, scale=SCALE, l2=l2, shrinkage=2.0)


def ridge(rows, target, l2):
    """Regress by least squares with extra rows for the penalty."""
    penalty = np.sqrt(l2) * np.eye(rows.shape[1])
    target = np.concatenate([target, np.zeros(rows.shape[1])])
    return np.linalg.lstsq(np.vstack([rows, penalty]), target, rcond=None)[0]


def plain_fit(ratings, features, *, users=5, l2=3.0):
    """Fit the same user by user in float64; return biases and weights."""
    user, movie = ratings.user_index, ratings.movie_index
    above, rows = ratings.rating - ratings.rating.mean(dtype=np.float64), features[movie]
    explained = np.zeros(len(ratings))

    def biases():
        residual = (above - explained).astype(np.float32)
        return fit_biases(ratings, residual, counts=(users, len(features)), shrinkage=2.0)

    for _ in range(3):
        of_user, of_movie = biases()
        left = above - of_user[user] - of_movie[movie]
        shared = ridge(rows, left, l2)
        tastes = np.array(
            [
                shared + ridge(rows[user == who], (left - rows @ shared)[user == who], l2)
                for who in range(users)
            ]
        )
        explained = (rows * tastes[user]).sum(axis=1)
    return *biases(), tastes


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_fit_is_that_of_regressions_one_by_one(seed, width):
    """The user without ratings has the shared weights."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(rng, users=4, movies=8, share=0.7)
    features = rng.normal(size=(8, width)).astype(np.float32)

    model = fit(ratings, features)

    of_user, of_movie, tastes = plain_fit(ratings, features)
    assert model.mean == pytest.approx(ratings.rating.mean(), rel=1e-6)
    np.testing.assert_allclose(model.user_bias, of_user, atol=1e-4)
    np.testing.assert_allclose(model.movie_bias, of_movie, atol=1e-4)
    np.testing.assert_allclose(model.users, tastes, atol=1e-3)
    np.testing.assert_array_equal(model.movies, features)
    assert model.scale == SCALE


def test_planted_taste_is_found(dataset):
    """The genre that a user prefers has the highest prediction, for every user."""
    features = content_features(dataset.movies)

    model = fit(dataset.ratings, features, users=len(dataset.user_ids))

    taste = np.array([(int(user_id) // 7 - 1) % 3 for user_id in dataset.user_ids])
    users, movies = model.folded()
    of_genre = (users @ movies.T).reshape(len(users), -1, 3).mean(axis=1)  # [U, genre]
    assert (of_genre.argmax(axis=1) == taste).mean() > 0.6  # by chance a third


def test_the_order_of_rows_has_no_effect(dataset):
    """Sums are equal up to rounding."""
    features = content_features(dataset.movies)
    rows = np.random.default_rng(0).permutation(len(dataset.ratings))

    one = fit(dataset.ratings, features, users=40)
    other = fit(dataset.ratings.take(rows), features, users=40)

    np.testing.assert_allclose(one.users, other.users, atol=1e-4)
    np.testing.assert_allclose(one.movie_bias, other.movie_bias, atol=1e-4)


def test_the_same_data_gives_the_same_bits(dataset):
    """There is no randomness."""
    features = content_features(dataset.movies)

    one, again = (fit(dataset.ratings, features, users=40) for _ in range(2))

    np.testing.assert_array_equal(one.users, again.users)
    np.testing.assert_array_equal(one.user_bias, again.user_bias)


@pytest.mark.parametrize(("ratings", "movies"), ODD_DATA.values(), ids=ODD_DATA)
def test_odd_data_has_finite_stars(ratings, movies):
    """Few, equal or missing ratings, and a user and movies without ratings."""
    users = int(ratings.user_index.max()) + 2

    model = fit(ratings, content_features(movies), users=users)

    pairs = np.indices((users, len(movies))).reshape(2, -1).astype(np.int32)
    stars = model.predict(*pairs)
    assert ((stars >= 0.5) & (stars <= 5)).all()


def test_more_pull_is_less_taste():
    """The limit is no users with ratings."""
    ratings = ratings_of([(0, 0), (0, 1), (0, 2), (0, 3)], stars=[5, 1, 5, 1])
    features = np.array([[1], [0], [1], [0]], np.float32)

    sizes = [np.abs(fit(ratings, features, l2=l2).users).max() for l2 in (0.1, 3, 1e6)]

    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] == pytest.approx(0, abs=1e-4)
