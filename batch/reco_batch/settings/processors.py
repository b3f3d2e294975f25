"""Processors and memory of this process: shares of the trainings that run at the same time."""

import ctypes
import gc
import os
from contextlib import suppress
from typing import Final

#: Maximum and default number of trainings at the same time.
TRAININGS: Final = 2
#: Environment variable that TensorFlow reads when it starts.
THREADS: Final = "TF_NUM_INTRAOP_THREADS"


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def share_processors(trainings: int = TRAININGS) -> None:
    """Give each training an equal share of the processors for TensorFlow's operations.

    Only the last call before TensorFlow starts counts, since it keeps its threads until the process
    ends. At the sizes of MovieLens, one operation gains little from a second thread, but two models
    at the same time train nearly twice as fast.

    Args:
        trainings: number of trainings at the same time.
    """
    os.environ[THREADS] = str(max(1, processors() // trainings))


def release_memory() -> None:
    """Return freed memory to the system, which the C library would keep for later allocations.

    The threads of a training allocate from heaps of their own, so that what one stage freed is of
    no use to the next.
    """
    with suppress(OSError, AttributeError):  # only the C library of GNU has this function
        ctypes.CDLL(None).malloc_trim(0)


def release_models() -> None:
    """Free Keras models, which refer to themselves, and return their memory to the system."""
    gc.collect()
    release_memory()
