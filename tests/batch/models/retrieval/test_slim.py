"""SLIM's coordinate descent against scikit-learn, and its screening against dense similarities."""

from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet

from reco_batch.models.retrieval import slim
from reco_batch.models.retrieval.slim import Products, screened, solved
from reco_batch.settings.hyperparameters import NeighbourParameters

L1, L2 = 0.3, 1.5


def interactions_of(seed, *, users=40, movies=8):
    """Draw interactions in which half of the pairs are rated."""
    chance = np.random.default_rng(seed).random((users, movies))
    return (chance < 0.5).astype(np.float32)


def others_of(movies):
    """Return every other movie of each movie, [I, I - 1]."""
    return np.array([[n for n in range(movies) if n != movie] for movie in range(movies)])


def until_converged():
    """Run so many sweeps that further ones change nothing."""
    return patch.multiple(slim, _MOST_SWEEPS=500, _ENOUGH=0)


def solved_from(rated, near, *, l1=L1, l2=L2):
    """Return the weights of some neighbours, with each movie as a target."""
    system = rated.T @ rated
    wanted = np.where(near < 0, 0, np.take_along_axis(system.T, np.maximum(near, 0), axis=1))
    return solved(system, wanted.astype(np.float32), near, [(l1, l2)])[0]


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_weights_are_those_of_a_non_negative_elastic_net(seed):
    """Each column is a regression of a movie on the others, with both penalties times users."""
    rated = interactions_of(seed)
    users, movies = rated.shape
    near = others_of(movies)

    with until_converged():
        found = solved_from(rated, near)

    net = ElasticNet(
        alpha=(L1 + L2) / users,
        l1_ratio=L1 / (L1 + L2),
        positive=True,
        fit_intercept=False,
        tol=1e-8,
        max_iter=10_000,
    )
    for movie in range(movies):
        expected = net.fit(rated[:, near[movie]].astype(np.float64), rated[:, movie]).coef_
        np.testing.assert_allclose(found[movie], expected, atol=1e-4)
    assert found.dtype == np.float32
    assert (found > 0.05).any()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.01, 3), st.floats(0.5, 30))
def test_weights_meet_the_conditions_of_an_optimum(seed, l1, l2):
    """The gradient is zero at a positive weight, and not negative at a zero."""
    rated = interactions_of(seed)
    near = others_of(rated.shape[1])

    with until_converged():
        found = solved_from(rated, near, l1=l1, l2=l2)

    system = (rated.T @ rated).astype(np.float64)
    for movie, own in enumerate(near):
        gradient = system[np.ix_(own, own)] @ found[movie] - system[own, movie]
        gradient += l1 + l2 * found[movie]
        used = found[movie] > 0
        np.testing.assert_allclose(gradient[used], 0, atol=1e-3)
        assert (gradient[~used] > -1e-3).all()


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_usual_sweeps_come_close_to_the_optimum(seed):
    """With the default penalties no weight changes by more than a hundredth."""
    rated, default = interactions_of(seed), NeighbourParameters()
    near = others_of(rated.shape[1])

    found = solved_from(rated, near, l1=default.l1, l2=default.l2)

    with until_converged():
        expected = solved_from(rated, near, l1=default.l1, l2=default.l2)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_places_without_a_neighbour_have_no_weight():
    """-1 never has a weight, and the others are those of the smaller problem."""
    rated = interactions_of(3)
    near = others_of(8)[:, :4]

    found = solved_from(rated, np.column_stack([np.full((8, 3), -1), near]))

    np.testing.assert_array_equal(found[:, :3], 0)
    np.testing.assert_array_equal(found[:, 3:], solved_from(rated, near))


def test_a_stronger_penalty_leaves_fewer_weights():
    """L1 selects, and a penalty above every product leaves none."""
    rated, near = interactions_of(5), others_of(8)

    few, many = (solved_from(rated, near, l1=l1) for l1 in (5, 0.01))

    assert np.count_nonzero(few) < np.count_nonzero(many)
    np.testing.assert_array_equal(solved_from(rated, near, l1=100), 0)


def products_of(rated, rows, *, counts, diagonal=None):
    """Return the factors of dense ratings and co-occurrence."""
    places = np.full(rated.shape[1], -1)
    places[rows] = np.arange(len(rows))
    diagonal = np.zeros(len(rows), np.float32) if diagonal is None else diagonal
    matrices = (sp.csr_matrix(matrix) for matrix in (rated.T, rated[:, rows], counts))
    return Products(*matrices, places, diagonal, rated[:, rows].sum(axis=0))


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_neighbours_are_the_most_similar_by_a_dense_computation(seed, most):
    """Shrunken cosine; a movie is not its own neighbour, and only pairs with common users are."""
    rng = np.random.default_rng(seed)
    rated = (rng.random((12, 9)) < 0.3).astype(np.float32)
    rows = np.flatnonzero(rng.random(9) < 0.8)
    targets = np.arange(9)
    common = rated.T @ rated[:, rows]
    totals = rated[:, rows].sum(axis=0)
    counts = rng.integers(0, 2, (9, 9)).astype(np.float32) * (rng.random() < 0.5)
    diagonal = rng.random(len(rows)).astype(np.float32)
    system = np.full((len(rows), len(rows)), np.nan, np.float32)

    found, products = screened(
        products_of(rated, rows, counts=counts, diagonal=diagonal), targets, system, most=most
    )

    common += counts[:, rows]
    np.testing.assert_array_equal(system, common[rows] + np.diag(diagonal))
    assert found.shape == products.shape == (9, most)
    for target in targets:
        similarity = common[target] / np.sqrt(np.maximum(totals, 1e-12))
        similarity *= common[target] / (common[target] + 3)
        similarity[rows == target] = 0
        kept = found[target][found[target] >= 0]
        count = min(most, np.count_nonzero(similarity))
        assert (np.diff(kept) > 0).all()
        assert (found[target][: most - count] == -1).all()
        np.testing.assert_array_equal(products[target][: most - count], 0)
        np.testing.assert_array_equal(products[target][most - count :], common[target, kept])
        best = np.sort(similarity)[::-1][:count]  # of equal ones either is right
        np.testing.assert_allclose(np.sort(similarity[kept])[::-1], best, rtol=1e-5)


@pytest.mark.parametrize("common", [1.0, 40.0])
def test_a_pair_with_few_common_users_is_less_similar(common):
    """Among two pairs with equal cosine, the one with more common users is kept."""
    rows, counts = np.array([0, 1]), np.zeros((3, 3), np.float32)
    counts[2, :2] = common, 4.0
    products = products_of(np.zeros((1, 3), np.float32), rows, counts=counts)
    products = products._replace(totals=np.array([common**2, 16.0], np.float32))

    found, _ = screened(products, np.array([2]), np.empty((2, 2), np.float32), most=1)

    assert found[0, 0] == (0 if common > 4 else 1)


@pytest.mark.parametrize("most", [4, 8])
def test_tiny_strengths_take_no_place_of_a_neighbour(most):
    """A similarity that rounds to zero is none; half-lives make strengths as small as these."""
    rated = np.array([[2.0**-50] * 6, [1, 1, 1, 0, 0, 0]], np.float32)
    nothing = np.zeros((6, 6), np.float32)
    products = products_of(rated, np.arange(6), counts=nothing)
    products = products._replace(totals=np.square(rated).sum(axis=0))

    found, _ = screened(products, np.arange(6), np.empty_like(nothing), most=most)

    assert found[0].tolist() == [-1] * (most - 2) + [1, 2]
    assert found[5].tolist() == [-1] * most
