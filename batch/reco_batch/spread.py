"""Train the default retrieval model by several processes, and print how good it is.

    python -m reco_batch.spread --data DIR --shared FOLDER

started on every machine, with TF_CONFIG as TensorFlow defines it: the addresses of all processes,
and which one this is. Without TF_CONFIG one process trains alone.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from reco_batch.config import LearningConfig
from reco_batch.parameter_file import read_parameters
from reco_batch.progress import choose_reporter
from reco_batch.spread_training import train_share
from reco_store.console import guard


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", required=True, help="as of `batch run`")
    parser.add_argument("--shared", required=True, type=Path, help="folder that all machines see")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--parameters", type=Path, metavar="FILE", help="as of `batch run`")
    return parser.parse_args()


def main() -> None:
    """Train, and print the metrics as JSON."""
    told = _told()
    with guard():
        shared = told.shared.absolute()
        config = LearningConfig(
            data=told.data,
            seed=told.seed,
            threads=len(os.sched_getaffinity(0)),
            home=shared,
            tuned=read_parameters(told.parameters, preset="default") if told.parameters else None,
        )
        found = train_share(config, shared=shared, reporter=choose_reporter(quiet=False))
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
