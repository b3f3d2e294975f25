"""Runs `batch` with small models and kills it at a given step.

A program, not a module. Each of these is a step: a file or folder of the home that is about to be
written, moved or deleted, a block of a list, a batch of keys. Environment variables:

    DIE_AT  number of the last step, from 1; `keys` for the first batch of keys; the name of a
            stage for the time when its value is kept; 0 runs to the end
    DIE_OF  a signal, or ENOSPC to make every write fail from that step on
    MODELS  `small` for models that are quickly trained

Unpickling is refused.
"""

import errno
import os
import signal
import sys
import threading

import reco_batch
from reco_batch.artifact.unfinished import UnfinishedNight
from reco_batch.artifact.writer import ArtifactWriter
from reco_store.publishing import staging
from small_models import use_small_models

AT, HOME, OF = os.environ["DIE_AT"], os.environ["RECO_HOME"], os.environ["DIE_OF"]
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
counting = threading.Lock()
steps = 0


def step(*, writes: bool = True) -> None:
    """Count one step, and end the process if it is the last one."""
    global steps  # noqa: PLW0603  # of this process
    with counting:
        steps += 1
        if OF == "ENOSPC" and writes and 0 < int(AT) <= steps:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if OF != "ENOSPC" and str(steps) == AT:
            die()


# A background shell makes its children ignore SIGINT; a run killed by SIGINT must not ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def die() -> None:
    """End the process by the chosen signal; SIGKILL leaves no message."""
    os.kill(os.getpid(), signal.Signals[OF])


def watch(event: str, arguments: tuple) -> None:
    """Count an audit event of Python's file functions, which precedes the operation."""
    if event == "open":
        path, _, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(HOME):
            step()
    elif event in CHANGES and str(arguments[0]).startswith(HOME):
        step(writes=event == "os.mkdir")
    elif event.startswith("pickle"):
        raise RuntimeError(event)


def counted_block(self, *arguments):
    """Count a step, then make the next block of a list."""
    step()
    return make_block(self, *arguments)


def counted_batch(client, prefix, batch):
    """Count a step, then write a batch of keys."""
    if len(batch) > 1:
        step(writes=False)
    write_batch(client, prefix, batch)
    if AT == "keys" and len(batch) > 1:
        die()


def watched_value(self, name, *arguments, **options):
    """Keep the value of a stage, and end the process if it is the last one."""
    found = keep_value(self, name, *arguments, **options)
    if name == AT:
        die()
    return found


keep_value, UnfinishedNight.value = UnfinishedNight.value, watched_value
make_block, ArtifactWriter._batch = ArtifactWriter._batch, counted_block
write_batch, staging.write_batch = staging.write_batch, counted_batch
if os.environ["MODELS"] == "small":
    use_small_models()
sys.addaudithook(watch)
reco_batch.main()
