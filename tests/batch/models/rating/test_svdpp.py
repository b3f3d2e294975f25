"""SVD++ member: its loss in plain numpy, leave-one-out sums, and reproducible bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import ODD_DATA, random_ratings, ratings_of
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.svdpp import SvdppModel, train_svdpp
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.scoring.factor_model import fit_biases
from reco_batch.settings.hyperparameters import EnsembleParameters
from stopped_training import Stopped, StoppingStage

SCALE = 0.5, 5.0
SMALL = EnsembleParameters(embedding_dim=3, epochs=4, batch_size=50, learning_rate=0.02)


def model_of(ratings, features, *, users=5, seed=0):
    """Make a model with random variables, as if trained."""
    model = SvdppModel(ratings, features, SMALL, user_count=users, seed=seed)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.5, variable.shape).astype(np.float32))
    return model


def columns_of(ratings, model, rows):
    """Return the columns of a step."""
    return {
        "user": ratings.user_index[rows],
        "movie": ratings.movie_index[rows],
        "rating": ratings.rating[rows],
        "deviation": model.deviation[rows],
    }


def deviations(ratings, *, counts):
    """Return the deviation of ratings from their biases."""
    above = ratings.rating - ratings.rating.mean()
    of_user, of_movie = fit_biases(ratings, above, counts=counts, shrinkage=2)
    return above - of_user[ratings.user_index] - of_movie[ratings.movie_index]


def plain_vector(model, ratings, deviation, user, *, without=None):
    """Sum a user's vector rating by rating, in float64."""
    own = [row for row in np.flatnonzero(ratings.user_index == user) if row != without]
    total = np.zeros(SMALL.embedding_dim)
    for row in own:
        movie = ratings.movie_index[row]
        total += deviation[row] * model.by_deviation.numpy()[movie]
        total += model.by_presence.numpy()[movie]
    return model.users.numpy()[user] + total / np.sqrt(len(own) + 1)


def plain_stars(model, features, vector, user, movie):
    """Predict one pair from a user's vector."""
    taste = model.shared_taste.numpy() + model.tastes.numpy()[user]
    movie_vector = model.movies.numpy()[movie] + features[movie] @ model.movie_content.numpy()
    return (
        model.mean
        + model.user_bias.numpy()[user]
        + model.movie_bias.numpy()[movie]
        + features[movie] @ taste
        + vector @ movie_vector
    )


def plain_loss(model, ratings, features, rows):
    """Compute the loss of a step from the formula."""
    deviation, loss = deviations(ratings, counts=(5, 8)), 0.0
    for row in rows:
        user, movie = ratings.user_index[row], ratings.movie_index[row]
        vector = plain_vector(model, ratings, deviation, user, without=row)
        error = ratings.rating[row] - plain_stars(model, features, vector, user, movie)
        biases = model.user_bias.numpy()[user] ** 2 + model.movie_bias.numpy()[movie] ** 2
        own = np.square(model.users.numpy()[user]).sum()
        own += np.square(model.movies.numpy()[movie]).sum()
        loss += error**2 + SMALL.bias_l2 * biases + SMALL.vector_l2 * own

    def size(*tables):
        return sum(np.square(table.numpy()).sum() for table in tables)

    shared = SMALL.history_l2 * size(model.by_deviation, model.by_presence)
    shared += SMALL.taste_l2 * size(model.tastes, model.movie_content, model.shared_taste)
    return loss / len(rows) + shared / len(ratings)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_loss_is_the_formula(seed):
    """Each rating is excluded from its own user's history."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(rng, users=5, movies=8)
    features = rng.normal(size=(8, 2)).astype(np.float32)
    model = model_of(ratings, features, seed=seed)
    rows = rng.permutation(len(ratings))[:6]

    loss = model.compute_loss(columns_of(ratings, model, rows), training=True)

    assert float(loss) == pytest.approx(plain_loss(model, ratings, features, rows), rel=1e-4)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_linear_form_predicts_what_the_model_does(seed):
    """Predictions use complete histories, also for users without ratings."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(rng, users=4, movies=8)
    features = rng.normal(size=(8, 2)).astype(np.float32)
    model = model_of(ratings, features, seed=seed)

    linear = model.linear((-100, 100))

    deviation = deviations(ratings, counts=(5, 8))
    pairs = np.indices((5, 8)).reshape(2, -1).astype(np.int32)
    expected = [
        plain_stars(model, features, plain_vector(model, ratings, deviation, user), user, movie)
        for user, movie in pairs.T
    ]
    np.testing.assert_allclose(linear.predict(*pairs), expected, rtol=1e-3, atol=1e-3)
    assert linear.scale == (-100, 100)


def test_nothing_is_predicted_from_itself(tf):
    """A user's only rating has no gradient in the history vectors."""
    ratings = ratings_of([(0, 0), (1, 1), (1, 2)])
    model = model_of(ratings, np.zeros((3, 1), np.float32), users=2)

    def gradient_of(rows):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(columns_of(ratings, model, rows))
            loss -= model._table_penalty()
        return tf.convert_to_tensor(tape.gradient(loss, model.by_presence)).numpy()

    np.testing.assert_allclose(gradient_of(np.array([0])), 0, atol=1e-6)
    of_pair = np.abs(gradient_of(np.array([1]))).max(axis=1)
    np.testing.assert_allclose(of_pair[[0, 1]], 0, atol=1e-6)
    assert of_pair[2] > 0.01


@pytest.fixture(scope="module")
def fit(dataset):
    """Train on the planted ratings."""

    def train(*, stage, seed=42, checkpoints=None):
        return train_svdpp(
            dataset.ratings,
            content_features(dataset.movies),
            SMALL,
            user_count=len(dataset.user_ids),
            scale=SCALE,
            seed=seed,
            stage=stage,
            checkpoints=checkpoints,
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


def test_training_fits_the_stars(trained, dataset):
    """The error is below that of the mean, and each epoch is reported."""
    model, stage = trained

    ratings = dataset.ratings
    predicted = model.predict(ratings.user_index, ratings.movie_index)
    error = np.sqrt(np.square(predicted - ratings.rating).mean())
    assert error < 0.8 * ratings.rating.std()
    assert stage.left == 0
    assert model.scale == SCALE


def test_seed_fixes_the_model(fit, trained, stage):
    """Equal seeds return equal models to the last bit, other seeds others."""
    assert same_bits(fit(stage=stage), trained[0])
    assert not same_bits(fit(stage=stage, seed=43), trained[0])


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_bits(fit, trained, tmp_path, stage):
    """Variables and the number of steps are sufficient to resume."""
    messages = []

    def checkpoints():
        return Checkpoints(tmp_path, training="it", every_seconds=0, show=messages.append)

    with pytest.raises(Stopped):
        fit(stage=StoppingStage(after=2), checkpoints=checkpoints())
    resumed = fit(stage=stage, checkpoints=checkpoints())

    assert messages == ["it: resuming after epoch 2"]
    assert same_bits(resumed, trained[0])


@pytest.mark.parametrize("name", ["one rating", "no timestamps", "nothing but ids"])
@pytest.mark.slow
def test_odd_data_has_finite_stars(stage, name):
    """Users and movies without ratings have finite predictions."""
    ratings, movies = ODD_DATA[name]
    users = int(ratings.user_index.max()) + 2

    model = train_svdpp(
        ratings,
        content_features(movies),
        SMALL,
        user_count=users,
        scale=SCALE,
        seed=1,
        stage=stage,
    )

    stars = model.predict(*np.indices((users, len(movies))).reshape(2, -1).astype(np.int32))
    assert ((stars >= 0.5) & (stars <= 5)).all()
