"""Training loops over epochs, and the embedding tower of one id column."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.folded_batches import Batch
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage

#: Between two calls the progress advances and an interrupt takes effect.
_MAX_STEPS_PER_CALL = 32
#: Steps of a training that are run one call each.
_FEW_STEPS = 1_000
#: Numbers of the trainings of this process.
_TRAININGS = count()


class Tower(tf.keras.Model):
    """Text id to embedding, by the notebook's StringLookup and Embedding.

    Training calls `embedding` with row numbers, without a lookup per id and epoch; the saved model
    is called with ids.
    """

    def __init__(self, ids: Sequence[str], embedding_dim: int, *, seed: int) -> None:
        super().__init__()
        self.lookup = tf.keras.layers.StringLookup(
            vocabulary=tuple(ids),  # Keras would track each id of a list, for seconds
            mask_token=None,
            oov_token="",  # no id is empty, but one may be "[UNK]", the default
        )
        self.embedding = tf.keras.layers.Embedding(
            len(ids) + 1,
            embedding_dim,
            # Keras's default with a seed, so that parallel trainings are reproducible.
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
        """Return [B, D] embeddings of [B] ids; unknown ids have the out-of-vocabulary row."""
        return self.embedding(self.lookup(ids))

    def table(self) -> NDArray[np.float32]:
        """Return the embedding table, [ids + 1, D]; row 0 is the out-of-vocabulary row."""
        return np.asarray(self.embedding.embeddings)


def fit_epochs(
    model: tfrs.Model,
    optimizer: tf.keras.optimizers.Optimizer,
    batches: Batch | Mapping[str, NDArray[Any]],
    *,
    epochs: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train on the same batches in every epoch.

    Args:
        model: computes the loss of one batch; all its variables exist.
        optimizer: optimizer of the model's weights.
        batches: batches with a leading axis of S steps.
        epochs: passes over all batches.
        stage: advances by one per epoch.
        checkpoints: checkpoints to resume from and to save. A resumed training ends with the same
            bits as an uninterrupted one.
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
    is_enough: Callable[[int], bool] | None = None,
) -> None:
    """Train on rows in a new order each epoch, which depends on the seed and the epoch alone.

    Args:
        model: computes the loss of one batch; all its variables exist.
        optimizer: optimizer of the model's weights.
        columns: [N] each.
        batch_size: rows per step; the last step of an epoch has the remaining rows.
        epochs: passes over all rows.
        seed: random seed of the orders.
        stage: advances by one per epoch.
        checkpoints: checkpoints to resume from and to save, as in `fit_epochs`.
        is_enough: called after each epoch with its number, from 1; True ends the training.
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

    steps = -(-rows // batch_size)
    _fit(model, optimizer, from_epoch, _Plan(steps, epochs, stage, checkpoints, is_enough))


class _Plan(NamedTuple):
    """Length of a training, its progress and its checkpoints."""

    steps: int  # per epoch
    epochs: int
    stage: Stage
    checkpoints: Checkpoints | None
    is_enough: Callable[[int], bool] | None = None


def _fit(
    model: tfrs.Model,
    optimizer: tf.keras.optimizers.Optimizer,
    data_from: Callable[[int], tf.data.Dataset],
    plan: _Plan,
) -> None:
    """Train from the newest checkpoint on, on the batches from that epoch on."""
    # An epoch is one call into TensorFlow if its steps fit; Python has no work between them. In a
    # short training, tracing such a call takes longer than the calls that it saves.
    is_long = plan.steps * plan.epochs > _FEW_STEPS
    in_one_call = min(plan.steps, _MAX_STEPS_PER_CALL) if is_long else 1
    model.compile(optimizer=optimizer, steps_per_execution=in_one_call)
    optimizer.build(model.trainable_variables)  # or its slots would not exist before the first step
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
        callbacks=[
            mean,
            EpochProgress(plan.stage),
            *([EpochSaved(saved)] if saved else []),
            *([_Stopping(plan.is_enough)] if plan.is_enough else []),
        ],
    )


class _MeanLoss(tf.keras.callbacks.Callback):
    """Resets the mean loss at each epoch, so that resumed trainings report the same losses."""

    def __init__(self, mean: tf.keras.metrics.Mean) -> None:
        super().__init__()
        self._mean = mean

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Reset the mean."""
        self._mean.reset_state()


def _averaged(model: tfrs.Model) -> _MeanLoss:
    """Make a model report the mean loss of an epoch instead of the loss of its last step."""
    mean, number = tf.keras.metrics.Mean(), next(_TRAININGS)

    def train_step(batch: Batch) -> dict[str, tf.Tensor]:
        # TensorFlow finds the temporary sums of large tensors by the names of their operations, so
        # two trainings at the same time must not share them.
        with tf.name_scope(f"training_{number}"):
            logs = type(model).train_step(model, batch)
        mean.update_state(logs["loss"])
        return {**logs, "loss": mean.result()}

    model.train_step = train_step
    return _MeanLoss(mean)


class _Stopping(tf.keras.callbacks.Callback):
    """Ends a training after the epoch that is enough."""

    def __init__(self, is_enough: Callable[[int], bool]) -> None:
        super().__init__()
        self._is_enough = is_enough

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Ask whether the finished epochs are enough."""
        self.model.stop_training = self._is_enough(epoch + 1)


class EpochProgress(tf.keras.callbacks.Callback):
    """Reports every finished epoch to a stage."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Advance by one epoch, and report its loss."""
        self._stage.advance(1)
        if logs:
            self._stage.record_loss(epoch + 1, float(logs["loss"]))
            self._stage.note(f"epoch {epoch + 1}, loss {logs['loss']:,.4g}")


class EpochSaved(tf.keras.callbacks.Callback):
    """Passes every finished epoch to the checkpoints."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self._checkpoints = checkpoints

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Save a checkpoint if one is due."""
        self._checkpoints.after_epoch(epoch + 1, self.model, self.model.optimizer)
