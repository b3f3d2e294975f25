"""Training by processes that Ray Train starts, and starts again when one of them is lost.

Each does what `spread_training` does, as if somebody had started it with TF_CONFIG, which Ray Train
sets. With a process lost the others cannot go on, so Ray Train ends them and begins again with as
many. They go on after the last checkpoint, as after any other stop: it lies in the shared folder
and is this package's own, whose files are checked before they are loaded; Ray's are not used.
"""

from collections.abc import Mapping
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from reco_batch.config import LearningConfig
from reco_batch.errors import NightFailed, ProcessLost
from reco_batch.fingerprint import program
from reco_batch.progress import PlainReporter, QuietReporter
from reco_batch.ray_cluster import Purpose, open_cluster, see_same
from reco_batch.spread_training import is_first, train_share
from reco_store.errors import RecoError

#: In the shared folder: what the first process says, of each attempt.
LOG: Final = "training.log"
#: How often Ray Train begins again before it gives up.
_RESTARTS: Final = 5
_GOES_ON: Final = "the same command goes on after the last checkpoint."
_TRAINING: Final = Purpose("--ray-workers", _GOES_ON)


def train_on_ray(
    config: LearningConfig, *, shared: Path, processes: int, address: str | None
) -> dict[str, Any]:
    """Run `train_share` in several processes until all of them end well.

    Args:
        config: its paths are absolute, and are there on every machine.
        shared: as of `train_share`, absolute.
        processes: how many; Ray spreads them over its machines.
        address: as `ray_cluster.open_cluster` takes it.

    Returns:
        What `train_share` returns.

    Raises:
        UsageError, NotInstalled, DataRefused: as `open_cluster` and `train_share`.
        NightFailed: likewise; or processes were lost more often than they are started again.
    """
    with open_cluster(address, workers=processes, purpose=_TRAINING) as cluster:
        cluster.connected()
        import_module("reco_batch._tensorflow")  # before Ray imports TensorFlow, with Keras 3
        train = import_module("ray.train")  # an optional extra
        trainer = import_module("ray.train.tensorflow").TensorflowTrainer(
            _share,
            train_loop_config={"config": config, "shared": shared, "expected": program()},
            scaling_config=train.ScalingConfig(num_workers=processes, placement_strategy="SPREAD"),
            run_config=_run_config(train, shared),
        )
        try:
            with cluster.failures():
                found: dict[str, Any] = trainer.fit().return_value
        except train.TrainingFailedError as error:
            raise _given_up(train, error) from error
        except SystemExit as ended:  # so Ray Train ends the process when it is interrupted
            raise KeyboardInterrupt from ended
    return found


def _run_config(train: ModuleType, shared: Path) -> Any:  # noqa: ANN401  # Ray's
    return train.RunConfig(
        storage_path=str(shared),
        name="ray",
        # Ray imports TensorFlow in the processes before they come to us.
        worker_runtime_env={"env_vars": {"TF_USE_LEGACY_KERAS": "1"}},
        failure_config=train.FailureConfig(
            max_failures=_RESTARTS,
            controller_failure_limit=_RESTARTS,  # a minute each without room for all processes
        ),
        callbacks=[type("Refusals", (train.UserCallback,), {"after_exception": _refuse})()],
    )


def _share(given: dict[str, Any]) -> dict[str, Any]:
    """Be one of the processes, in a worker of Ray."""
    see_same(given["expected"], program())
    shared: Path = given["shared"]
    if not is_first():
        return train_share(given["config"], shared=shared, reporter=QuietReporter())
    # Ray would mix what it says with all that TensorFlow and Ray's own processes say.
    with (shared / LOG).open("a", buffering=1) as log, redirect_stderr(log):
        return train_share(given["config"], shared=shared, reporter=PlainReporter())


def _refuse(
    _self: object,
    run_context: object,  # noqa: ARG001  # so it is called
    worker_exceptions: Mapping[int, Exception],
) -> None:
    """End a training that would fail in the same way each time, such as one without data.

    Ray Train calls it, as a method, with what the processes raised, before it begins again.

    Raises:
        RecoError: one of those, unless it says that another process was lost.
    """
    for error in worker_exceptions.values():
        if isinstance(error, RecoError) and not isinstance(error, ProcessLost):
            raise error


def _given_up(train: ModuleType, error: Any) -> RecoError:  # noqa: ANN401  # Ray's
    """Return what Ray Train's last error means to whoever started the training."""
    if isinstance(error, train.ControllerError):
        last = error.controller_failure
        if isinstance(last, RecoError):  # that `_refuse` raised
            return last
    else:
        last = next(iter(error.worker_failures.values()))
    reason = last.reason if isinstance(last, ProcessLost) else " ".join(str(last).split())
    return NightFailed(
        f"Ray Train gave up after {_RESTARTS + 1} attempts ({reason}). See that the machines run "
        f"and have room for all processes; {_GOES_ON}"
    )
