"""Number of threads for TensorFlow."""

import os
import subprocess
import sys

import pytest

from reco_batch.settings.processors import THREADS, share_processors


@pytest.mark.parametrize(
    ("processors", "trainings", "threads"), [(8, 2, "4"), (8, 1, "8"), (3, 2, "1"), (1, 2, "1")]
)
def test_each_training_has_its_share(monkeypatch, processors, trainings, threads):
    """A training has at least one thread, and an earlier value of the variable is replaced."""
    monkeypatch.setattr(os, "environ", {THREADS: "99"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))

    share_processors(trainings)

    assert os.environ[THREADS] == threads


def threads_with(share):
    """Count the threads of a process that has started TensorFlow on six processors."""
    code = f"""
import os
from reco_batch.settings.processors import share_processors
os.sched_getaffinity = lambda _: set(range(6))
{share}
from reco_batch.models.training.tensorflow_runtime import tf
tf.linalg.matmul(tf.ones((500, 500)), tf.ones((500, 500)))
print(len(os.listdir("/proc/self/task")))
"""
    environment = {name: value for name, value in os.environ.items() if name != THREADS}
    return int(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))


@pytest.mark.slow
def test_tensorflow_starts_as_many_threads():
    """The share before the start counts; without a call it is that of two trainings."""
    one_each = threads_with("share_processors(6)")

    assert threads_with("share_processors(1)") == one_each + 5
    assert threads_with("") == one_each + 2


HELD_BY_A_THREAD = """
import threading
from pathlib import Path
from reco_batch.settings.processors import release_memory

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

def allocate():
    pieces = [bytes(5000) for _ in range(40_000)]
    kept.append(pieces[-1])  # at the end of the thread's heap

kept, before = [], resident()
thread = threading.Thread(target=allocate)
thread.start()
thread.join()
held = resident() - before
release_memory()
print(held, resident() - before)
"""


def test_memory_that_a_thread_freed_is_returned():
    """The C library keeps 200 MB for later allocations, unless it is told to return them."""
    command = [sys.executable, "-c", HELD_BY_A_THREAD]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    held, left = map(int, done.stdout.split())
    assert held > 150_000
    assert left < 20_000
