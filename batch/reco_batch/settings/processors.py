"""How the processors are shared by what trains side by side."""

import os
from typing import Final

#: Trainings at a time: at most, and unless a night is told otherwise.
TRAININGS: Final = 2
#: What TensorFlow asks the environment for when it starts.
THREADS: Final = "TF_NUM_INTRAOP_THREADS"


def share_processors(trainings: int = TRAININGS) -> None:
    """Give TensorFlow's operations in each training their share of the processors' threads.

    Only the last call before TensorFlow starts counts: it keeps its threads as long as the process
    lives. One operation alone gains little from a second thread at MovieLens's sizes, two models
    side by side gain nearly twofold.

    Args:
        trainings: that run at a time.
    """
    os.environ[THREADS] = str(max(1, len(os.sched_getaffinity(0)) // trainings))
