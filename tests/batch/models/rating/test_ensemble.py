"""Rating ensemble: the sum of its members, its SavedModel, and its budget."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from handmade_ratings import ODD_DATA
from reco_batch.artifact.saved_models import EXPLICIT_MODEL, save_rating
from reco_batch.data.dataset import histories
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.bayesian_factors import BayesianFactors, train_factors
from reco_batch.models.rating.ensemble import (
    Ensemble,
    _features,
    planned_epochs,
    train_ensemble,
)
from reco_batch.models.rating.ridge import fit_ridge
from reco_batch.models.retrieval.cooccurrence import cooccurrence_counts, cooccurrence_factors
from reco_batch.models.retrieval.history_weights import as_matrix
from reco_batch.models.trainable import Training
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.settings.hyperparameters import EnsembleParameters
from stopped_training import Stopped, StoppingStage

SCALE = 0.5, 5.0
SMALL = EnsembleParameters(factors=4, embedding_dim=3, epochs=3, ridge_share=0.4)


@pytest.fixture(scope="module")
def fit(sittings):
    """Train on ratings given in sittings."""

    def train(*, stage, parameters=SMALL, seed=42, ratings=sittings.ratings, **more):
        return train_ensemble(
            lambda: ratings,
            movies=sittings.movies,
            user_count=len(sittings.user_ids),
            scale=SCALE,
            parameters=parameters,
            seed=seed,
            stage=stage,
            **more,
        )

    return train


@pytest.fixture(scope="module")
def trained(fit):
    """Model of seed 42, trained without a stop, and its stage."""
    stage = StoppingStage(after=SMALL.epochs)
    return fit(stage=stage), stage


def same_bits(one, other):
    """Return True if two models are equal to the last bit."""
    return one.mean == other.mean and all(
        np.array_equal(a, b) for a, b in zip(one[1:], other[1:], strict=True)
    )


def every_pair(sittings):
    """Return all users and movies, [2, U * I]."""
    size = len(sittings.user_ids), len(sittings.movies)
    return np.indices(size).reshape(2, -1).astype(np.int32)


def unheld(model, pairs):
    """Predict pairs without regard to the scale."""
    return model._replace(scale=(-100, 100)).predict(*pairs)


def test_stars_are_the_factors_and_a_share_of_the_ridge(trained, fit, sittings, stage):
    """The ridge regression is fitted to the leave-one-out residuals of the factors."""
    ratings, users, movies = sittings.ratings, len(sittings.user_ids), sittings.movies
    counts = cooccurrence_counts(ratings, movie_count=len(movies), window=SMALL.window)
    history = histories(ratings, user_count=users)
    interactions = as_matrix(history, None, movie_count=len(movies))
    factors = cooccurrence_factors(counts, interactions, dim=4, seed=42)
    factors /= np.sqrt(np.square(factors[ratings.movie_index]).sum(axis=1).mean())
    content, rated = content_features(movies), np.bincount(ratings.movie_index)
    rated = np.pad(rated, (0, len(movies) - len(rated)))
    features = _features(content, factors, interactions, rated)
    factors_only = BayesianFactors(ratings, features, SMALL, seed=42)
    train_factors(factors_only, epochs=SMALL.epochs, stage=stage)
    by_user = ratings.take(np.argsort(ratings.user_index, kind="stable"))
    ridge = fit_ridge(
        replace(by_user, rating=factors_only.leave_one_out(by_user)),
        np.hstack([content, 2 * factors]),
        user_count=users,
        scale=SCALE,
        l2=20.0,
        shrinkage=20.0,
    )

    model, reported = trained

    pairs = every_pair(sittings)
    expected = unheld(factors_only.linear(SCALE), pairs) + 0.4 * unheld(ridge, pairs)
    np.testing.assert_allclose(unheld(model, pairs), expected, rtol=1e-3, atol=1e-3)
    assert reported.left == 0
    plain = fit(stage=stage, parameters=replace(SMALL, ridge_share=0.0))
    np.testing.assert_allclose(
        unheld(plain, pairs), unheld(factors_only.linear(SCALE), pairs), rtol=1e-3, atol=1e-3
    )


def test_users_are_represented_by_their_history(sittings):
    """Two users with the same movies have the same features, others have others."""
    interactions = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]], np.float32))
    factors = np.random.default_rng(0).normal(size=(3, 2))

    features = _features(np.zeros((3, 1)), factors, interactions, np.array([2, 3, 1]))

    np.testing.assert_allclose(features.users[0], features.users[1], rtol=1e-5)
    assert np.abs(features.users[0, 2:] - features.users[2, 2:]).min() > 0.01
    # All have two ratings, so the logarithm of their number has no spread.
    np.testing.assert_array_equal(features.users[:, :2], [[1, 0]] * 3)


def test_seed_fixes_the_model(fit, trained, stage):
    """Equal seeds return equal models to the last bit, other seeds others."""
    assert same_bits(fit(stage=stage), trained[0])
    assert not same_bits(fit(stage=stage, seed=43), trained[0])


def test_a_resumed_training_ends_with_the_same_bits(fit, trained, tmp_path, stage):
    """The closed forms are computed again."""
    lines = []

    def checkpoints():
        return Checkpoints(tmp_path, training="it", every_seconds=0, show=lines.append)

    with pytest.raises(Stopped):
        fit(stage=StoppingStage(after=2), checkpoints=checkpoints())
    resumed = fit(stage=stage, checkpoints=checkpoints())

    assert lines == ["it: resuming after epoch 2"]
    assert same_bits(resumed, trained[0])


@pytest.fixture
def refit(tmp_path):
    """Checkpoints of a training that continues another."""
    return Checkpoints(tmp_path / "refit", training="refit", every_seconds=0, show=print)


def test_a_continued_training_needs_fewer_epochs(fit, sittings, stage, refit):
    """One epoch from the posterior of most ratings is nearer to convergence than three new ones."""
    pairs, long = every_pair(sittings), replace(SMALL, epochs=30)
    most = np.flatnonzero(np.arange(len(sittings.ratings)) % 10)
    measured = fit(
        stage=stage, parameters=long, ratings=sittings.ratings.take(most), successor=refit
    )

    continued = fit(stage=stage, parameters=replace(SMALL, epochs=1), checkpoints=refit)

    converged = unheld(fit(stage=stage, parameters=long), pairs)
    errors = [
        np.square(unheld(model, pairs) - converged).mean()
        for model in (continued, fit(stage=stage), measured)
    ]
    assert min(errors) == errors[0]
    assert errors[0] < 0.5 * errors[1]


def test_the_published_model_continues_the_measured_one(sittings, refit):
    """In a fifth of the epochs; in all of them if it has no complete state of the measured one."""
    model = Ensemble(replace(SMALL, epochs=10))
    stages = [StoppingStage(after=20) for _ in range(3)]
    training = Training(sittings, lambda: sittings.ratings, 1, stages[0])

    model.train(training._replace(successor=refit))
    continued = training._replace(stage=stages[1], checkpoints=refit)
    model.train(continued)
    model.train(continued._replace(stage=stages[2]))
    (refit.folder / "epoch-0000" / "state.index").unlink()
    anew = StoppingStage(after=20)
    model.train(continued._replace(stage=anew))

    assert [stage.left for stage in (*stages, anew)] == [10, 18, 18, 10]


def save(folder, model, sittings):
    """Save a model, and return its folder."""
    save_rating(folder, model, sittings.user_ids, sittings.movies.ids)
    return str(folder / EXPLICIT_MODEL)


def test_the_saved_model_predicts_the_same_stars(trained, sittings, tf, tmp_path):
    """Predictions by id are clipped to the rating scale."""
    model, _ = trained
    users, movies = every_pair(sittings)

    loaded = tf.saved_model.load(save(tmp_path, model, sittings))
    stars = loaded(
        {
            "userId": tf.constant(np.array(sittings.user_ids)[users]),
            "movieId": tf.constant(np.array(sittings.movies.ids)[movies]),
        }
    )

    assert stars.shape == (len(users), 1)
    np.testing.assert_allclose(
        stars.numpy()[:, 0], model.predict(users, movies), rtol=1e-5, atol=1e-5
    )


def test_who_is_not_known_has_the_mean_and_the_others_bias(trained, sittings, tf, tmp_path):
    """An unknown user, an unknown movie, and both, have predictions."""
    model, _ = trained
    loaded = tf.saved_model.load(save(tmp_path, model, sittings))

    stars = loaded(
        {
            "userId": tf.constant(["unknown", sittings.user_ids[0], "unknown"]),
            "movieId": tf.constant([sittings.movies.ids[1], "nothing", "nothing"]),
        }
    ).numpy()[:, 0]

    expected = model.mean + np.array([model.movie_bias[1], model.user_bias[0], 0])
    np.testing.assert_allclose(stars, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ODD_DATA)
@pytest.mark.slow
def test_odd_data_has_finite_stars(stage, tf, tmp_path, name):
    """Few, equal or missing ratings, text ids, and users and movies without ratings."""
    ratings, movies = ODD_DATA[name]
    users = int(ratings.user_index.max()) + 2
    user_ids = [f"user:{user}" for user in range(users)]

    model = train_ensemble(
        lambda: ratings,
        movies=movies,
        user_count=users,
        scale=SCALE,
        parameters=replace(SMALL, epochs=1),
        seed=1,
        stage=stage,
    )
    save_rating(tmp_path, model, user_ids, movies.ids)

    loaded = tf.saved_model.load(str(tmp_path / EXPLICIT_MODEL))
    pairs = np.indices((users, len(movies))).reshape(2, -1).astype(np.int32)
    stars = loaded(
        {
            "userId": tf.constant(np.array(user_ids)[pairs[0]]),
            "movieId": tf.constant(np.array(movies.ids)[pairs[1]]),
        }
    ).numpy()[:, 0]
    assert ((stars >= 0.5) & (stars <= 5)).all()
    np.testing.assert_allclose(stars, model.predict(*pairs), rtol=1e-5, atol=1e-5)


def test_epochs_fall_smoothly_beyond_the_budget():
    """By hand: 400 million visits are 40 epochs of 10 million ratings and 20 of 20 million."""
    parameters = EnsembleParameters()

    def epochs(count):
        return planned_epochs(parameters, rating_count=count)

    assert epochs(100_836) == epochs(10_000_000) == parameters.epochs == 40
    assert epochs(10_000_001) == 39
    assert epochs(20_000_000) == 20
    assert epochs(32_000_204) == 12
    assert epochs(100_000_000) == 8
    assert planned_epochs(replace(parameters, epochs=3), rating_count=32_000_204) == 3
