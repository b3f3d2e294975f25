"""What both models share: the tower of one id column, and the loop over epochs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.folded_batches import Batch
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage

#: Between two calls the bar moves and an interrupt is heard.
_MOST_STEPS_A_CALL = 32


class Tower(tf.keras.Model):
    """An id as text -> its embedding: the notebook's StringLookup and Embedding.

    Training calls `embedding` with row numbers, which saves looking every id up in every epoch;
    the saved model is called with ids.
    """

    def __init__(self, ids: Sequence[str], embedding_dim: int, *, seed: int) -> None:
        super().__init__()
        self.lookup = tf.keras.layers.StringLookup(
            vocabulary=list(ids),
            mask_token=None,
            oov_token="",  # no id is empty, but one may be "[UNK]", the default
        )
        self.embedding = tf.keras.layers.Embedding(
            len(ids) + 1,
            embedding_dim,
            # Keras's default, with a seed: two models trained side by side stay repeatable.
            embeddings_initializer=tf.keras.initializers.RandomUniform(-0.05, 0.05, seed=seed),
        )
        self.embedding.build(None)

    @classmethod
    def holding(cls, ids: Sequence[str], rows: NDArray[np.float32]) -> "Tower":
        """Return a tower with the given [ids + 1, D] table; row 0 is for unknown ids."""
        tower = cls(ids, rows.shape[1], seed=0)
        tower.embedding.embeddings.assign(rows)
        return tower

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Return [B, D] embeddings of [B] ids; an unknown id has the out-of-vocabulary row."""
        return self.embedding(self.lookup(ids))

    def table(self) -> NDArray[np.float32]:
        """Return the embedding table, [ids + 1, D]; row 0 is the out-of-vocabulary row."""
        return np.asarray(self.embedding.embeddings)


def fit_epochs(
    model: tfrs.Model,
    optimizer: tf.keras.optimizers.Optimizer,
    batches: Batch,
    *,
    epochs: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train on the same batches in every epoch, telling `stage` of each.

    Args:
        model: computes the loss of one batch; has all its variables.
        optimizer: updates its weights.
        batches: with a leading axis of S steps.
        epochs: passes over all of them.
        stage: advanced by one an epoch.
        checkpoints: where to go on from, and to save what a later run goes on from. The result is
            that of an uninterrupted training, bit by bit.
    """
    data = tf.data.Dataset.from_tensor_slices(batches).repeat()
    plan = _Plan(len(batches["weight"]), epochs, stage, checkpoints)
    _fit(model, optimizer, lambda _: data, plan)


def fit_shuffled(
    model: tfrs.Model,
    optimizer: tf.keras.optimizers.Optimizer,
    columns: Mapping[str, NDArray[Any]],
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train on rows in another order each epoch, which depends on the seed and the epoch alone.

    Args:
        model: computes the loss of one batch; has all its variables.
        optimizer: updates its weights.
        columns: [N] each.
        batch_size: rows a step; the last step of an epoch has what is left.
        epochs: passes over all rows.
        seed: of the orders.
        stage: advanced by one an epoch.
        checkpoints: as of `fit_epochs`.
    """
    rows = len(next(iter(columns.values())))
    held = {name: tf.constant(column) for name, column in columns.items()}

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(rows), seed=tf.stack([tf.constant(seed, tf.int64), number])
        )
        chosen = {name: tf.gather(column, order) for name, column in held.items()}
        return tf.data.Dataset.from_tensor_slices(chosen).batch(batch_size)

    def from_epoch(first: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(first, epochs).flat_map(epoch)

    _fit(model, optimizer, from_epoch, _Plan(-(-rows // batch_size), epochs, stage, checkpoints))


class _Plan(NamedTuple):
    """How long a training is, and who is told of it."""

    steps: int  # of an epoch
    epochs: int
    stage: Stage
    checkpoints: Checkpoints | None


def _fit(
    model: tfrs.Model,
    optimizer: tf.keras.optimizers.Optimizer,
    data_from: Callable[[int], tf.data.Dataset],
    plan: _Plan,
) -> None:
    """Train from where the checkpoints are, on the batches from that epoch on."""
    # An epoch is one call into TensorFlow, if its steps fit: Python has nothing to do between them.
    model.compile(optimizer=optimizer, steps_per_execution=min(plan.steps, _MOST_STEPS_A_CALL))
    optimizer.build(model.trainable_variables)  # else only the first step gives it its slots
    saved = plan.checkpoints
    done = saved.restore(model, optimizer) if saved else 0
    plan.stage.advance(done)
    if done == plan.epochs:
        return
    mean = _averaged(model)
    model.fit(
        data_from(done),
        initial_epoch=done,
        epochs=plan.epochs,
        steps_per_epoch=plan.steps,
        verbose=0,
        callbacks=[mean, EpochProgress(plan.stage), *([EpochSaved(saved)] if saved else [])],
    )


class _MeanLoss(tf.keras.callbacks.Callback):
    """Begins the mean anew with each epoch, so that nothing of it outlives one."""

    def __init__(self, mean: tf.keras.metrics.Mean) -> None:
        super().__init__()
        self._mean = mean

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Forget the last epoch."""
        self._mean.reset_state()


def _averaged(model: tfrs.Model) -> _MeanLoss:
    """Make a model report the mean loss of an epoch's steps; its own is that of the last step."""
    mean = tf.keras.metrics.Mean()

    def train_step(batch: Batch) -> dict[str, tf.Tensor]:
        logs = type(model).train_step(model, batch)
        mean.update_state(logs["loss"])
        return {**logs, "loss": mean.result()}

    model.train_step = train_step
    return _MeanLoss(mean)


class EpochProgress(tf.keras.callbacks.Callback):
    """Tells a stage of every finished epoch."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Advance by one epoch, show its loss, and keep it."""
        self._stage.advance(1)
        if logs:
            self._stage.record_loss(epoch + 1, float(logs["loss"]))
            self._stage.note(f"epoch {epoch + 1}, loss {logs['loss']:,.4g}")


class EpochSaved(tf.keras.callbacks.Callback):
    """Offers every finished epoch to the checkpoints."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self._checkpoints = checkpoints

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Save, if it is time to."""
        self._checkpoints.after_epoch(epoch + 1, self.model, self.model.optimizer)
