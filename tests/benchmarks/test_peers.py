"""The models that benchmarks compare with follow their definitions."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from planted_ratings import as_dataset, planted_movies, planted_ratings

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers.py"


@pytest.fixture(scope="module")
def peers():
    """Return the module, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("peers", PEERS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dataset():
    """Return the planted ratings as a dataset."""
    return as_dataset(planted_ratings(), planted_movies())


def test_ease_over_users_is_ease_over_movies(peers, dataset):
    """EASE over users equals the paper's formula over movies, for known users and new histories."""
    shape = peers.Shape(len(dataset.user_ids), len(dataset.movies))
    half = dataset.ratings.take(np.arange(len(dataset.ratings) // 2))
    x, history = (peers.interactions(r, shape).toarray() for r in (half, dataset.ratings))
    inverse = np.linalg.inv(x.T @ x + 30.0 * np.eye(shape.movies))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)

    ease = peers.Ease(half, shape, l2=30.0)

    np.testing.assert_allclose(ease.scores(half, shape), x @ weights, atol=1e-5)
    np.testing.assert_allclose(ease.scores(dataset.ratings, shape), history @ weights, atol=1e-5)


@pytest.mark.parametrize("name", ["matrix factorisation", "ridge on genres and years"])
def test_star_predictors_explain_more_than_the_means(peers, dataset, name):
    """Rating predictors beat the means on their training data, by less with more regularisation."""

    def error(model):
        predicted = model.predict(dataset.ratings.user_index, dataset.ratings.movie_index)
        return np.mean((predicted - dataset.ratings.rating) ** 2)

    ratings = peers.Stars(dataset, dataset.ratings, 42)
    fit, settings = peers.STAR_PEERS[name]
    errors = [error(fit(ratings, **{**settings[0], "l2": l2})) for l2 in (0.5, 2.0)]

    assert errors[0] < errors[1] < error(peers.means(ratings))


def test_popularity_gives_all_users_the_same_list(peers, dataset):
    """Popularity gives all users the same list, by number of ratings."""
    shape = peers.Shape(len(dataset.user_ids), len(dataset.movies))

    scores = peers.popularity(dataset.ratings, shape)

    counts = np.bincount(dataset.ratings.movie_index, minlength=shape.movies)
    assert scores.shape == shape
    assert (scores == counts).all()
