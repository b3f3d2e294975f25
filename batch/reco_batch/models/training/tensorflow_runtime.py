"""The one place that imports TensorFlow; every other module takes it from here.

TensorFlow Recommenders needs Keras 2, which TensorFlow gives only when the environment asked
for it before the first import.
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
if THREADS not in os.environ:  # else whoever starts it has shared them out already
    share_processors()


@contextmanager
def _startup_chatter_held_back() -> Iterator[None]:
    """Keep what TensorFlow's C++ side prints before any setting of its log level can reach it.

    Shown after all when the import fails. Python's own stderr is not touched.
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


with _startup_chatter_held_back():
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    tf.config.list_logical_devices()  # starts the runtime, which prints more
# Saving a model whose constructor takes ids warns that the ids are not part of its configuration.
tf.get_logger().setLevel("ERROR")


@contextmanager
def as_disk_errors() -> Iterator[None]:
    """Raise as OSError what kept TensorFlow from writing its files.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except tf.errors.OpError as error:  # what the system said, in TensorFlow's words:
        # {{node ...}} <path>; No space left on device [Op:SaveV2]
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0]
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        raise (OSError(errno.ENOSPC, reason) if full else OSError(reason)) from error


__all__ = ["as_disk_errors", "tf", "tfrs"]
