"""Checkpoints of a training, from which it resumes as if it had never stopped.

    <folder>/epoch-0007/
        state.index, state.data-...   TensorFlow's own format: tensors, nothing executable
        SHA256SUMS                    written last, as by `sha256sum`; a checkpoint without it, or
                                      with other files, is not loaded

A checkpoint contains every variable of the model and of its optimizer, bit by bit, `iterations`
included; the folder's name is the number of finished epochs. A training resumes to the same bits if
all of this holds:

- No other learned or counted state outlives an epoch: no Python object, no metric or
  `tf.random.Generator` that is not an attribute of the model.
- Model and optimizer have all their variables before the first epoch, in the same order each time.
- Batches are the same in every epoch, or follow from the epoch's number.
- Values that change from step to step, such as the learning rate, follow from
  `optimizer.iterations`.
- So do random numbers (dropout): `tf.random.stateless_*` with the seed (seed, iterations). Keras's
  own Dropout keeps its state outside of the model, so it resumes correctly, but not to the same
  bits.

A model whose parts are trained one after another has the checkpoints of each `part`. A training
that continues another begins with a checkpoint of epoch 0.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reco_batch.files import sha256
from reco_batch.models.training.tensorflow_runtime import as_disk_errors, tf, tfrs

SUMS: Final = "SHA256SUMS"
_STATE: Final = "state"
_EPOCH: Final = "epoch-"
#: Checkpoint of a training that continues another.
_START: Final = f"{_EPOCH}0000"
#: Checkpoints to keep: the newest may be incomplete after a crash.
_KEPT: Final = 2
#: Saving takes at most this fraction, 1 / n, of the time, whatever the interval.
_LEAST_SHARE: Final = 40


class Checkpoints:
    """Newest two checkpoints of one training, and the one that it began with, if any."""

    def __init__(
        self,
        folder: Path,
        *,
        training: str,
        every_seconds: float,
        show: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; reads and writes nothing yet.

        Args:
            folder: folder of this training alone; need not exist.
            training: name of the training, for messages.
            every_seconds: least seconds between two checkpoints; 0 for one after every epoch.
            show: prints a message.
            clock: returns the time in seconds.
        """
        self.folder = folder
        self._training = training
        self._every_seconds = every_seconds
        self._show = show
        self._clock = clock
        self._next = clock() + every_seconds

    def part(self, name: str) -> "Checkpoints":
        """Return the checkpoints of a part that is trained separately, such as a member.

        Call this when that training starts, since the interval to its first checkpoint starts now.
        Checkpoints of finished parts remain until those of the whole training are deleted.

        Args:
            name: unique file name of the part, without the prefix "epoch-".
        """
        return Checkpoints(
            self.folder / name,
            training=f"{self._training}, {name}",
            every_seconds=self._every_seconds,
            show=self._show,
            clock=self._clock,
        )

    def restore(self, model: tfrs.Model, optimizer: tf.keras.optimizers.Optimizer) -> int:
        """Load the newest complete checkpoint into model and optimizer.

        Args:
            model: compiled model with all its variables.
            optimizer: optimizer, built for the model's variables.

        Returns:
            Number of finished epochs; 0, and nothing changes, without a complete checkpoint.
        """
        for folder in self._newest_first():
            if not is_whole(folder):
                self._show(f"{self._training}: {folder.name} is truncated or corrupt; skipped")
                # Another process may have removed it.
                shutil.rmtree(folder, ignore_errors=True)
                continue
            _state(model, optimizer).read(str(folder / _STATE)).assert_consumed()
            done = int(folder.name.removeprefix(_EPOCH))
            if done:
                self._show(f"{self._training}: resuming after epoch {done}")
            return done
        return 0

    def begin_from(self, model: tfrs.Model, optimizer: tf.keras.optimizers.Optimizer) -> None:
        """Save the state that another training ended with, from which this one continues.

        It is epoch 0 of this training, and is kept to its end. A complete one is not written again.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        if not self.continues():
            self._save(self.folder / _START, _state(model, optimizer))

    def continues(self) -> bool:
        """Return True if this training continues another, whose state is complete.

        If that is damaged, all checkpoints are deleted, since they follow from it.
        """
        start = self.folder / _START
        if start.exists() and not is_whole(start):
            self._show(f"{self._training}: {start.name} is truncated or corrupt; skipped")
            shutil.rmtree(self.folder, ignore_errors=True)
        return start.exists()

    def after_epoch(
        self, epochs: int, model: tfrs.Model, optimizer: tf.keras.optimizers.Optimizer
    ) -> None:
        """Save a checkpoint if one is due; a full disk does not stop the training.

        Args:
            epochs: number of finished epochs.
            model: model, as in `restore`.
            optimizer: optimizer, as in `restore`.
        """
        started = self._clock()
        if started < self._next:
            return
        folder = self.folder / f"{_EPOCH}{epochs:04}"
        try:
            self._save(folder, _state(model, optimizer))
        except OSError as error:
            reason = error.strerror or error
            self._show(f"{self._training}: no checkpoint after epoch {epochs} ({reason})")
        for old in self._newest_first()[_KEPT:]:
            if old.name != _START:
                shutil.rmtree(old)
        if self._every_seconds:
            ended = self._clock()
            self._next = ended + max(self._every_seconds, _LEAST_SHARE * (ended - started))

    def _save(self, folder: Path, state: tf.train.Checkpoint) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # a damaged checkpoint of the same epoch
        folder.mkdir(parents=True)
        try:
            with as_disk_errors():
                state.write(str(folder / _STATE))
            (folder / SUMS).write_bytes(_sums(folder))
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_EPOCH}*"), reverse=True)


def is_whole(folder: Path) -> bool:
    """Return True if the files of a checkpoint match their digests."""
    try:
        return (folder / SUMS).read_bytes() == _sums(folder) != b""
    except OSError:  # the digests are missing or unreadable
        return False


def _sums(folder: Path) -> bytes:
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{sha256(path)}  {path.name}\n" for path in files).encode()


def _state(model: tfrs.Model, optimizer: tf.keras.optimizers.Optimizer) -> tf.train.Checkpoint:
    """Return all variables by position; lookup tables and metrics need no saving."""
    return tf.train.Checkpoint(model=list(model.variables), optimizer=list(optimizer.variables))
