"""The night from end to end: read, train, score, write the artifact, publish it, tidy up.

Each step is a function elsewhere; this module has their order, and everything that touches the
clock. Whatever fails, readers go on seeing what they saw before.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, NamedTuple

from reco_batch.artifact import (
    Artifact,
    ArtifactWriter,
    complete_generations,
    open_artifact,
    write_manifest,
)
from reco_batch.bounds import GateBounds
from reco_batch.checks import REFUSED, summary
from reco_batch.config import RunConfig
from reco_batch.dataset import Dataset, Ratings
from reco_batch.errors import NightFailed
from reco_batch.gate import judge_generation
from reco_batch.popularity import popularity_baseline
from reco_batch.progress import Reporter
from reco_batch.sources import load
from reco_batch.split import Split, split_ratings
from reco_batch.validate import build_dataset
from reco_store import (
    GateInput,
    Keys,
    Published,
    RunLock,
    UsageError,
    Verdict,
    new_generation_id,
    publish,
    store_errors,
)
from reco_store.client import Client
from reco_store.keys import is_generation_id, parse_generation_id
from reco_store.servers import look_at_servers, require_fit

SCHEMA_VERSION = 1
_LONGEST_RUN = timedelta(days=2)
#: Options that do not shape the answers; the gate records its own.
_NOT_OF_THE_RESULT = {"home", "data", "encoding", "threads", "bounds", "force"}
_RECORDED_VERSIONS = ("reco", "tensorflow", "tensorflow-recommenders", "tf-keras", "numpy")


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
        LockHeld: another run is at work.
        DataRefused: the input cannot be used.
        NightFailed: the artifact could not be written.
        StoreError: the store is unfit, or publishing failed; nothing was switched.
    """
    keys = Keys(config.namespace)
    with RunLock(client, keys) as lock:
        with store_errors(client):
            require_fit(look_at_servers(client))  # now, rather than after hours of training
        started = now()
        generation = new_generation_id(started)
        dataset, split = _read(config, reporter)
        with _artifact_folder(config.artifacts / generation) as folder:
            artifact = _compute(config, dataset, split, folder, started=started, reporter=reporter)
        published = publish_artifact(
            artifact,
            client,
            lock,
            keep=config.keep,
            bounds=config.bounds,
            force=config.force,
            reporter=reporter,
        )
    prune_artifacts(
        config.artifacts,
        namespace=config.namespace,
        keep=config.keep,
        live=_live(published),
        now=now(),
    )
    return Night(artifact, published, dataset.user_ids)


def republish(
    artifacts: Path,
    generation: str,
    client: Client,
    *,
    namespace: str,
    keep: int,
    bounds: GateBounds,
    force: str | None,
    reporter: Reporter,
) -> Published:
    """Publish an artifact that is on disk, without training.

    Raises:
        UsageError: that is not the name of a generation, or one of another namespace.
        NightFailed: there is no complete artifact of that generation.
        StoreError: publishing failed; nothing was switched.
    """
    parse_generation_id(generation)  # rather than follow `..` out of the folder
    artifact = open_artifact(artifacts, generation)
    own = artifact.manifest.get("parameters", {}).get("namespace", namespace)
    if own != namespace:
        raise UsageError(
            f"{generation} is of the namespace {own!r}, not of {namespace!r}; another "
            f"recommender would be served there. Use --namespace {own}."
        )
    with RunLock(client, Keys(namespace)) as lock:
        return publish_artifact(
            artifact, client, lock, keep=keep, bounds=bounds, force=force, reporter=reporter
        )


def publish_artifact(
    artifact: Artifact,
    client: Client,
    lock: RunLock,
    *,
    keep: int,
    bounds: GateBounds,
    force: str | None,
    reporter: Reporter,
) -> Published:
    """Publish what passes the gate, showing how far writing and reading back have come."""

    def gate(given: GateInput) -> Verdict:
        with reporter.stage("gate") as judging:
            verdict = judge_generation(given, artifact, bounds=bounds, force=force)
            judging.note(summary(verdict.report))
            return verdict

    with reporter.stage("publish", total=2 * int(artifact.manifest["entries"])) as stage:

        def progress(phase: str, keys: int) -> None:
            if phase != "retire":
                stage.advance(keys)

        published = publish(
            client, lock.keys, artifact, lock=lock, keep=keep, gate=gate, progress=progress
        )
        stage.note(f"{artifact.manifest['entries']:,} keys, {published.outcome}")
    if published.verdict is not None and published.verdict.report:
        _record(artifact, published.verdict, reporter)
    return published


def _record(artifact: Artifact, verdict: Verdict, reporter: Reporter) -> None:
    """Keep the verdict with the artifact, which stays when the store has deleted the rest."""
    try:
        write_manifest(artifact.folder, {**artifact.manifest, "gate": dict(verdict.report)})
    except OSError as error:  # a copy on a read-only disk may be published too
        reason = error.strerror or error
        reporter.say(f"note: the verdict is not in {artifact.folder} ({reason})")


def prune_artifacts(
    artifacts: Path, *, namespace: str, keep: int, live: str | None, now: datetime
) -> None:
    """Delete what no command will ask for again.

    That is, of this namespace's complete artifacts, all but the newest `keep` and the live one's,
    those that the gate refused being counted apart, so that bad nights push no good one out; and
    the incomplete ones that killed runs left, once no run can still be at work on them.
    """
    complete = complete_generations(artifacts)
    own: dict[bool, list[str]] = {True: [], False: []}
    for generation in complete:
        manifest = _manifest(artifacts, generation)
        if manifest.get("parameters", {}).get("namespace") == namespace:
            own[(manifest.get("gate") or {}).get("verdict") == REFUSED].append(generation)
    for generation in (*own[True][:-keep], *own[False][:-keep]):
        if generation != live:
            shutil.rmtree(artifacts / generation)
    for name in {path.name for path in artifacts.iterdir()} - set(complete):
        if is_generation_id(name) and now - parse_generation_id(name) > _LONGEST_RUN:
            shutil.rmtree(artifacts / name)


def _manifest(artifacts: Path, generation: str) -> Mapping[str, Any]:
    try:
        return open_artifact(artifacts, generation).manifest
    except NightFailed:  # damaged: for a person to look at
        return {}


def _read(config: RunConfig, reporter: Reporter) -> tuple[Dataset, Split]:
    with reporter.stage("read and check the data") as stage:
        source = load(config.data, cache=config.downloads, encoding=config.encoding, stage=stage)
        dataset = build_dataset(
            source.tables, rating_scale=config.rating_scale, source=source.origin
        )
        split = split_ratings(dataset.ratings, by=config.split, seed=config.seed)
        stage.note(
            f"{len(dataset.ratings):,} ratings, {len(dataset.user_ids):,} users, "
            f"{len(dataset.movies):,} movies"
        )
    for finding in _findings(dataset, split):
        reporter.say(f"note: {finding}")
    return dataset, split


def _compute(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    folder: Path,
    *,
    started: datetime,
    reporter: Reporter,
) -> Artifact:
    """Train, score and write; the last thing written is the manifest."""
    with reporter.stage("load TensorFlow"):
        # Takes seconds: after the data was found good, and where the person can see why.
        from reco_batch.evaluate import TOP_K  # noqa: PLC0415
        from reco_batch.fit import fit_models  # noqa: PLC0415
        from reco_batch.score import Answers  # noqa: PLC0415

    writer = ArtifactWriter(folder, dataset.movies)
    answers = Answers(writer, dataset, config, reporter)
    answers.for_everybody()
    metrics = fit_models(
        dataset,
        split,
        config.parameters,
        refit=config.refits,
        seed=config.seed,
        publish_retrieval=answers.of_retrieval,
        publish_rating=answers.of_rating,
        reporter=reporter,
    )
    baseline = popularity_baseline(
        dataset.ratings.take(split.train),
        dataset.ratings.take(split.test),
        movie_count=len(dataset.movies),
        ks=TOP_K,
    )
    with reporter.stage("finish the artifact"):
        return writer.finish(
            {
                "schema": SCHEMA_VERSION,
                "generation": folder.name,
                "created": started.isoformat(timespec="seconds"),
                "ids": "integer" if dataset.movies.numeric_ids else "string",
                "rating_scale": list(config.rating_scale),
                "parameters": _parameters(config),
                "data": _data(dataset, split),
                "metrics": {**metrics, "popularity": baseline},
                "seconds": dict(reporter.seconds),
                "versions": {"python": python_version()}
                | {name: version(name) for name in _RECORDED_VERSIONS},
                "gate": None,
            }
        )


def _parameters(config: RunConfig) -> dict[str, Any]:
    said = config.model_dump(mode="json", exclude=_NOT_OF_THE_RESULT)
    return said | {"refit": config.refits, "models": config.parameters.to_dict()}


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
        "findings": list(_findings(dataset, split)),
    }


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
def _artifact_folder(folder: Path) -> Iterator[Path]:
    """Give the night a folder that goes away again if the night cannot fill it.

    Raises:
        NightFailed: the folder could not be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)  # now, rather than after hours of training
        yield folder
    except OSError as error:
        free = shutil.disk_usage(_existing(folder)).free // 1_000_000
        shutil.rmtree(folder, ignore_errors=True)
        raise NightFailed(
            f"the artifact {folder} could not be written ({error.strerror or error}); "
            f"{free:,} MB are free there. Make room or give another --home, then run again."
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
