"""The night from end to end: read, train, score, write the artifact, publish it, tidy up.

Each step is a function elsewhere; this module has their order, and everything that touches the
clock. Whatever fails, readers go on seeing what they saw before.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from reco_batch.artifact import MANIFEST, Artifact, open_artifact
from reco_batch.artifact_writer import ArtifactWriter
from reco_batch.bad_rows import REJECTED, write_rejected
from reco_batch.config import LearningConfig, RunConfig
from reco_batch.dataset import Dataset, Ratings
from reco_batch.engine import Engine, open_engine
from reco_batch.errors import NightFailed
from reco_batch.files import closed
from reco_batch.fingerprint import fingerprint, versions
from reco_batch.processors import share_processors
from reco_batch.progress import Reporter, Stage
from reco_batch.pruning import prune_artifacts
from reco_batch.publishing import publish_artifact
from reco_batch.resume import (
    FINISH,
    Place,
    UnfinishedNight,
    is_full,
    open_night,
    unfinished_generations,
)
from reco_batch.sources import load
from reco_batch.split import Split, split_ratings
from reco_batch.validate import build_dataset
from reco_store import Keys, Published, RunLock, new_generation_id, store_errors
from reco_store.client import Client
from reco_store.servers import look_at_servers, require_fit

SCHEMA_VERSION = 1
#: Options that do not shape the answers; the gate records its own.
_NOT_OF_THE_RESULT = {
    "home",
    "data",
    "encoding",
    "max_bad_rows",
    "threads",
    "trainings",
    "engine",
    "ray_address",
    "resume",
    "checkpoint_seconds",
    "bounds",
    "force",
}


class Night(NamedTuple):
    """How it went."""

    artifact: Artifact
    published: Published
    user_ids: tuple[str, ...]

    def example_user(self, preferred: str) -> str:
        """Return a user to try: the preferred one, if there is such a user."""
        return preferred if preferred in self.user_ids else self.user_ids[0]


def run_night(
    config: RunConfig,
    client: Client,
    *,
    reporter: Reporter,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Night:
    """Do everything that `batch run` does.

    Args:
        config: of this night.
        client: connection to the store.
        reporter: shows the stages.
        now: the time, from which the generation takes its name.

    Returns:
        The artifact, how publishing ended, and the users.

    Raises:
        UsageError, NotInstalled: the engine cannot be.
        LockHeld: another run is at work.
        DataRefused: the input cannot be used.
        NightFailed: the artifact could not be written.
        StoreError: the store is unfit, or publishing failed; nothing was switched.
    """
    keys = Keys(config.namespace)
    with _engine(config) as engine, RunLock(client, keys) as lock:
        with store_errors(client):
            require_fit(look_at_servers(client))  # now, rather than after hours of training
        started = now()
        dataset, split = read_and_split(config, reporter)
        with _open_night(config, dataset, started=started, reporter=reporter) as night:
            reporter.concern(night.generation)
            artifact = _compute(config, dataset, split, night, engine=engine, reporter=reporter)
            published = publish_artifact(
                artifact,
                client,
                lock,
                keep=config.keep,
                bounds=config.bounds,
                force=config.force,
                reporter=reporter,
            )
    try:
        prune_artifacts(
            config.artifacts,
            namespace=config.namespace,
            keep=config.keep,
            live=_live(published),
            unfinished=unfinished_generations(config.unfinished),
            now=now(),
        )
    except OSError as error:  # the night is over, and how it ended stands
        reporter.warn(f"old artifacts are not deleted yet: {error}")
    return Night(artifact, published, dataset.user_ids)


def read_and_split(config: LearningConfig, reporter: Reporter) -> tuple[Dataset, Split]:
    """Read and check the data, and say what was noticed.

    Raises:
        DataRefused: the input cannot be used.
    """
    with reporter.stage("read and check the data") as stage:
        dataset = _read(config, stage)
        split = split_ratings(dataset.ratings, by=config.split, seed=config.seed)
        stage.note(
            f"{len(dataset.ratings):,} ratings, {len(dataset.user_ids):,} users, "
            f"{len(dataset.movies):,} movies"
        )
    for finding in _findings(dataset, split):
        reporter.find(finding)
    return dataset, split


def _read(config: LearningConfig, stage: Stage) -> Dataset:
    """Read and check, and let go of what was read: the tables are as large as the data set."""
    source = load(
        config.data,
        cache=config.downloads,
        encoding=config.encoding,
        max_bad_rows=config.max_bad_rows,
        stage=stage,
    )
    return build_dataset(source.tables, rating_scale=config.rating_scale, source=source.origin)


def _open_night(
    config: RunConfig, dataset: Dataset, *, started: datetime, reporter: Reporter
) -> UnfinishedNight:
    """Begin the night, or go on with an unfinished one."""
    generation = new_generation_id(started)
    with _disk_errors(config.artifacts / generation):
        config.artifacts.mkdir(parents=True, exist_ok=True)
        return open_night(
            Place(config.artifacts, config.unfinished / config.namespace),
            generation,
            started,
            fingerprint(
                {**_parameters(config), "trainings": config.trainings},
                dataset,
                threads=config.threads,
            ),
            resume=config.resume,
            say=reporter.say,
        )


def _compute(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    night: UnfinishedNight,
    *,
    engine: Engine,
    reporter: Reporter,
) -> Artifact:
    """Train, score and write what is not yet complete; the last thing written is the manifest."""
    folder = night.artifact_folder
    if not night.is_complete(FINISH):
        with _disk_errors(folder, night):
            _fill(config, dataset, split, night, engine=engine, reporter=reporter)
    return open_artifact(folder.parent, folder.name)


def _engine(config: RunConfig) -> AbstractContextManager[Engine]:
    return open_engine(config.engine, threads=config.threads, ray_address=config.ray_address)


def _fill(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    night: UnfinishedNight,
    *,
    engine: Engine,
    reporter: Reporter,
) -> None:
    with reporter.stage("load TensorFlow"):
        # Takes seconds: after the data was found good, and where the person can see why.
        share_processors(config.trainings)
        from reco_batch.fit import fit_models  # noqa: PLC0415
        from reco_batch.score import Answers  # noqa: PLC0415

    folder = night.artifact_folder
    writer = ArtifactWriter(folder, dataset.movies, resumed=night.resumed)
    answers = Answers(writer, dataset, config, night, reporter, engine=engine)
    answers.for_everybody()
    # How many threads share a sum decides its last bits, and scoring in one lane sets how many
    # there are in the other: with one from the start, the same night has the same bytes.
    with threadpool_limits(1, "blas"):
        metrics = fit_models(
            dataset,
            split,
            config,
            publish_retrieval=answers.of_retrieval,
            publish_rating=answers.of_rating,
            night=night,
            reporter=reporter,
        )

    def finish() -> None:
        with reporter.stage(FINISH):
            if dataset.findings.rejected:
                write_rejected(folder / REJECTED, dataset.findings.rejected)
            writer.finish(
                {
                    "schema": SCHEMA_VERSION,
                    "generation": night.generation,
                    "created": night.started.isoformat(timespec="seconds"),
                    "ids": "integer" if dataset.movies.numeric_ids else "string",
                    "rating_scale": list(config.rating_scale) if dataset.has_stars else None,
                    "parameters": _parameters(config),
                    "data": _data(dataset, split),
                    "metrics": metrics,
                    "began": dict(reporter.began),
                    "seconds": dict(reporter.seconds),
                    "losses": {name: _short(kept) for name, kept in reporter.losses.items()},
                    "versions": versions(),
                    "gate": None,
                }
            )

    night.output(FINISH, [folder / MANIFEST], finish)


def _parameters(config: RunConfig) -> dict[str, Any]:
    said = config.model_dump(mode="json", exclude=_NOT_OF_THE_RESULT)
    return said | {
        "refit": config.refits,
        "rank_by": config.orders_by,
        "models": config.parameters.to_dict(),
    }


def _data(dataset: Dataset, split: Split) -> dict[str, Any]:
    return {
        **dataset.source,
        "users": len(dataset.user_ids),
        "movies": len(dataset.movies),
        "ratings": len(dataset.ratings),
        "newest_rating": _newest(dataset.ratings),
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
        "test_users": int(np.unique(dataset.ratings.user_index[split.test]).size),
        "findings": list(_findings(dataset, split)),
    }


def _short(losses: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return losses no longer than a curve needs them: the manifest goes to the store, too."""
    return [(epoch, float(f"{loss:.5g}")) for epoch, loss in losses if math.isfinite(loss)]


def _newest(ratings: Ratings) -> int | None:
    """Return when the newest rating was given, in seconds since 1970."""
    return None if ratings.timestamp is None else int(ratings.timestamp.max())


def _findings(dataset: Dataset, split: Split) -> tuple[str, ...]:
    few = split.users_only_in_training
    return (
        *dataset.findings.describe(),
        *([f"{few:,} users have too few ratings to hold any out"] if few else []),
    )


def _live(published: Published) -> str | None:
    return published.generation if published.outcome == "live" else published.previous


@contextmanager
def _disk_errors(folder: Path, night: UnfinishedNight | None = None) -> Iterator[None]:
    """Say what the disk refused; if it is full, a night gives back what it took.

    Raises:
        NightFailed: the folder could not be written.
    """
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(_existing(folder)).free // 1_000_000
        if night is not None and is_full(error):
            night.give_way()
        if isinstance(error, PermissionError):
            raise closed(error) from error
        raise NightFailed(
            f"the artifact {folder} could not be written ({error.strerror or error}); "
            f"{free:,} MB are free there. Make room or give another --home, then run again."
        ) from error


def _existing(path: Path) -> Path:
    try:
        there = path.exists()
    except PermissionError:  # it is in a folder that this account may not enter
        there = False
    return path if there else _existing(path.parent)
