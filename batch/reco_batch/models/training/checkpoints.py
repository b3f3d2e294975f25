"""Saved states of a training, from which it goes on as if it had never stopped.

    <folder>/epoch-0007/
        state.index, state.data-...   TensorFlow's own format: tensors, and nothing that is executed
        SHA256SUMS                    written last, as `sha256sum` writes it; without it, or with
                                      any other content than the files have, nothing is loaded

What is saved is every variable of the model and of its optimizer, bit by bit, `iterations` among
them; the number of finished epochs is the folder's name. A training goes on to the same bits if all
of this holds:

- Nothing else of what it has learned or counted outlives an epoch: no Python object, no metric or
  `tf.random.Generator` that is not an attribute of the model.
- Model and optimizer have all their variables before the first epoch, in the same order each time.
- Batches are the same in every epoch, or follow from the epoch's number.
- What changes from step to step, such as the learning rate, follows from `optimizer.iterations`.
- So do random numbers (dropout): `tf.random.stateless_*` with the seed (seed, iterations). Keras's
  own Dropout keeps its state where nothing saves it, so it goes on correctly, but not to the same
  bits.

A model whose parts are trained one after another has the checkpoints of each `part`.
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
#: The newest may be cut by what stops the night; then the one before it is good.
_KEPT: Final = 2
#: Whatever interval is asked for, saving takes no more than one part in so many of the time.
_LEAST_SHARE: Final = 40


class Checkpoints:
    """The saved states of one training, the newest two of them."""

    def __init__(
        self,
        folder: Path,
        *,
        training: str,
        every_seconds: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at nothing yet.

        Args:
            folder: of this training alone; need not exist.
            training: its name, for what is said.
            every_seconds: least time between two checkpoints; 0 for one after every epoch.
            say: shows a line.
            clock: in seconds.
        """
        self.folder = folder
        self._training = training
        self._every_seconds = every_seconds
        self._say = say
        self._clock = clock
        self._next = clock() + every_seconds

    def part(self, name: str) -> "Checkpoints":
        """Return the checkpoints of a part that is trained on its own, such as a model's member.

        To be called when that training begins, since the time to its first checkpoint runs from
        then. Those of parts that are trained already stay until all of the training is forgotten.

        Args:
            name: as a file may be called, and no other part's; not beginning with "epoch-".
        """
        return Checkpoints(
            self.folder / name,
            training=f"{self._training}, {name}",
            every_seconds=self._every_seconds,
            say=self._say,
            clock=self._clock,
        )

    def restore(self, model: tfrs.Model, optimizer: tf.keras.optimizers.Optimizer) -> int:
        """Give model and optimizer the newest state that is whole.

        Args:
            model: with all its variables, and compiled.
            optimizer: built for the model's variables.

        Returns:
            How many epochs they have behind them; 0, and nothing is changed, without such a state.
        """
        for folder in self._newest_first():
            if not is_whole(folder):
                self._say(f"{self._training}: {folder.name} is cut or damaged, and is not loaded")
                # Of several processes that go on together another one may have removed it.
                shutil.rmtree(folder, ignore_errors=True)
                continue
            _state(model, optimizer).read(str(folder / _STATE)).assert_consumed()
            done = int(folder.name.removeprefix(_EPOCH))
            self._say(f"{self._training}: goes on after epoch {done}")
            return done
        return 0

    def after_epoch(
        self, epochs: int, model: tfrs.Model, optimizer: tf.keras.optimizers.Optimizer
    ) -> None:
        """Save the state if it is time to; a disk without room for it is no reason to stop.

        Args:
            epochs: how many are finished.
            model: as given to `restore`.
            optimizer: likewise.
        """
        started = self._clock()
        if started < self._next:
            return
        folder = self.folder / f"{_EPOCH}{epochs:04}"
        try:
            self._save(folder, _state(model, optimizer))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            reason = error.strerror or error
            self._say(f"{self._training}: no checkpoint after epoch {epochs} ({reason})")
        for old in self._newest_first()[_KEPT:]:
            shutil.rmtree(old)
        if self._every_seconds:
            ended = self._clock()
            self._next = ended + max(self._every_seconds, _LEAST_SHARE * (ended - started))

    def _save(self, folder: Path, state: tf.train.Checkpoint) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one of the same epoch
        folder.mkdir(parents=True)
        with as_disk_errors():
            state.write(str(folder / _STATE))
        (folder / SUMS).write_bytes(_sums(folder))

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_EPOCH}*"), reverse=True)


def is_whole(folder: Path) -> bool:
    """Tell whether a checkpoint's files are, to the byte, what was saved."""
    try:
        return (folder / SUMS).read_bytes() == _sums(folder) != b""
    except OSError:  # nothing was written last, or it cannot be read
        return False


def _sums(folder: Path) -> bytes:
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{sha256(path)}  {path.name}\n" for path in files).encode()


def _state(model: tfrs.Model, optimizer: tf.keras.optimizers.Optimizer) -> tf.train.Checkpoint:
    """Name the variables by their place: lookup tables and metrics need no saving.

    Creates none of its own, which a training by several processes would have to do in all of them.
    """
    return tf.train.Checkpoint(model=list(model.variables), optimizer=list(optimizer.variables))
