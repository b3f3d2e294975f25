"""Rating ensemble: the mean of its members, its SavedModel, and its budget."""

from dataclasses import replace

import numpy as np
import pytest

from handmade_ratings import ODD_DATA
from reco_batch.artifact.saved_models import EXPLICIT_MODEL, save_rating
from reco_batch.data.dataset import histories
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.ensemble import train_ensemble, trained_members
from reco_batch.models.rating.ridge import fit_ridge
from reco_batch.models.rating.svdpp import train_svdpp
from reco_batch.models.retrieval.cooccurrence import cooccurrence_counts, cooccurrence_factors
from reco_batch.models.retrieval.recency import as_matrix
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.settings.hyperparameters import EnsembleParameters
from stopped_training import Stopped, StoppingStage

SCALE = 0.5, 5.0
SMALL = EnsembleParameters(
    factors=4, embedding_dim=3, epochs=3, batch_size=100, learning_rate=0.02, ridge_share=0.4
)


@pytest.fixture(scope="module")
def fit(sittings):
    """Train on ratings given in sittings."""

    def train(*, stage, parameters=SMALL, seed=42, checkpoints=None):
        return train_ensemble(
            sittings.ratings,
            movies=sittings.movies,
            user_count=len(sittings.user_ids),
            scale=SCALE,
            parameters=parameters,
            seed=seed,
            stage=stage,
            checkpoints=checkpoints,
        )

    return train


@pytest.fixture(scope="module")
def trained(fit):
    """Model of seed 42, trained without a stop, and its stage."""
    stage = StoppingStage(after=SMALL.members * SMALL.epochs)
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


def test_stars_are_the_mean_of_the_members(trained, sittings, stage):
    """The ridge regression has its share, and the trained members divide the rest."""
    ratings = sittings.ratings
    counts = cooccurrence_counts(ratings, movie_count=len(sittings.movies), window=SMALL.window)
    history = histories(ratings, user_count=len(sittings.user_ids))
    interactions = as_matrix(history, None, movie_count=len(sittings.movies))
    factors = cooccurrence_factors(counts, interactions, dim=4, seed=42)
    length = np.sqrt(np.square(factors[ratings.movie_index]).sum(axis=1).mean())

    def features(scale):
        return np.hstack([content_features(sittings.movies), factors * scale / length])

    users = len(sittings.user_ids)
    ridge = fit_ridge(ratings, features(3.0), user_count=users, scale=SCALE, l2=20.0, shrinkage=3.0)
    members = [
        train_svdpp(
            ratings,
            features(2.0).astype(np.float32),
            SMALL,
            user_count=users,
            scale=SCALE,
            seed=seed,
            stage=stage,
        )
        for seed in (42, 43)
    ]

    model, told = trained

    pairs = every_pair(sittings)
    expected = 0.4 * unheld(ridge, pairs) + 0.3 * sum(unheld(one, pairs) for one in members)
    np.testing.assert_allclose(unheld(model, pairs), expected, rtol=1e-3, atol=1e-3)
    assert told.left == 0


def test_without_trained_members_it_is_the_closed_form(fit, sittings, stage):
    """The ridge regression has weight 1 then."""
    model = fit(stage=stage, parameters=replace(SMALL, members=0))

    assert stage.steps == 0
    assert model.users.shape[1] == content_features(sittings.movies).shape[1] + 4
    predicted = model.predict(sittings.ratings.user_index, sittings.ratings.movie_index)
    assert np.square(predicted - sittings.ratings.rating).mean() < sittings.ratings.rating.var()


def test_seed_fixes_the_model(fit, trained, stage):
    """Equal seeds return equal models to the last bit, other seeds others."""
    assert same_bits(fit(stage=stage), trained[0])
    assert not same_bits(fit(stage=stage, seed=43), trained[0])


@pytest.mark.parametrize(
    ("after", "messages"),
    [(2, "member-1: resuming after epoch 2"), (4, "member-2: resuming after epoch 1")],
)
def test_a_resumed_training_ends_with_the_same_bits(fit, trained, tmp_path, stage, after, messages):
    """Members before the stopped one are not trained again."""
    lines = []

    def checkpoints():
        return Checkpoints(tmp_path, training="it", every_seconds=0, show=lines.append)

    with pytest.raises(Stopped):
        fit(stage=StoppingStage(after), checkpoints=checkpoints())
    resumed = fit(stage=stage, checkpoints=checkpoints())

    assert lines[-1] == f"it, {messages}"
    assert same_bits(resumed, trained[0])


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
        ratings,
        movies=movies,
        user_count=users,
        scale=SCALE,
        parameters=replace(SMALL, members=1, epochs=1),
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


def test_members_are_trained_up_to_the_budget_of_steps():
    """By hand: 5,000 steps of 2,048 ratings in each of six epochs are the last within it."""
    parameters = EnsembleParameters()

    assert trained_members(parameters, rating_count=100_836) == parameters.members
    assert trained_members(parameters, rating_count=5_000 * 2_048) == parameters.members
    assert trained_members(parameters, rating_count=5_000 * 2_048 + 1) == 0
    assert trained_members(parameters, rating_count=32_000_204) == 0
