"""Import of TensorFlow; every other module imports it from here.

TensorFlow Recommenders needs Keras 2, which TensorFlow provides only if an environment variable is
set before the first import.
"""

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from reco_batch.settings.processors import THREADS, share_processors

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise ImportError(
        "TensorFlow was imported before reco_batch, with Keras 3; TensorFlow Recommenders needs "
        "Keras 2. Import reco_batch first, or set TF_USE_LEGACY_KERAS=1."
    )
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if THREADS not in os.environ:  # or the caller has set the numbers of threads
    share_processors()


@contextmanager
def _startup_messages_captured() -> Iterator[None]:
    """Capture messages that TensorFlow's C++ code prints before its log level takes effect.

    They are printed if the import fails. Python's own stderr is not affected.
    """
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


with _startup_messages_captured():
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    tf.config.list_logical_devices()  # starts the runtime, which prints more
# Saving a model whose constructor takes ids warns that the ids are not part of its configuration.
tf.get_logger().setLevel("ERROR")


@contextmanager
def as_disk_errors() -> Iterator[None]:
    """Raise an OSError for a TensorFlow error about files.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except tf.errors.OpError as error:  # the system's message inside of TensorFlow's:
        # {{node ...}} <path>; No space left on device [Op:SaveV2]
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0]
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        raise (OSError(errno.ENOSPC, reason) if full else OSError(reason)) from error


__all__ = ["as_disk_errors", "tf", "tfrs"]
