"""Two-tower model on folded batches: the objective of TFRS."""

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import ratings_of
from reco_batch.models.retrieval.two_tower import TwoTowerModel, train_two_tower
from reco_batch.models.training.folded_batches import stack_batches
from reco_batch.scoring.explanations import explained, liked
from reco_batch.scoring.topk import TopK, top_k_blocks
from reco_batch.settings.hyperparameters import TwoTowerParameters

USERS, MOVIES = 6, 8
IDS = [str(n) for n in range(USERS)], [str(n) for n in range(MOVIES)]


def model_of(*, dim=4, seed=0, ratings=None):
    """Make an untrained model with large embeddings."""
    rated = partial(liked, ratings, user_count=USERS)
    model = TwoTowerModel(*IDS, TwoTowerParameters(embedding_dim=dim), rated=rated, seed=seed)
    for tower in (model.user_tower, model.movie_tower):
        tower.embedding.embeddings.assign(20 * tower.embedding.embeddings)
    return model


def tables_of(model):
    """Return both embedding tables, for gradients."""
    return [model.user_tower.embedding.embeddings, model.movie_tower.embedding.embeddings]


def step_of(batch, step):
    """Return one step of stacked batches."""
    return {name: array[step] for name, array in batch.items()}


def plain_loss(tfrs, users, movies):
    """Return the loss of TFRS with one embedding per interaction."""
    with warnings.catch_warnings():
        # Keras finds a softmax over a single movie odd; its loss is zero all the same.
        warnings.filterwarnings("ignore", "(?s).*expected y_pred.shape", SyntaxWarning)
        return tfrs.tasks.Retrieval()(users, movies)


def test_explanation_is_the_most_similar_liked_movie(tf):
    """Explanations use the angle between movies, and exclude disliked ones."""
    ratings = ratings_of([(0, 0), (0, 1), (0, 2), (0, 7), (1, 5)], stars=[4, 4, 4, 1, 3])
    model = model_of(dim=2, ratings=ratings)
    vectors = [[0, 0], [1, 0.1], [9, 9], [0.1, 1], [1, 0], [2, 2.1], [-1, -1], [0, 1], [1, 0]]
    model.movie_tower.embedding.embeddings.assign(tf.constant(vectors, tf.float32))
    lists = np.int32([[3, 4, 5], [3, 6, -1]])

    (block,) = explained(
        iter([TopK(lists, np.zeros(lists.shape, np.float32))]),
        model.embeddings().movies,
        model.influence(),
        threads=1,
    )

    # Movies 3 and 7 are (1, 0), movie 7 disliked; what points away from all is for no reason.
    assert block.reasons.tolist() == [[0, 1, -1], [-1, -1, -1]]


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 12))
def test_loss_and_gradients_are_those_of_tfrs(tf, tfrs, seed, count, batch_size):
    """A folded and padded step has the loss and gradients of the plain batch."""
    rng = np.random.default_rng(seed)
    users = rng.integers(1, USERS + 1, count).astype(np.int32)
    movies = rng.integers(1, MOVIES + 1, count).astype(np.int32)
    batches = stack_batches(users, movies, np.ones(count, np.float32), batch_size=batch_size)
    model = model_of(seed=seed)

    for step, start in enumerate(range(0, count, batch_size)):
        with tf.GradientTape(persistent=True) as tape:
            folded = model.compute_loss(step_of(batches, step), training=True)
            rows = slice(start, start + batch_size)
            expected = plain_loss(
                tfrs,
                model.user_tower.embedding(users[rows]),
                model.movie_tower.embedding(movies[rows]),
            )
        np.testing.assert_allclose(folded, expected, rtol=2e-5, atol=2e-5)
        for table in tables_of(model):
            np.testing.assert_allclose(
                tf.convert_to_tensor(tape.gradient(folded, table)),
                tf.convert_to_tensor(tape.gradient(expected, table)),
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.mark.parametrize("batch_size", [400, 11])
def test_training_equals_that_of_the_plain_model(tf, tfrs, dataset, stage, batch_size):
    """Three epochs of two or of many steps end in the embeddings of the notebook's model."""
    parameters = TwoTowerParameters(
        embedding_dim=8, learning_rate=0.1, epochs=3, batch_size=batch_size
    )
    ids = {"user_ids": dataset.user_ids, "movie_ids": dataset.movies.ids}
    start = TwoTowerModel(*ids.values(), parameters, rated=None, seed=42).embeddings()

    class Plain(tfrs.Model):
        """Train the notebook's model on row numbers."""

        def __init__(self):
            super().__init__()
            self.user_table = tf.Variable(start.users)
            self.movie_table = tf.Variable(start.movies)
            self.task = tfrs.tasks.Retrieval()

        def compute_loss(self, inputs, training=False):  # noqa: ARG002, FBT002  # Keras's signature
            return self.task(
                tf.gather(self.user_table, inputs["user"]),
                tf.gather(self.movie_table, inputs["movie"]),
            )

    plain = Plain()
    plain.compile(optimizer=tf.keras.optimizers.Adagrad(parameters.learning_rate))
    rows = {"user": dataset.ratings.user_index, "movie": dataset.ratings.movie_index}
    data = tf.data.Dataset.from_tensor_slices(rows).batch(parameters.batch_size)
    plain.fit(data, epochs=3, verbose=0)

    trained = train_two_tower(
        lambda: dataset.ratings, **ids, parameters=parameters, seed=42, stage=stage
    ).embeddings()

    np.testing.assert_allclose(trained.users, plain.user_table, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(trained.movies, plain.movie_table, rtol=1e-3, atol=1e-4)
    assert np.abs(trained.users - start.users).max() > 0.01


def test_planted_taste_is_found(dataset, seen, retrieval_model):
    """Most movies of each list belong to the genre that the user prefers."""
    users, movies, _ = retrieval_model.embeddings()

    (block,) = top_k_blocks(users, movies, seen, k=5, threads=1)

    taste = np.array([(int(user_id) // 7 - 1) % 3 for user_id in dataset.user_ids])
    assert (block.items % 3 == taste[:, np.newaxis]).mean() > 0.7


def test_seed_fixes_the_lists(seen, retrieval_model, fit_retrieval):
    """Equal seeds return equal lists to the last bit, other seeds other lists."""

    def lists(model):
        (block,) = top_k_blocks(*model.embeddings()[:2], seen, k=20, threads=2)
        return block

    first, again, other = (
        lists(model) for model in (retrieval_model, fit_retrieval(), fit_retrieval(seed=43))
    )

    np.testing.assert_array_equal(first.items, again.items)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert (first.items != other.items).any()


def test_stage_hears_of_every_epoch(fit_retrieval, stage):
    """Progress counts epochs, and its note ends with the last loss."""
    fit_retrieval(parameters=TwoTowerParameters(embedding_dim=2, epochs=3), stage=stage)

    assert stage.steps == 3
    assert stage.notes[-1].startswith("epoch 3, loss ")


def test_embeddings_leave_out_the_row_of_unknown_ids(retrieval_model, dataset):
    """Row i of the embeddings belongs to id i."""
    users, movies, _ = retrieval_model.embeddings()

    assert users.shape == (len(dataset.user_ids), 8)
    assert movies.shape == (len(dataset.movies), 8)
    last = retrieval_model.user_tower(np.array([dataset.user_ids[-1]]))
    np.testing.assert_array_equal(last[0], users[-1])


def test_padding_moves_nothing(dataset, fit_retrieval):
    """The row of unknown ids, which pads steps, does not change."""
    parameters = TwoTowerParameters(embedding_dim=4, epochs=2, batch_size=64)
    start = TwoTowerModel(dataset.user_ids, dataset.movies.ids, parameters, rated=None, seed=42)

    trained = fit_retrieval(parameters=parameters)

    for before, after in zip(tables_of(start), tables_of(trained), strict=True):
        np.testing.assert_array_equal(before[0], after[0])
        assert (before.numpy()[1] != after.numpy()[1]).any()


def test_unrated_movie_keeps_its_first_embedding(dataset, retrieval_model):
    """A movie without ratings keeps its finite embedding, so it has a list."""
    assert len(dataset.movies) - 1 not in dataset.ratings.movie_index

    assert np.abs(retrieval_model.embeddings().movies[-1]).max() <= 0.05
