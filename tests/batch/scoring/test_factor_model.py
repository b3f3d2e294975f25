"""Factor models: biases and a dot product, for one model and for a mean of several."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import random_ratings
from reco_batch.scoring import factor_model as linear_rating
from reco_batch.scoring.factor_model import LinearRating, fit_biases, weighted_sum

USERS, MOVIES = 5, 7
PAIRS = np.indices((USERS, MOVIES)).reshape(2, -1).astype(np.int32)
WIDE = -100.0, 100.0


def member(seed, *, width=3, scale=WIDE):
    """Return a random model."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return LinearRating(
        float(rng.normal()),
        normal(USERS),
        normal(MOVIES),
        normal(USERS, width),
        normal(MOVIES, width),
        scale,
    )


def plain_stars(model):
    """Add up every pair in float64, [U, I]."""
    stars = model.users.astype(np.float64) @ model.movies.T
    return stars + model.mean + model.user_bias[:, np.newaxis] + model.movie_bias


@given(st.integers(0, 10**6), st.integers(0, 4))
def test_stars_are_the_sum_of_their_parts(seed, width):
    """Predictions by pair and by folded dot product equal the sum of the parts."""
    model = member(seed, width=width)

    users, movies = model.folded()

    np.testing.assert_allclose(
        model.predict(*PAIRS), plain_stars(model).ravel(), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(users @ movies.T, plain_stars(model), rtol=1e-4, atol=1e-5)
    assert users.dtype == movies.dtype == np.float32


def test_no_more_stars_than_there_are():
    """Predictions are clipped to both ends of the scale."""
    model = member(1, scale=(-0.5, 0.5))

    stars = model.predict(*PAIRS)

    np.testing.assert_allclose(
        stars, np.clip(plain_stars(model).ravel(), -0.5, 0.5), rtol=1e-4, atol=1e-5
    )
    assert {-0.5, 0.5} < set(stars.tolist())


def test_chunks_change_nothing(monkeypatch):
    """Predictions do not depend on the chunk size."""
    expected = member(2).predict(*PAIRS)

    monkeypatch.setattr(linear_rating, "_CHUNK_PAIRS", 4)

    np.testing.assert_array_equal(member(2).predict(*PAIRS), expected)
    assert member(2).predict(PAIRS[0, :0], PAIRS[1, :0]).shape == (0,)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 4)), min_size=1, max_size=4))
def test_mean_of_models_predicts_the_mean(members):
    """The mean of models with different widths predicts their weighted mean."""
    models = [member(seed, width=width) for seed, width in members]
    shares = np.arange(1, len(models) + 1) / sum(range(1, len(models) + 1))

    joined = weighted_sum(models, list(shares))

    expected = sum(s * plain_stars(m) for s, m in zip(shares, models, strict=True))
    np.testing.assert_allclose(plain_stars(joined), expected, rtol=1e-4, atol=1e-5)
    assert joined.scale == WIDE


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([2.0, 3.0, 10.0]))
def test_biases_are_the_penalised_least_squares(seed, shrinkage):
    """Biases equal the penalised least-squares solution, and are 0 without ratings."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(rng, users=USERS - 1, movies=MOVIES - 1, share=0.7)
    residual = rng.normal(size=len(ratings)).astype(np.float32)

    of_users, of_movies = fit_biases(ratings, residual, counts=(USERS, MOVIES), shrinkage=shrinkage)

    rows = np.arange(len(ratings))
    design = np.zeros((len(ratings), USERS + MOVIES))
    design[rows, ratings.user_index] = 1
    design[rows, USERS + ratings.movie_index] = 1
    penalty = shrinkage * np.eye(USERS + MOVIES)
    expected = np.linalg.solve(design.T @ design + penalty, design.T @ residual)
    np.testing.assert_allclose([*of_users, *of_movies], expected, atol=5e-3)
    assert of_users[-1] == of_movies[-1] == 0
