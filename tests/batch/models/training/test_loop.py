"""Embedding tower of one id column, and reported losses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reco_batch.models.training.loop import EpochProgress, Tower, fit_epochs

#: The first is Keras's default name of an unknown id.
IDS = ["[UNK]", "b", "a", "10", "é:{}*"]


def test_ids_have_the_rows_of_their_order(tf):
    """The embedding of id i is row i + 1; unknown ids have row 0."""
    tower = Tower(IDS, 3, seed=0)

    found = tower(tf.constant([*IDS, "unknown", ""])).numpy()

    table = tower.table()
    assert table.shape == (6, 3)
    np.testing.assert_array_equal(found, table[[1, 2, 3, 4, 5, 0, 0]])


def test_rows_and_ids_lead_to_the_same_embedding(tf):
    """Training on row numbers changes the embeddings that the saved model returns for ids."""
    tower = Tower(IDS, 3, seed=0)

    by_row = tower.embedding(np.arange(1, 6, dtype=np.int32))

    np.testing.assert_array_equal(by_row, tower(tf.constant(IDS)))


def test_seed_fixes_the_first_embeddings():
    """Equal seeds return equal tables whatever was drawn before, other seeds others."""
    first, other, again = (Tower(IDS, 8, seed=seed).table() for seed in (1, 2, 1))

    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_first_embeddings_are_keras_default():
    """The distribution is uniform between -0.05 and 0.05."""
    table = Tower([str(n) for n in range(500)], 8, seed=3).table()

    assert np.abs(table).max() <= 0.05
    assert table.std() == pytest.approx(0.1 / np.sqrt(12), rel=0.05)


def test_epoch_is_reported_with_its_loss(stage):
    """Epochs are counted from one; a loss of thousands has separators."""
    progress = EpochProgress(stage)

    progress.on_epoch_end(0, {"loss": 12345.678})
    progress.on_epoch_end(1)

    assert stage.steps == 2
    assert stage.notes == ["epoch 1, loss 1.235e+04"]
    assert stage.losses == [(1, 12345.678)]


@pytest.mark.slow
def test_two_large_trainings_at_the_same_time(tf, stage):
    """Each has its own temporary sums of large tensors, which TensorFlow finds by their names."""
    from reco_batch.models.training.tensorflow_runtime import tfrs  # noqa: PLC0415  # loads TensorFlow

    class Summed(tfrs.Model):
        """Model whose gradient is a sum of large tensors."""

        def __init__(self):
            super().__init__()
            self.table = tf.Variable(np.ones((100_000, 128), np.float32))

        def compute_loss(self, inputs, training=False):  # noqa: ARG002, FBT002
            """Return a sum of two terms of the table."""
            scores = tf.matmul(inputs["x"], self.table, transpose_b=True)
            products = tf.matmul(self.table, self.table, transpose_a=True)
            return tf.nn.l2_loss(scores) + tf.nn.l2_loss(self.table) + tf.nn.l2_loss(products)

    batches = {"x": np.ones((5, 64, 128), np.float32), "weight": np.ones(5)}

    def train(_):
        model = Summed()
        fit_epochs(model, tf.keras.optimizers.SGD(1e-9), batches, epochs=5, stage=stage)
        return model.table.numpy()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(train, range(2))

    np.testing.assert_array_equal(one, other)
