"""Runs `batch` with small models, and dies at a given one of its steps.

A program, not a module. A step is a file or folder of the home that is about to be written, moved
or deleted, a block of a list, or a batch of keys. DIE_AT is the number of the last one, from 1, or
`keys` for the first batch of keys; with 0 the night runs to its end. DIE_OF is a signal, or ENOSPC:
nothing can be written from that step on. MODELS is `small` for models
that are quickly trained. Refuses to unpickle anything.
"""

import errno
import os
import signal
import sys
import threading

import reco_batch
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.settings import hyperparameters as presets
from reco_batch.settings.hyperparameters import (
    EaseParameters,
    EnsembleParameters,
    HybridParameters,
    Preset,
    RankBy,
    TowerParameters,
)
from reco_store.publishing import staging

AT, HOME, OF = os.environ["DIE_AT"], os.environ["RECO_HOME"], os.environ["DIE_OF"]
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
counting = threading.Lock()
steps = 0


def step(*, writes: bool = True) -> None:
    """Count one step, and die if it is the last one."""
    global steps  # noqa: PLW0603  # of this process
    with counting:
        steps += 1
        if OF == "ENOSPC" and writes and 0 < int(AT) <= steps:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if OF != "ENOSPC" and str(steps) == AT:
            die()


# A shell in the background hands on that SIGINT is ignored; a night that is to die of it is not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def die() -> None:
    """End, without a word if it is by SIGKILL."""
    os.kill(os.getpid(), signal.Signals[OF])


def watch(event: str, arguments: tuple) -> None:
    """Hear of whatever Python does to files, before it does it."""
    if event == "open":
        path, _, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(HOME):
            step()
    elif event in CHANGES and str(arguments[0]).startswith(HOME):
        step(writes=event == "os.mkdir")
    elif event.startswith("pickle"):
        raise RuntimeError(event)


def counted_block(self, *arguments):
    """Make a block of a list, which is written next."""
    step()
    return make_block(self, *arguments)


def counted_batch(client, prefix, batch):
    """Write a batch of keys."""
    if len(batch) > 1:
        step(writes=False)
    write_batch(client, prefix, batch)
    if AT == "keys" and len(batch) > 1:
        die()


make_block, ArtifactWriter._batch = ArtifactWriter._batch, counted_block
write_batch, staging.write_batch = staging.write_batch, counted_batch
if os.environ["MODELS"] == "small":
    presets.PRESETS["default"] = Preset(
        HybridParameters(
            TowerParameters(embedding_dim=8, epochs=3, batch_users=20),
            EaseParameters(factors=8),
        ),
        EnsembleParameters(factors=8, embedding_dim=4, epochs=2, batch_size=200),
        refit=True,
        fits_validation=True,
        rank_by=RankBy.BOUND,
    )
sys.addaudithook(watch)
reco_batch.main()
