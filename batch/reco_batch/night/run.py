"""The night from end to end: read, train, score, write the artifact, publish it, tidy up.

Each step is a function elsewhere; this module has their order, and everything that touches the
clock. Whatever fails, readers go on seeing what they saw before.
"""

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from reco_batch.artifact.folder import Artifact, artifacts_of, open_artifact
from reco_batch.artifact.manifests import MANIFEST, read_manifest, section, split_of
from reco_batch.artifact.pruning import finish_deletions, prune_artifacts
from reco_batch.artifact.quarantine import list_artifacts
from reco_batch.artifact.unfinished import (
    FINISH,
    RunFolders,
    UnfinishedNight,
    is_full,
    open_night,
    unfinished_generations,
)
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.data.fingerprint import fingerprint, versions
from reco_batch.data.split import Split, split_ratings
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable
from reco_batch.ingest.bad_rows import REJECTED, write_rejected
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.night.preflight import existing, preflight
from reco_batch.night.publishing import mark_quarantined, publish_artifact
from reco_batch.progress.reporter import Reporter, Stage, StageTimes, errors_as_warnings
from reco_batch.scoring.engine import Engine, open_engine
from reco_batch.scoring.popularity import Thresholds, thresholds_of
from reco_batch.settings.hyperparameters import HistoryParameters
from reco_batch.settings.processors import share_processors
from reco_batch.settings.run_config import LearningConfig, RunConfig
from reco_store import Keys, Published, RunLock, new_generation_id, store_errors
from reco_store.connection.client import Client
from reco_store.connection.servers import look_at_servers, require_fit
from reco_store.contract.keys import parse_generation_id
from reco_store.control.rights import require_rights
from reco_store.publishing.generations import list_generations
from reco_store.publishing.replicas import require_replicas

SCHEMA_VERSION = 1
#: Two runs of one second, or two machines, are no reason to doubt the clock.
_CLOCKS_APART = timedelta(minutes=1)
#: Options that do not shape the answers; the gate records its own.
_NOT_OF_THE_RESULT = {
    "home",
    "data",
    "encoding",
    "max_unknown_ratings",
    "max_bad_rows",
    "threads",
    "trainings",
    "engine",
    "ray_address",
    "replicas",
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
    before: Mapping[str, Any]
    """Metrics of the generation live before, as returned by `metrics_before`."""

    def example_user(self, preferred: str) -> str:
        """Return a user to try: the preferred one, if there is such a user."""
        return preferred if preferred in self.user_ids else self.user_ids[0]


def run_night(
    config: RunConfig,
    lock: RunLock,
    *,
    reporter: Reporter,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Night:
    """Do everything that `batch run` does.

    Args:
        config: of this night.
        lock: of the namespace, not taken yet.
        reporter: shows the stages.
        now: the time, from which the generation takes its name.

    Returns:
        The artifact, how publishing ended, and the users.

    Raises:
        UsageError, NotInstalled: the engine cannot be.
        LockHeld: another run is at work.
        DataRefused: the input cannot be used.
        InputRefused: the gate would refuse a generation made from this input.
        NightFailed: the artifact could not be written.
        StoreError: the store is unfit, or publishing failed; nothing was switched.
    """
    client = lock.client
    require_rights(client, lock.keys)
    with _engine(config) as engine, lock:
        with store_errors(client):
            require_fit(look_at_servers(client))  # now, rather than after hours of training
        require_replicas(client, config.replicas)
        started = now()
        dataset, split = read_and_split(config, reporter, now=started)
        reporter.expect_stages(stage_count(config, dataset))
        made_of = {"created": _iso(started), **_of_input(dataset, split)}
        with suppress(OSError):  # the run itself reports what it cannot use
            finish_deletions(config.artifacts)  # their space may be all that there is
        preflight(config, client, dataset, manifest=made_of, reporter=reporter)
        generation = _name(config, client, lock.keys, started=started, reporter=reporter)
        with _open_night(config, dataset, generation, started=started, reporter=reporter) as night:
            reporter.set_generation(night.generation)
            artifact = _compute(config, dataset, split, night, engine=engine, reporter=reporter)
            published = publish_artifact(
                artifact,
                client,
                lock,
                keep=config.keep,
                replicas=config.replicas,
                bounds=config.bounds,
                force=config.force,
                reporter=reporter,
            )
    before: Mapping[str, Any] = {}
    with errors_as_warnings(reporter, "the last run's metrics are not shown"):
        before = metrics_before(config.artifacts, published.previous, split=config.split)
    with errors_as_warnings(reporter, "old artifacts are not deleted yet"):
        mark_quarantined(config.artifacts, list_generations(client, lock.keys), reporter)
        prune_artifacts(
            config.artifacts,
            namespace=config.namespace,
            keep=config.keep,
            live=_live(published),
            unfinished=unfinished_generations(config.unfinished),
            now=now(),
        )
    return Night(artifact, published, dataset.user_ids, before)


def stage_count(config: RunConfig, dataset: Dataset) -> int:
    """Return how many stages a run has that is not resumed."""
    models = 1 + dataset.has_stars
    trained = models * (3 if config.refits else 2)  # and measured
    chosen = isinstance(config.parameters.retrieval, HistoryParameters)  # how newer ratings count
    written = 1 + 4 + (2 if dataset.has_stars else 0)  # for everybody, of retrieval, of rating
    around = 2 + 4  # read, load TensorFlow; finish, publish, gate, report
    return around + chosen + trained + written


def last_times(artifacts: Path, namespace: str) -> StageTimes:
    """Return the stage times of a namespace's newest run; empty where none can be read."""
    manifest: Mapping[str, Any] = {}
    with suppress(NightFailed):  # a folder that cannot be read is reported when it is needed
        manifest = next((one.manifest for one in artifacts_of(artifacts, namespace)[-1:]), {})
    return StageTimes.from_manifest(section(manifest, "began"), section(manifest, "seconds"))


def metrics_before(artifacts: Path, generation: str | None, *, split: str) -> Mapping[str, Any]:
    """Return the metrics of an earlier run that can be compared with.

    Empty where its folder is gone, or where it was measured on another kind of split.
    """
    manifest = None if generation is None else read_manifest(artifacts / generation)
    if manifest is None or split_of(manifest) != split:
        return {}
    return section(manifest, "metrics")


def read_and_split(
    config: LearningConfig, reporter: Reporter, *, now: datetime | None = None
) -> tuple[Dataset, Split]:
    """Read and check the data, and say what was noticed.

    Args:
        config: where the data are, and what is allowed in them.
        reporter: shows the stage and the findings.
        now: the time of the run, with which the check for future ratings compares.

    Raises:
        DataRefused: the input cannot be used.
    """
    with reporter.stage("read and check the data") as stage:
        dataset = _read(config, stage, now or datetime.now(UTC))
        split = split_ratings(dataset.ratings, by=config.split, seed=config.seed)
        stage.note(
            f"{len(dataset.ratings):,} ratings, {len(dataset.user_ids):,} users, "
            f"{dataset.movies.listed:,} movies"
        )
    for finding in _findings(dataset, split):
        reporter.report_finding(finding)
    return dataset, split


def _read(config: LearningConfig, stage: Stage, now: datetime) -> Dataset:
    """Read and check, and let go of what was read: the tables are as large as the data set."""
    source = load(
        config.data,
        cache=config.downloads,
        encoding=config.encoding,
        max_bad_rows=config.max_bad_rows,
        stage=stage,
    )
    return build_dataset(
        source.tables,
        rating_scale=config.rating_scale,
        max_unknown_ratings=config.max_unknown_ratings,
        now=now,
        source=source.origin,
    )


def _name(
    config: RunConfig, client: Client, keys: Keys, *, started: datetime, reporter: Reporter
) -> str:
    """Name the generation, later than every one before it: names are ordered as runs are.

    Else a run whose clock was ahead would stay the newest one until that time has come.

    Raises:
        StoreError: the store does not answer.
    """
    names = [record.id for record in list_generations(client, keys)]
    with suppress(NightFailed):  # a folder of another account, which may share this home
        names += [one.generation for one in list_artifacts(config.artifacts, config.namespace)]
    last = max(map(parse_generation_id, names), default=started)
    if last < started.replace(microsecond=0):
        return new_generation_id(started)
    if last - started > _CLOCKS_APART:
        reporter.warn(
            f"the clock is behind that of an earlier run, {max(names)}; this one is named to "
            "follow it. Was the clock ahead then, or is it wrong now?"
        )
    return new_generation_id(last + timedelta(seconds=1 if names else 0))


def _open_night(
    config: RunConfig,
    dataset: Dataset,
    generation: str,
    *,
    started: datetime,
    reporter: Reporter,
) -> UnfinishedNight:
    """Begin the night, or go on with an unfinished one."""
    with _disk_errors(config.artifacts / generation):
        config.artifacts.mkdir(parents=True, exist_ok=True)
        return open_night(
            RunFolders(config.artifacts, config.unfinished / config.namespace),
            generation,
            started,
            fingerprint(
                {**_parameters(config), "trainings": config.trainings},
                dataset,
                threads=config.threads,
            ),
            resume=config.resume,
            show=reporter.info,
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
        with _disk_errors(folder):
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
        from reco_batch.night.train_and_refit import fit_models  # noqa: PLC0415
        from reco_batch.night.write_lists import Answers  # noqa: PLC0415

    folder = night.artifact_folder
    writer = ArtifactWriter(folder, dataset.movies.catalogue, resumed=night.resumed)
    answers = Answers(writer, dataset, config, night, reporter, engine=engine)
    answers.for_everybody()
    night.output("write the split", [writer.split], lambda: writer.write_split(dataset, split))
    # How many threads share a sum decides its last bits, and scoring in one lane sets how many
    # there are in the other: with one from the start, the same night has the same bytes.
    with threadpool_limits(1, "blas"):
        metrics = fit_models(
            dataset,
            split,
            config,
            publish_retrieval=answers.of_retrieval,
            publish_rating=answers.of_rating,
            writer=writer,
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
                    "created": _iso(night.started),
                    "rating_scale": list(config.rating_scale) if dataset.has_stars else None,
                    "genres": sorted(
                        {name for own in dataset.movies.catalogue.genres for name in own}
                    ),
                    **_of_input(dataset, split),
                    "parameters": _parameters(config)
                    | {"rating_threshold": _thresholds(config, dataset).rating_mean},
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


def _thresholds(config: RunConfig, dataset: Dataset) -> Thresholds:
    return thresholds_of(dataset, config.count_threshold, config.rating_threshold)


def _of_input(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Return the parts of the manifest that the input alone decides."""
    kind = "integer" if dataset.movies.catalogue.numeric_ids else "string"
    return {"ids": kind, "data": _data(dataset, split)}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _data(dataset: Dataset, split: Split) -> dict[str, Any]:
    return {
        **dataset.source,
        "users": len(dataset.user_ids),
        "movies": dataset.movies.listed,
        "ratings": len(dataset.ratings),
        "unlisted": {
            "movies": dataset.movies.unlisted,
            "ratings": int((dataset.ratings.movie_index >= dataset.movies.listed).sum()),
        },
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
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the disk in the block into `NightFailed`.

    Raises:
        NightFailed: the folder could not be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, PermissionError):
            raise NightFailed(unreadable(error, folder)) from error
        reason = f"the artifact {folder} could not be written ({error.strerror or error})"
        if is_full(error):
            free = shutil.disk_usage(existing(folder)).free // 1_000_000
            reason += f"; {free:,} MB are free there. Make room"
        else:
            reason += ". Mend the disk or its mount"
        raise NightFailed(f"{reason} or give another --home, then run again.") from error
