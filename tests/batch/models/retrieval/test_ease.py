"""EASE: one ridge regression per movie, factorised."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import START, ratings_of
from reco_batch.data.dataset import histories
from reco_batch.models.retrieval.cooccurrence import cooccurrence_counts
from reco_batch.models.retrieval.ease import fit_ease
from reco_batch.models.retrieval.recency import as_matrix
from reco_batch.settings.hyperparameters import EaseParameters

EVERY_MOVIE = EaseParameters(factors=64, l2=1.5, who_weight=0.5, least_ratings=0)


def interactions_of(seed, *, users=9, movies=6):
    """Draw random interactions."""
    chance = np.random.default_rng(seed).random((users, movies))
    return sp.csr_matrix((chance < 0.5).astype(np.float32))


def sittings_of(seed, *, movies=6):
    """Draw a random symmetric matrix of counts."""
    counts = np.triu(np.random.default_rng(seed).random((movies, movies)), 1)
    return sp.csr_matrix((counts + counts.T).astype(np.float32))


def no_sittings(movies=6):
    """Return empty co-occurrence counts."""
    return sp.csr_matrix((movies, movies), dtype=np.float32)


def regressions(rated, *, l2):
    """Predict each movie from all others by ridge regression, one at a time."""
    rated = rated.toarray().astype(np.float64)
    movies = rated.shape[1]
    weights = np.zeros((movies, movies))
    for movie in range(movies):
        others = np.arange(movies) != movie
        known = rated[:, others]
        weights[others, movie] = np.linalg.solve(
            known.T @ known + l2 * np.eye(movies - 1), known.T @ rated[:, movie]
        )
    return weights


def solved(system):
    """Return the weights by the inverse of the system, in float64."""
    inverse = np.linalg.inv(system)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def scores(interactions, neighbours):
    """Score all histories by the factors."""
    return interactions @ neighbours.into @ neighbours.out.T


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_without_sittings_each_movie_is_a_regression_on_the_others(seed):
    """One inverse equals a ridge regression per movie."""
    rated = interactions_of(seed)

    neighbours = fit_ease(rated, no_sittings(), EVERY_MOVIE, seed=1)

    expected = rated @ regressions(rated, l2=3)
    np.testing.assert_allclose(scores(rated, neighbours), expected, atol=1e-3)


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_sittings_stand_in_the_place_of_who_rated_both(seed):
    """The system is co-occurrence, a little co-rating, and each movie's count."""
    rated, sittings = interactions_of(seed), sittings_of(seed)
    parameters = EaseParameters(factors=64, l2=4, least_ratings=0, who_weight=0.3, own_weight=1.7)

    neighbours = fit_ease(rated, sittings, parameters, seed=1)

    dense = rated.toarray().astype(np.float64)
    system = 0.3 * dense.T @ dense + sittings.toarray()
    system += np.diag(1.7 * dense.sum(axis=0) + 4)
    np.testing.assert_allclose(scores(rated, neighbours), dense @ solved(system), atol=1e-3)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_few_factors_keep_the_most_of_the_scores(seed, dim):
    """The loss equals that of the best possible factors of that width."""
    rated = interactions_of(seed, users=30, movies=12)
    expected = rated @ regressions(rated, l2=3)
    parameters = EaseParameters(factors=dim, l2=1.5, who_weight=0.5, least_ratings=0)

    neighbours = fit_ease(rated, no_sittings(12), parameters, seed=1)

    assert neighbours.into.shape == neighbours.out.shape == (12, dim)
    lost = np.square(scores(rated, neighbours) - expected).sum()
    least = np.square(np.linalg.svd(expected, compute_uv=False)[dim:]).sum()
    assert lost == pytest.approx(least, rel=1e-3)


def test_movies_with_few_ratings_take_no_part():
    """Factors of movies with few ratings are zeros, and the others are unaffected."""
    rated = interactions_of(3)
    rare = sp.csr_matrix(([1.0, 1.0], ([0, 4], [0, 1])), (9, 2), dtype=np.float32)
    more = sp.csr_matrix(sp.hstack([rated, rare]))
    few = EaseParameters(factors=64, l2=1.5, least_ratings=2)

    found = fit_ease(more, no_sittings(8), few, seed=1)
    expected = fit_ease(rated, no_sittings(), few, seed=1)

    assert np.abs(expected.out).max(axis=1).all()
    np.testing.assert_array_equal(found.into[6:], 0)
    np.testing.assert_array_equal(found.out[6:], 0)
    np.testing.assert_array_equal(found.into[:6], expected.into)
    np.testing.assert_array_equal(found.out[:6], expected.out)


def test_a_large_catalogue_gives_way_to_its_most_rated():
    """The budget bounds memory; ties keep the lower index."""
    counts = [2, 5, 3, 5, 3, 3]
    rated = sp.csr_matrix(np.array([[user < n for n in counts] for user in range(6)], np.float32))
    parameters = EaseParameters(least_ratings=1, most_movies=4)

    neighbours = fit_ease(rated, no_sittings(), parameters, seed=1)

    assert np.flatnonzero(np.abs(neighbours.out).max(axis=1)).tolist() == [1, 2, 3, 4]


def test_where_all_have_few_ratings_all_take_part():
    """The most rated movies take part if none has enough ratings."""
    rated = sp.csr_matrix(np.eye(3, 4, 1, np.float32) + np.eye(3, 4, dtype=np.float32))

    neighbours = fit_ease(rated, no_sittings(4), EaseParameters(l2=0.1), seed=1)

    assert np.abs(scores(rated, neighbours)).max() > 0.1


@pytest.mark.parametrize(
    "rated",
    [np.eye(4), np.ones((3, 1)), np.zeros((2, 3)), np.tile([1.0, 0], (4, 1))],
    ids=["one movie a user", "one movie", "no rating", "one movie rated"],
)
def test_where_nothing_goes_with_anything_nothing_is_scored(rated):
    """Factors are zeros, without NaN."""
    rated = sp.csr_matrix(rated.astype(np.float32))

    neighbours = fit_ease(
        rated, no_sittings(rated.shape[1]), EaseParameters(least_ratings=0), seed=1
    )

    np.testing.assert_array_equal(neighbours.into, 0)
    assert np.isfinite(neighbours.out).all()


def test_seed_fixes_the_factors():
    """Equal seeds return equal bits."""
    rated = interactions_of(5, users=40, movies=50)
    parameters = EaseParameters(factors=4)

    one, again, other = (
        fit_ease(rated, no_sittings(50), parameters, seed=seed) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(one.into, again.into)
    np.testing.assert_array_equal(one.out, again.out)
    assert (one.out != other.out).any()


@pytest.mark.parametrize("length", [2, 41, 60, 300])
@pytest.mark.parametrize("gap", [0, 60, 3600])
def test_default_weights_always_have_an_inverse(length, gap):
    """The smallest eigenvalue of the system is positive without l2, whatever the times.

    With `own_weight` below 1.2 it would not be, and the solution would be noise.
    """
    of = EaseParameters()
    ratings = ratings_of(
        [(0, movie) for movie in range(length)],
        timestamps=[START + gap * place for place in range(length)],
    )
    rated = as_matrix(histories(ratings, user_count=1), None, movie_count=length).toarray()
    sittings = cooccurrence_counts(ratings, movie_count=length, window=of.window).toarray()

    system = of.who_weight * rated.T @ rated + sittings + of.own_weight * np.diag(rated.sum(axis=0))

    assert np.linalg.eigvalsh(system.astype(np.float64)).min() > 0.5
