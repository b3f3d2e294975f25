"""Metrics that equal those of TFRS and Keras."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from all_movies import accuracy_among_all
from reco_batch.data.dataset import Ratings, histories
from reco_batch.evaluation.evaluate import rmse
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.rating_weights import RatingWeights


def drawn(*shape, seed):
    """Return small integers as float32: products are exact, ties are common."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def pairs(users, movies, count, *, seed):
    """Return ratings of random pairs."""
    rng = np.random.default_rng(seed)
    return Ratings(
        rng.integers(0, users, count).astype(np.int32),
        rng.integers(0, movies, count).astype(np.int32),
        (rng.integers(1, 11, count) / 2).astype(np.float32),
        None,
    )


def _others(held_out, *, seed):
    """Return ratings of random pairs that are not held out, each once."""
    others = pairs(5, 30, 40, seed=seed + 2)
    codes, rated = (own.user_index * 30 + own.movie_index for own in (others, held_out))
    _, once = np.unique(codes, return_index=True)
    return others.take(once[~np.isin(codes[once], rated)])


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_accuracy_is_that_of_factorized_top_k(tf, tfrs, seed, count):
    """Ties counted as TFRS counts them: only a better movie pushes the held-out one down."""
    embeddings = Embeddings(drawn(5, 2, seed=seed), drawn(30, 2, seed=seed + 1))
    held_out = pairs(5, 30, count, seed=seed)

    seen = histories(_others(held_out, seed=seed), user_count=5)

    accuracy = accuracy_among_all(embeddings, held_out, seen=seen, ks=(1, 5, 10))

    index = tfrs.layers.factorized_top_k.BruteForce(k=10).index(tf.constant(embeddings.movies))
    metric = tfrs.metrics.FactorizedTopK(index, ks=(1, 5, 10))
    metric.update_state(
        tf.constant(embeddings.users[held_out.user_index]),
        tf.constant(embeddings.movies[held_out.movie_index]),
    )
    assert list(accuracy) == ["top_1_accuracy", "top_5_accuracy", "top_10_accuracy"]
    assert list(accuracy.values()) == pytest.approx([float(v) for v in metric.result()])


def test_accuracy_by_hand():
    """One of three held-out movies is first, one second and one last."""
    embeddings = Embeddings(np.ones((1, 1), np.float32), np.float32([[3], [2], [1], [0]]))
    held_out = Ratings(np.zeros(3, np.int32), np.int32([0, 1, 3]), np.ones(3, np.float32), None)

    assert accuracy_among_all(embeddings, held_out, ks=(1, 2, 4)) == {
        "top_1_accuracy": pytest.approx(1 / 3),
        "top_2_accuracy": pytest.approx(2 / 3),
        "top_4_accuracy": 1.0,
    }


def test_accuracy_over_several_chunks():
    """Held-out ratings beyond one chunk are all counted."""
    embeddings = Embeddings(drawn(7, 3, seed=1), drawn(20, 3, seed=2))
    held_out = pairs(7, 20, 1300, seed=3)
    scores = embeddings.users @ embeddings.movies.T
    own = scores[held_out.user_index, held_out.movie_index]
    better = (scores[held_out.user_index] > own[:, np.newaxis]).sum(axis=1)

    assert accuracy_among_all(embeddings, held_out, ks=(5,)) == {
        "top_5_accuracy": pytest.approx((better < 5).mean())
    }


def test_rmse_equals_that_of_keras(tf):
    """The root of the mean squared error of predicted ratings."""
    weights = RatingWeights(
        drawn(6, 4, seed=1),
        drawn(9, 4, seed=2),
        drawn(4, 3, seed=3),
        drawn(3, seed=4),
        drawn(3, seed=5),
        np.float32(1),
    )
    held_out = pairs(6, 9, 700, seed=6)
    first = weights.users[held_out.user_index] + weights.movies[held_out.movie_index]
    second = np.maximum(np.maximum(first, 0) @ weights.hidden + weights.hidden_bias, 0)
    metric = tf.keras.metrics.RootMeanSquaredError()
    metric.update_state(held_out.rating, second @ weights.output + weights.output_bias)

    assert rmse(weights, held_out) == pytest.approx(float(metric.result()), rel=1e-6)


def test_without_held_out_ratings_there_is_no_metric():
    """The accuracies are missing, and the RMSE is NaN."""
    nothing = pairs(1, 1, 0, seed=0)
    ones = np.ones((1, 1), np.float32)
    weights = RatingWeights(ones, ones, ones, ones[0], ones[0], np.float32(0))

    assert accuracy_among_all(Embeddings(ones, ones), nothing) == {}
    assert math.isnan(rmse(weights, nothing))
