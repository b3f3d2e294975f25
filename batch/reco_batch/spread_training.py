"""Training the default retrieval model by several processes, on one or more machines.

Each step's users are shared out among the processes, which then add up their gradients; so N
processes take the steps that one would take. The towers' loss is a softmax over the catalogue
(`history_retrieval`): who stands beside whom in a batch is no part of it. That is why the preset
`notebook` is refused. Its negatives are the movies of the batch, of which each process would see
its own part: another objective, and other models than those that were measured.

What is trained is measured as a night measures it. It is not published: docs/scale.md says why no
night trains like this. What a lost process can be replaced by are checkpoints in a shared folder.
Whoever starts the processes starts them again: a person, or Ray Train (`ray_training`).
"""

import json
import os
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any

from reco_batch.config import LearningConfig
from reco_batch.errors import NightFailed, ProcessLost
from reco_batch.night import read_and_split
from reco_batch.presets import HistoryParameters
from reco_batch.progress import Reporter
from reco_store.errors import UsageError


def train_share(config: LearningConfig, *, shared: Path, reporter: Reporter) -> dict[str, Any]:
    """Train this process's share of the retrieval model, as TF_CONFIG says; alone without it.

    Args:
        config: the same in all processes.
        shared: folder of the checkpoints, the same for all; the first process writes them.
        reporter: shows the stages.

    Returns:
        How many `processes` took part, and the metrics that a night has in its manifest. All
        processes end with the same weights, and return the same.

    Raises:
        UsageError: with this preset it would be another model.
        DataRefused: the input cannot be used.
        ProcessLost: another one was, without which this one cannot go on.
        NightFailed: TensorFlow could not go on for another reason, such as memory.
    """
    parameters = config.parameters.retrieval
    if not isinstance(parameters, HistoryParameters):
        raise UsageError(
            f"--preset {config.preset}: expected default. The notebook's loss takes the other "
            "movies of a batch for negatives; several processes would train another model."
        )
    from reco_batch._tensorflow import tf  # noqa: PLC0415  # takes seconds, and reads TF_CONFIG

    # The strategy comes first of all: it cannot be had when TensorFlow has computed anything.
    spread = "TF_CONFIG" in os.environ
    strategy = (
        tf.distribute.MultiWorkerMirroredStrategy() if spread else tf.distribute.get_strategy()
    )
    try:
        with strategy.scope():
            metrics = _train(config, parameters, shared, reporter)
    except _lost(tf) as error:
        raise ProcessLost(error.message.partition("\n")[0]) from error
    except tf.errors.OpError as error:
        raise NightFailed(
            f"TensorFlow cannot go on: {error.message.partition(chr(10))[0]}. Nothing is lost that "
            "a checkpoint has: mend it, and run the same command."
        ) from error
    return {"processes": strategy.num_replicas_in_sync, **metrics}


def _lost(tf: ModuleType) -> tuple[type[Any], ...]:
    """Return what TensorFlow raises when another process is gone: not what this one lacks."""
    return (
        tf.errors.UnavailableError,
        tf.errors.DeadlineExceededError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.FailedPreconditionError,
    )


def _train(
    config: LearningConfig, parameters: HistoryParameters, shared: Path, reporter: Reporter
) -> dict[str, Any]:
    """Train and measure as a night does, within the strategy's scope."""
    from reco_batch.checkpoints import Checkpoints  # noqa: PLC0415  # all of them need TensorFlow
    from reco_batch.evaluate import Evaluation  # noqa: PLC0415
    from reco_batch.fit import fitted_rows  # noqa: PLC0415
    from reco_batch.trainers import Training, recency_of, retrieval_epochs, train_retrieval_of  # noqa: PLC0415

    dataset, split = read_and_split(config, reporter)
    train, validation, test = (dataset.ratings.take(rows) for rows in split[:3])
    recency, _ = recency_of(parameters, dataset, train, validation, seed=config.seed)
    ratings = dataset.ratings.take(fitted_rows(split, config.parameters, seed=config.seed))
    saved = Checkpoints(
        shared / "retrieval",
        training="train retrieval",
        every_seconds=0 if is_first() else inf,  # all go on from what the first one saved
        say=reporter.say,
    )
    epochs = retrieval_epochs(parameters, user_count=len(dataset.user_ids))
    with reporter.stage("train retrieval", total=epochs) as stage:
        training = Training(dataset, lambda: ratings, config.seed, recency, stage, saved)
        model = train_retrieval_of(parameters, training)
    evaluation = Evaluation(
        dataset,
        fitted=ratings,
        held_out=test,
        rank_by=config.parameters.rank_by,
        seed=config.seed,
        threads=config.threads,
    )
    return dict(evaluation.of_retrieval(model))


def is_first() -> bool:
    """Tell whether this is the process that writes what is written once: the chief, if any."""
    said = json.loads(os.environ.get("TF_CONFIG", "{}"))
    task = said.get("task", {})
    first = "chief" if "chief" in said.get("cluster", {}) else "worker"
    return task.get("type", first) == first and int(task.get("index", 0)) == 0
