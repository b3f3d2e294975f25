"""Train the default retrieval model by several processes, and print how good it is.

    python -m reco_batch.spread --data DIR --shared FOLDER

started on every machine, with TF_CONFIG as TensorFlow defines it: the addresses of all processes,
and which one this is. Without TF_CONFIG one process trains alone. With `--ray-workers N` it is
started once, on one machine; Ray Train starts N processes, and all of them again when one is lost.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from reco_batch.config import LearningConfig
from reco_batch.parameter_file import read_parameters
from reco_batch.progress import choose_reporter
from reco_batch.ray_training import train_on_ray
from reco_batch.sources import DEMO, PUBLISHED
from reco_batch.spread_training import train_share
from reco_store import UsageError
from reco_store.console import guard


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="as of `batch run`")
    parser.add_argument("--shared", required=True, type=Path, help="folder that all machines see")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--parameters", type=Path, metavar="FILE", help="as of `batch run`")
    parser.add_argument(
        "--ray-workers",
        type=int,
        metavar="N",
        help="processes that Ray Train starts, and starts again when one is lost",
    )
    parser.add_argument(
        "--ray-address",
        metavar="HOST:PORT|auto",
        help="as of `batch run`; without it, a Ray of the training's own on this machine",
    )
    return parser.parse_args()


def main() -> None:
    """Train, and print the metrics as JSON."""
    told = _told()
    with guard():
        _see_one_starter(told)
        shared = told.shared.absolute()
        config = LearningConfig(
            data=_absolute(told.data),
            seed=told.seed,
            threads=len(os.sched_getaffinity(0)),
            home=shared,
            tuned=read_parameters(told.parameters, preset="default") if told.parameters else None,
        )
        reporter = choose_reporter(quiet=False)
        if told.ray_workers is None:
            found = train_share(config, shared=shared, reporter=reporter)
        else:
            with reporter.stage("train on Ray"):
                found = train_on_ray(
                    config, shared=shared, processes=told.ray_workers, address=told.ray_address
                )
        sys.stdout.write(json.dumps(found) + "\n")


def _see_one_starter(told: argparse.Namespace) -> None:
    """See that it is told once who starts the processes.

    Raises:
        UsageError: it is not.
    """
    if told.ray_workers is None:
        if told.ray_address is not None:
            raise UsageError("--ray-address: expected --ray-workers beside it")
    elif told.ray_workers < 1:
        raise UsageError(f"--ray-workers {told.ray_workers}: expected 1 or more")
    elif "TF_CONFIG" in os.environ:
        raise UsageError("--ray-workers: expected no TF_CONFIG beside it, which Ray Train sets")


def _absolute(data: str) -> str:
    """Return data as it is called from any folder: Ray's processes work in one of their own."""
    return data if data in (DEMO, *PUBLISHED) else str(Path(data).expanduser().absolute())


if __name__ == "__main__":
    main()
