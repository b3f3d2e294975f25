"""Multilayer perceptron on folded batches: the plain network's squared error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.models.rating.mlp import MlpModel, train_mlp
from reco_batch.models.training.folded_batches import stack_batches
from reco_batch.scoring.ranked_lists import predict, ranked_blocks
from reco_batch.settings.hyperparameters import MlpParameters

USERS, MOVIES = 6, 8
IDS = [f"u{n}" for n in range(USERS)], [f"m{n}" for n in range(MOVIES)]
SMALL = MlpParameters(embedding_dim=3, hidden_units=(5, 4))


def model_of(*, seed=0):
    """Make an untrained model with large embeddings and biases, so that every weight matters."""
    model = MlpModel(*IDS, SMALL, seed=seed)
    rng = np.random.default_rng(seed)
    for layer in (model.first, model.second, model.stars):
        layer.bias.assign(rng.normal(size=layer.bias.shape))
    for tower in (model.user_tower, model.movie_tower):
        tower.embedding.embeddings.assign(20 * tower.embedding.embeddings)
    return model


def drawn(count, *, seed):
    """Draw user rows, movie rows and ratings; row 0 is not drawn, as in training."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(1, USERS + 1, count).astype(np.int32),
        rng.integers(1, MOVIES + 1, count).astype(np.int32),
        (rng.integers(1, 11, count) / 2).astype(np.float32),
    )


def features_of(tf, users, movies):
    """Return the ids of rows, for the plain network."""
    return {
        "userId": tf.constant([IDS[0][row - 1] for row in users]),
        "movieId": tf.constant([IDS[1][row - 1] for row in movies]),
    }


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 12))
def test_loss_and_gradients_are_the_plain_networks(tf, seed, count, batch_size):
    """A folded and padded step has the mean squared error of the plain batch."""
    users, movies, stars = drawn(count, seed=seed)
    batches = stack_batches(users, movies, stars, batch_size=batch_size)
    model = model_of(seed=seed)

    for step, start in enumerate(range(0, count, batch_size)):
        rows = slice(start, start + batch_size)
        with tf.GradientTape(persistent=True) as tape:
            folded = model.compute_loss({name: array[step] for name, array in batches.items()})
            predicted = model(features_of(tf, users[rows], movies[rows]))
            plain = tf.keras.losses.MeanSquaredError()(stars[rows, np.newaxis], predicted)
        # Stars of float32 are right to about 1e-7 of themselves, their squared errors to that much.
        np.testing.assert_allclose(folded, plain, rtol=1e-5, atol=1e-6)
        for weight in model.trainable_variables:
            np.testing.assert_allclose(
                tf.convert_to_tensor(tape.gradient(folded, weight)),
                tf.convert_to_tensor(tape.gradient(plain, weight)),
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.mark.parametrize("batch_size", [400, 11])
def test_training_equals_that_of_the_plain_network(tf, dataset, stage, batch_size):
    """Three epochs of two or of many steps end in the predictions of the notebook's model."""
    parameters = MlpParameters(
        embedding_dim=4, hidden_units=(6, 5), learning_rate=0.05, epochs=3, batch_size=batch_size
    )
    ids = {"user_ids": dataset.user_ids, "movie_ids": dataset.movies.ids}
    squared_error = tf.keras.losses.MeanSquaredError()

    class Plain(MlpModel):
        """Training on folded batches equals the notebook's training on ids."""

        def compute_loss(self, inputs, training=False):  # noqa: ARG002, FBT002  # Keras's signature
            return squared_error(inputs["rating"][:, tf.newaxis], self(inputs))

    plain = Plain(*ids.values(), parameters, seed=42)
    plain.compile(optimizer=tf.keras.optimizers.Adagrad(parameters.learning_rate))
    ratings = dataset.ratings
    columns = {
        "userId": np.array(dataset.user_ids)[ratings.user_index],
        "movieId": np.array(dataset.movies.ids)[ratings.movie_index],
        "rating": ratings.rating,
    }
    data = tf.data.Dataset.from_tensor_slices(columns).batch(batch_size)
    plain.fit(data, epochs=3, verbose=0)

    trained = train_mlp(ratings, **ids, parameters=parameters, seed=42, stage=stage)

    np.testing.assert_allclose(
        predict(trained.split_weights(), ratings.user_index, ratings.movie_index),
        predict(plain.split_weights(), ratings.user_index, ratings.movie_index),
        rtol=1e-3,
        atol=1e-3,
    )


def test_every_weight_is_trained():
    """Two tables, three kernels and three biases are trained."""
    assert len(model_of().trainable_variables) == 8


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_split_weights_predict_what_the_model_predicts(tf, seed):
    """Scoring without TensorFlow returns the network's prediction for every pair."""
    users, movies, _ = drawn(40, seed=seed)
    model = model_of(seed=seed)

    stars = predict(model.split_weights(), users - 1, movies - 1)

    np.testing.assert_allclose(
        stars, model(features_of(tf, users, movies))[:, 0], rtol=1e-5, atol=1e-5
    )


def test_training_lowers_the_error(dataset, rating_model):
    """The error is far below that of the mean on planted tastes."""
    ratings = dataset.ratings
    stars = predict(rating_model.split_weights(), ratings.user_index, ratings.movie_index)

    error = np.sqrt(np.mean((stars - ratings.rating) ** 2))
    assert error < 0.75 * ratings.rating.std()


def test_seed_fixes_the_lists(seen, rating_model, fit_rating):
    """Equal seeds return equal ranked lists to the last bit, other seeds other lists."""

    def lists(model):
        (block,) = ranked_blocks(model.split_weights(), seen, k=20, threads=2)
        return block

    first, again, other = (
        lists(model) for model in (rating_model, fit_rating(), fit_rating(seed=43))
    )

    np.testing.assert_array_equal(first.items, again.items)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert (first.items != other.items).any()


def test_stage_hears_of_every_epoch(fit_rating, stage):
    """Progress counts epochs, and its note ends with the last loss."""
    fit_rating(
        parameters=MlpParameters(embedding_dim=2, hidden_units=(2, 2), epochs=3), stage=stage
    )

    assert stage.steps == 3
    assert stage.notes[-1].startswith("epoch 3, loss ")


def test_loss_that_is_shown_is_the_mean_squared_error(dataset, rating_model, fit_rating, stage):
    """The loss is in squared rating units: the first epoch starts near the mean square."""
    fit_rating(
        parameters=MlpParameters(
            embedding_dim=2, hidden_units=(2, 2), learning_rate=1e-9, epochs=1
        ),
        stage=stage,
    )

    shown = float(stage.notes[-1].rpartition(" ")[2])
    assert shown == pytest.approx(np.mean(dataset.ratings.rating**2), rel=0.05)
