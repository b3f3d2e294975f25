"""Item-item weights against dense computations of the papers' formulas."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet

from handmade_ratings import START, random_ratings, ratings_of
from reco_batch.models.retrieval import neighbours, slim
from reco_batch.models.retrieval.neighbours import (
    RatedPairs,
    SlimProblem,
    fit_neighbours,
    longest_history,
    most_rated,
)
from reco_batch.scoring.explanations import strengths
from reco_batch.settings.hyperparameters import NeighbourKind, NeighbourParameters

SLIM = NeighbourParameters(kind=NeighbourKind.SLIM, user_exponent=0, l1=0.3, l2=1.5)
WALK = NeighbourParameters(kind=NeighbourKind.WALK, popularity=0.4)
ORDERED = NeighbourParameters(kind=NeighbourKind.ORDERED, window=5, l1=0.3, l2=1.5)
EVERY_KIND = pytest.mark.parametrize(
    "parameters", [SLIM, WALK, ORDERED], ids=lambda parameters: parameters.kind.value
)


def pairs_of(seed, *, users=30, movies=8, timestamps=True):
    """Draw ratings; the last movie has none."""
    ratings = random_ratings(np.random.default_rng(seed), users=users, movies=movies - 1)
    if not timestamps:
        ratings = replace(ratings, timestamp=None)
    return pairs_from(ratings, users=users, movies=movies)


def pairs_from(ratings, *, users, movies):
    """Return the pairs of some ratings."""
    rated = strengths(ratings, user_count=users)
    parameters = NeighbourParameters(window=5)
    return RatedPairs.of(ratings, rated, movie_count=movies, parameters=parameters)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]))
def test_slim_is_a_regression_of_each_movie_on_all_others(seed, exponent):
    """Rows of users are weighted by n ** -exponent, relative to the mean over the ratings."""
    pairs = pairs_of(seed)
    rated = pairs.interactions.toarray()

    with patch.multiple(slim, _MOST_SWEEPS=500, _ENOUGH=0):
        found = fit_neighbours(pairs, replace(SLIM, user_exponent=exponent)).toarray()

    counts = rated.sum(axis=1)
    weights = np.maximum(counts, 1) ** -exponent
    weights /= (weights * counts).sum() / counts.sum()
    net = ElasticNet(
        alpha=1.8 / len(rated),
        l1_ratio=0.3 / 1.8,
        positive=True,
        fit_intercept=False,
        tol=1e-8,
        max_iter=10_000,
    )
    scaled = rated.astype(np.float64) * np.sqrt(weights)[:, np.newaxis]
    for movie in range(7):
        others = np.flatnonzero(np.arange(8) != movie)
        expected = net.fit(scaled[:, others], scaled[:, movie]).coef_
        np.testing.assert_allclose(found[others, movie], expected, atol=1e-4)
    np.testing.assert_array_equal(found[:, 7], 0)
    np.testing.assert_array_equal(found[7], 0)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_a_walk_is_the_dense_product_of_its_steps(seed, popularity):
    """Movie to user, user to movie, divided by the candidate's popularity to a power."""
    pairs = pairs_of(seed)
    rated = pairs.interactions.toarray().astype(np.float64)

    found = fit_neighbours(pairs, replace(WALK, popularity=popularity)).toarray()

    to_user = rated.T / np.maximum(rated.sum(axis=0), 1)[:, np.newaxis]
    to_movie = rated / np.maximum(rated.sum(axis=1), 1)[:, np.newaxis]
    expected = to_user @ to_movie / np.maximum(rated.sum(axis=0), 1) ** popularity
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@given(st.integers(0, 10**6), st.integers(1, 5))
def test_a_walk_keeps_the_largest_weights_of_each_column(seed, most):
    """The kept ones are unchanged."""
    pairs = pairs_of(seed)
    whole = fit_neighbours(pairs, WALK).toarray()

    found = fit_neighbours(pairs, replace(WALK, most_neighbours=most)).toarray()

    for column in range(8):
        kept = np.flatnonzero(found[:, column])
        np.testing.assert_array_equal(found[kept, column], whole[kept, column])
        expected = np.sort(whole[:, column])[::-1][:most]
        np.testing.assert_array_equal(np.sort(found[kept, column])[::-1], expected[expected > 0])


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_ordered_weights_solve_the_system_of_both_counts(seed):
    """Co-occurrence plus a share of co-rating, and the movie's count on the diagonal."""
    pairs = pairs_of(seed)
    rated, counts = pairs.interactions.toarray(), pairs.interactions.sum(axis=0).A1
    parameters = replace(ORDERED, user_exponent=0, together_weight=0.3, own_weight=2.0)

    problem = SlimProblem.of(pairs, parameters)

    rows = problem.rows
    both = 0.3 * rated.T @ rated + pairs.cooccurrence.toarray()
    expected = both[np.ix_(rows, rows)] + np.diag(2.0 * counts[rows])
    np.testing.assert_allclose(problem.system, expected, rtol=1e-5)
    for target, near, wanted in zip(problem.candidates, problem.near, problem.wanted, strict=True):
        kept = near >= 0
        np.testing.assert_allclose(wanted[kept], both[rows[near[kept]], target], rtol=1e-5)
        used = both[rows, target].astype(bool) & (rows != target)
        assert kept.sum() == min(used.sum(), parameters.most_neighbours)


def test_without_order_ordered_is_slim():
    """Ratings without times, or all of one time, have no co-occurrence."""
    pairs = pairs_of(7, timestamps=False)

    ordered, plain = (
        fit_neighbours(pairs, replace(ORDERED, kind=kind))
        for kind in (NeighbourKind.ORDERED, NeighbourKind.SLIM)
    )

    assert plain.nnz
    np.testing.assert_array_equal(ordered.toarray(), plain.toarray())
    assert pairs.kinds == (NeighbourKind.SLIM, NeighbourKind.WALK)
    assert pairs_of(7).kinds == tuple(NeighbourKind)


def test_order_changes_the_weights():
    """Two movies that are rated one after the other weigh more than two that are years apart."""
    order = [(0, 0), (0, 1), (0, 2)]
    ratings = ratings_of(
        [(user, movie) for user in range(20) for _, movie in order]
        + [(20 + n, 3 + n % 3) for n in range(20)],
        timestamps=[START + 10**6 * user + gap for user in range(20) for gap in (0, 60, 10**5)]
        + [START] * 20,
    )

    found = fit_neighbours(pairs_from(ratings, users=40, movies=6), ORDERED)

    assert found[0, 1] > 2 * found[0, 2]


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
def test_user_weights_have_a_mean_of_one_over_the_ratings(exponent):
    """So that the penalties are in common users at any exponent; users without ratings count 0."""
    interactions = pairs_of(1, users=25).interactions
    empty = sp.csr_matrix(sp.vstack([interactions, sp.csr_matrix((3, 8))]))

    found = neighbours._user_weights(empty, exponent)

    counts = np.diff(empty.indptr)
    assert (found * counts).sum() / counts.sum() == pytest.approx(1, rel=1e-5)
    rated = np.flatnonzero(counts)
    ratio = found[rated] * counts[rated] ** exponent
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


@EVERY_KIND
@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_weights_are_few_positive_and_off_the_diagonal(parameters, seed):
    """At most K weights a column, float32, finite, in canonical order."""
    found = fit_neighbours(pairs_of(seed), replace(parameters, most_neighbours=3))

    assert found.dtype == np.float32
    assert found.shape == (8, 8)
    assert (found.data > 0).all()
    assert np.isfinite(found.data).all()
    assert found.has_sorted_indices
    np.testing.assert_array_equal(found.diagonal(), 0)
    assert np.diff(found.tocsc().indptr).max(initial=0) <= 3


@EVERY_KIND
def test_blocks_of_candidates_do_not_change_the_weights(parameters, monkeypatch):
    """The last block may be smaller."""
    pairs = pairs_of(2)
    expected = fit_neighbours(pairs, parameters).toarray()

    monkeypatch.setattr(neighbours, "_CANDIDATES_AT_ONCE", 3)

    np.testing.assert_allclose(fit_neighbours(pairs, parameters).toarray(), expected, atol=1e-6)


@EVERY_KIND
def test_the_budget_limits_rows_and_not_candidates(parameters):
    """The most rated movies have rows; every rated movie remains a candidate."""
    counts = [20, 3, 15, 15, 4, 0]
    ratings = ratings_of(
        [(user, movie) for movie, count in enumerate(counts) for user in range(count)]
    )
    pairs = pairs_from(ratings, users=20, movies=6)
    few = replace(parameters, most_movies=2, l1=0.01)

    found = fit_neighbours(pairs, few).tocoo()

    assert most_rated(np.array(counts), few).tolist() == [0, 2]  # ties keep the lower index
    assert set(found.row) == {0, 2}
    assert set(found.col) == {0, 1, 2, 3, 4}


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(1, 5_000))
def test_histories_count_as_far_as_the_budget_of_pairs_allows(counts, budget):
    """One rating more of each longer history would exceed the budget."""
    parameters = NeighbourParameters(most_products=budget)

    longest = longest_history(np.array(counts, np.int64), parameters)

    def pairs(length):
        return sum(min(count, length) ** 2 for count in counts)

    assert longest >= 1
    assert pairs(longest) <= budget or longest == 1
    assert pairs(longest + 1) > budget or longest >= max(counts, default=0)


def test_a_history_beyond_the_budget_counts_with_its_newest_ratings():
    """A user with all movies, and two with two each: 4 + 4 + 9 pairs are within the budget."""
    ratings = ratings_of(
        [(0, movie) for movie in range(8)] + [(user, movie) for user in (1, 2) for movie in (0, 1)]
    )
    rated = strengths(ratings, user_count=3)
    parameters = NeighbourParameters(most_products=17)

    pairs = RatedPairs.of(ratings, rated, movie_count=8, parameters=parameters)

    np.testing.assert_array_equal(np.diff(pairs.interactions.indptr), [3, 2, 2])
    assert sorted(pairs.interactions[0].indices) == [5, 6, 7]


def events_of(seed, *, users=30, movies=8):
    """Draw interactions with strengths, some of them dislikes; the last movie has none."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(rng, users=users, movies=movies - 1)
    drawn = rng.choice([-2, 0.5, 1, 3], len(ratings)).astype(np.float32)
    return replace(ratings, rating=None, strength=drawn)


@pytest.mark.parametrize("seed", range(5))
def test_events_count_by_the_roots_of_their_strengths(seed):
    """SLIM's problem is that of a dense matrix of roots, in which dislikes are no choices."""
    ratings = events_of(seed)
    pairs = pairs_from(ratings, users=30, movies=8)
    roots = np.zeros((30, 8))
    roots[ratings.user_index, ratings.movie_index] = np.sqrt(np.maximum(ratings.strength, 0))

    problem = SlimProblem.of(pairs, SLIM)

    np.testing.assert_allclose(pairs.interactions.toarray(), roots, rtol=1e-6)
    products = roots.T @ roots
    wanted = products[np.ix_(problem.rows, problem.rows)]
    np.testing.assert_allclose(problem.system, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_walk_prefers_strong_events(seed):
    """A step is as probable as the entry's share of its row's or column's sum."""
    pairs = pairs_from(events_of(seed), users=30, movies=8)
    roots = pairs.interactions.toarray().astype(float)

    found = fit_neighbours(pairs, WALK).toarray()

    by_user, by_movie = roots.sum(axis=1), roots.sum(axis=0)
    users = roots / np.where(by_user > 0, by_user, 1)[:, np.newaxis]
    movies = roots / np.where(by_movie > 0, by_movie, 1)
    expected = movies.T @ users * np.where(by_movie > 0, by_movie, 1) ** -0.4
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_similar_movies_are_screened_by_the_cosine_of_the_roots(seed):
    """The two most similar movies of each are those with the largest shrunk cosine."""
    pairs = pairs_from(events_of(seed), users=30, movies=8)
    few = replace(SLIM, most_neighbours=2)

    problem = SlimProblem.of(pairs, few)

    products = np.asarray((pairs.interactions.T @ pairs.interactions).toarray(), float)
    shrunk = products / np.sqrt(np.maximum(np.diag(products), 1e-12))[:, np.newaxis]
    shrunk *= products / (products + 3)
    np.fill_diagonal(shrunk, -1)
    for movie, near in zip(problem.candidates, problem.near, strict=True):
        best = np.argsort(-shrunk[:, movie])[:2]
        assert set(problem.rows[near]) == set(best)


def test_movies_without_ratings_have_no_rows():
    """Not even within the budget."""
    assert most_rated(np.array([0, 3, 0, 1]), SLIM).tolist() == [1, 3]


@EVERY_KIND
@pytest.mark.parametrize(
    "rated",
    [np.eye(4), np.ones((3, 1)), np.zeros((2, 3)), np.tile([1.0, 0], (4, 1)), np.zeros((0, 2))],
    ids=["one movie a user", "one movie", "no rating", "one movie rated", "no user"],
)
def test_where_nothing_goes_with_anything_there_are_no_weights(parameters, rated):
    """An empty matrix of the size of the catalogue."""
    interactions = sp.csr_matrix(rated.astype(np.float32))
    movies = rated.shape[1]
    nothing = sp.csr_matrix((movies, movies), dtype=np.float32)

    found = fit_neighbours(RatedPairs(interactions, nothing), parameters)

    assert found.shape == (movies, movies)
    assert found.nnz == 0


@EVERY_KIND
def test_a_movie_with_one_rating_is_a_candidate(parameters):
    """Its weights are finite, and come from what its only user rated."""
    pairs = [(user, movie) for user in range(6) for movie in range(3)]
    ratings = ratings_of([*pairs, (0, 3)])

    found = fit_neighbours(pairs_from(ratings, users=6, movies=4), replace(parameters, l1=0.05))

    assert found[:, 3].nnz
    assert found[3, 3] == 0


def test_other_penalties_of_a_problem_converge_to_a_new_fit(monkeypatch):
    """Each starts from the solution before it, which saves sweeps."""
    monkeypatch.setattr(slim, "_MOST_SWEEPS", 300)
    monkeypatch.setattr(slim, "_ENOUGH", 0)
    pairs = pairs_of(9)
    stronger = replace(SLIM, l2=20.0)

    both = SlimProblem.of(pairs, SLIM).weights([(SLIM.l1, SLIM.l2), (stronger.l1, stronger.l2)])

    for found, parameters in zip(both, (SLIM, stronger), strict=True):
        expected = fit_neighbours(pairs, parameters)
        np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-5)
    assert (both[0] != both[1]).nnz
