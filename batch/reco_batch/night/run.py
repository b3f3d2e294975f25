"""Nightly run from end to end: read, check, train and score, publish, delete old artifacts.

The stages between the checks and publishing are listed in `stage_order`. Whatever fails, readers
keep the current generation.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from threadpoolctl import threadpool_limits

from reco_batch.artifact.folder import Artifact, artifacts_of, open_artifact
from reco_batch.artifact.manifests import (
    complete_generations,
    namespace_of,
    read_manifest,
    section,
    split_of,
)
from reco_batch.artifact.pruning import finish_deletions, prune_artifacts
from reco_batch.artifact.quarantine import list_artifacts
from reco_batch.artifact.stored_models import digests_of
from reco_batch.artifact.unfinished import (
    FINISH,
    RunFolders,
    UnfinishedNight,
    discard_unfinished,
    is_full,
    open_night,
    unfinished_generations,
)
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset
from reco_batch.data.fingerprint import fingerprint
from reco_batch.data.split import Split, split_ratings
from reco_batch.errors import AtWork, NightFailed
from reco_batch.files import unreadable
from reco_batch.ingest.bad_rows import REJECTED, write_rejected
from reco_batch.ingest.forgotten import clear_texts, leave_out, list_of, read_forgotten
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.night.look_back import live_of, look_back
from reco_batch.night.preflight import existing, preflight
from reco_batch.night.publish_stage import mark_quarantined, publish_artifact
from reco_batch.night.run_manifest import (
    findings_of,
    input_of,
    iso,
    manifest_of,
    parameters_of,
)
from reco_batch.night.stages import Runner
from reco_batch.progress.reporter import Reporter, Stage, StageTimes, errors_as_warnings
from reco_batch.rules.compiled import CompiledRules, compiled
from reco_batch.scoring.engine import Engine, open_engine
from reco_batch.settings.processors import share_processors
from reco_batch.settings.run_config import LearningConfig, RunConfig
from reco_store import GateInput, Keys, Published, RunLock, new_generation_id, store_errors
from reco_store.connection.client import Client
from reco_store.connection.servers import look_at_servers, require_fit
from reco_store.contract.keys import parse_generation_id
from reco_store.contract.manifest import REFRESH
from reco_store.control.rights import require_rights
from reco_store.publishing.generations import list_generations
from reco_store.publishing.replicas import require_replicas

#: Difference of two clocks that needs no warning, as between two machines.
_CLOCKS_APART: Final = timedelta(minutes=1)
#: Stages outside of the list: reading, loading TensorFlow; the gate, publishing, the report.
_OTHER_STAGES: Final = 5


class Night(NamedTuple):
    """Result of a run."""

    artifact: Artifact
    published: Published
    user_ids: tuple[str, ...]
    before: Mapping[str, Any]
    """Metrics of the previous live generation, from `metrics_before`."""

    def example_user(self, preferred: str) -> str:
        """Return a user id for an example: the preferred one if it exists."""
        return preferred if preferred in self.user_ids else self.user_ids[0]


def run_night(
    config: RunConfig,
    lock: RunLock,
    *,
    reporter: Reporter,
    switch: bool = True,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Night:
    """Run everything from reading the input to publishing.

    Args:
        config: configuration of the run.
        lock: lock of the namespace, not yet acquired.
        reporter: shows the stages.
        switch: switch readers to the new generation; False leaves it staged, for a promotion.
        now: returns the current time, which names the generation.

    Raises:
        UsageError, NotInstalled: the engine cannot be used.
        LockHeld: another run is in progress.
        DataRefused: the input cannot be used.
        InputRefused: the gate would refuse a generation made from this input.
        NightFailed: the artifact could not be written.
        StoreError: the store is unfit, or publishing failed; nothing was switched.
    """
    client = lock.client
    require_rights(client, lock.keys)
    with scoring_engine(config) as engine, lock:
        require_store(config, client)  # before hours of training
        started = now()
        dataset, split = read_and_split(config, reporter, now=started)
        rules = compiled(config.rules, dataset)
        for note in rules.notes:
            reporter.report_finding(note)
        made_of = {"created": iso(started), **input_of(dataset, split, rules.eligible)}
        delete_remains(config)  # the run may need their space
        preflight(config, client, dataset, manifest=made_of, reporter=reporter)
        live = GateInput.read_from(client, lock.keys, "", made_of).live_manifest or {}
        past = look_back(
            live,
            dataset,
            client=client,
            keys=lock.keys,
            artifacts=config.artifacts,
            reporter=reporter,
        )
        generation = name_generation(config, client, lock.keys, started=started, reporter=reporter)
        with _open_night(config, dataset, generation, started=started, reporter=reporter) as night:
            reporter.set_generation(night.generation)
            last = last_choice(live)
            work = partial(_fill, config, dataset, split, night, rules=rules, engine=engine)
            artifact = _completed(night, partial(work, last=last, past=past, reporter=reporter))
            published = publish_artifact(
                artifact,
                client,
                lock,
                keep=config.keep,
                replicas=config.replicas,
                bounds=config.bounds,
                force=config.force,
                switch=switch,
                reporter=reporter,
            )
    before = end_night(config, lock, artifact, published, now=now(), reporter=reporter)
    return Night(artifact, published, dataset.user_ids, before)


def require_store(config: RunConfig, client: Client) -> None:
    """Raise StoreError for servers that are unfit, or that have fewer replicas than configured."""
    with store_errors(client):
        require_fit(look_at_servers(client))
    require_replicas(client, config.replicas)


def folders_of(config: RunConfig) -> RunFolders:
    """Return the folders of the namespace's runs."""
    return RunFolders(config.artifacts, config.unfinished / config.namespace)


def delete_remains(config: RunConfig) -> None:
    """Delete what killed deletions and killed refreshes left."""
    with suppress(OSError, AtWork):  # a folder that cannot be used is reported when it is needed
        finish_deletions(config.artifacts)
        discard_unfinished(folders_of(config).of_refreshes)


def end_night(
    config: RunConfig,
    lock: RunLock,
    artifact: Artifact,
    published: Published,
    *,
    now: datetime,
    reporter: Reporter,
) -> Mapping[str, Any]:
    """Return the metrics of the previous live generation, and delete the artifacts of no more use.

    The outcome is decided, so a failure is a warning.
    """
    before: Mapping[str, Any] = {}
    with errors_as_warnings(reporter, "the last run's metrics are not shown"):
        before = metrics_before(
            config.artifacts, published.previous, split=split_of(artifact.manifest)
        )
    _delete_old_artifacts(config, lock, published, now=now, reporter=reporter)
    return before


def _delete_old_artifacts(
    config: RunConfig, lock: RunLock, published: Published, *, now: datetime, reporter: Reporter
) -> None:
    with errors_as_warnings(reporter, "old artifacts are not deleted yet"):
        records = list_generations(lock.client, lock.keys)
        mark_quarantined(config.artifacts, config.namespace, records, reporter)
        live = set(filter(None, [_live(published)]))
        prune_artifacts(
            config.artifacts,
            namespace=config.namespace,
            keep=config.keep,
            live=live | served_by(config.artifacts, lock.client),
            unfinished=unfinished_generations(config.unfinished),
            now=now,
        )


def served_by(artifacts: Path, client: Client) -> set[str]:
    """Return the live generation of each namespace that has an artifact in a folder.

    After `batch experiment --promote` a namespace serves an artifact of another.
    """
    found = [read_manifest(artifacts / name) for name in complete_generations(artifacts)]
    namespaces = {name for manifest in found if manifest and (name := namespace_of(manifest))}
    return {live for name in namespaces if (live := live_of(client, name))}


def last_times(artifacts: Path, namespace: str) -> StageTimes:
    """Return the stage times of a namespace's newest run; empty where none can be read.

    A refresh is no run: it has few of the stages.
    """
    manifest: Mapping[str, Any] = {}
    with suppress(NightFailed):  # an unreadable folder is reported when it is needed
        runs = [one.manifest for one in artifacts_of(artifacts, namespace)]
        manifest = next((one for one in reversed(runs) if REFRESH not in one), {})
    return StageTimes.from_manifest(section(manifest, "began"), section(manifest, "seconds"))


def last_choice(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values that the run of a manifest chose, by dotted name; empty without any."""
    return section(section(section(manifest, "metrics"), "chosen"), "retrieval")


def metrics_before(artifacts: Path, generation: str | None, *, split: str) -> Mapping[str, Any]:
    """Return the metrics of an earlier run for comparison.

    Empty if its folder is gone or its kind of split differs.
    """
    manifest = None if generation is None else read_manifest(artifacts / generation)
    if manifest is None or split_of(manifest) != split:
        return {}
    return section(manifest, "metrics")


def read_and_split(
    config: LearningConfig, reporter: Reporter, *, now: datetime | None = None
) -> tuple[Dataset, Split]:
    """Read, check and split the input.

    Args:
        config: location of the data, and limits of the checks.
        reporter: shows the stage and the findings.
        now: time of the run; later ratings are reported.

    Raises:
        DataRefused: the input cannot be used.
    """
    with reporter.stage("read and check the data") as stage:
        dataset = _read(config, stage, now or datetime.now(UTC))
        split = split_ratings(
            dataset.ratings, by=config.split, seed=config.seed, date=config.split_date
        )
        stage.note(dataset.size_words)
    for finding in findings_of(dataset, split):
        reporter.report_finding(finding)
    return dataset, split


def read_input(config: LearningConfig, reporter: Reporter, *, now: datetime) -> Dataset:
    """Read and check the input, without a split.

    Raises:
        DataRefused: the input cannot be used.
    """
    with reporter.stage("read and check the data") as stage:
        dataset = _read(config, stage, now)
        stage.note(dataset.size_words)
    for finding in dataset.findings.describe():
        reporter.report_finding(finding)
    return dataset


def _read(config: LearningConfig, stage: Stage, now: datetime) -> Dataset:
    """Read and check the input without forgotten users, and release its tables."""
    source = load(
        config.data,
        cache=config.downloads,
        places=config.input,
        encoding=config.encoding,
        max_bad_rows=config.max_bad_rows,
        stage=stage,
    )
    forgotten = read_forgotten(list_of(config.home, config.namespace), config.forget)
    dataset = build_dataset(
        leave_out(source.tables, forgotten),
        rating_scale=config.rating_scale,
        max_unknown_ratings=config.max_unknown_ratings,
        counting=config.input.counting,
        now=now,
        source=source.origin,
    )
    rejected = clear_texts(dataset.findings.rejected, forgotten)
    return replace(dataset, findings=replace(dataset.findings, rejected=rejected))


def name_generation(
    config: RunConfig, client: Client, keys: Keys, *, started: datetime, reporter: Reporter
) -> str:
    """Return a name for the generation that sorts after every earlier one.

    Otherwise a run with a fast clock would remain the newest until that time.

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
            f"the clock is behind the previous run ({max(names)}), so this generation is named one "
            "second after it. Check the clock."
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
    """Start a run, or resume an unfinished one."""
    with disk_errors(config.artifacts / generation):
        config.artifacts.mkdir(parents=True, exist_ok=True)
        return open_night(
            folders_of(config),
            generation,
            started,
            fingerprint(
                {**parameters_of(config), "trainings": config.trainings},
                dataset,
                threads=config.threads,
            ),
            resume=config.resume,
            show=reporter.info,
        )


def _completed(night: UnfinishedNight, fill: Callable[[], None]) -> Artifact:
    """Return the artifact; `fill` runs all stages that are not complete, the manifest's last."""
    folder = night.artifact_folder
    if not night.is_complete(FINISH):
        with disk_errors(folder):
            fill()
    return open_artifact(folder.parent, folder.name)


def scoring_engine(config: RunConfig) -> AbstractContextManager[Engine]:
    """Return the engine that scores the lists, for a `with` block."""
    return open_engine(config.engine, threads=config.threads, ray_address=config.ray_address)


def _fill(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    night: UnfinishedNight,
    *,
    rules: CompiledRules,
    engine: Engine,
    last: Mapping[str, Any],
    past: Mapping[str, Any],
    reporter: Reporter,
) -> None:
    with reporter.stage("load TensorFlow"):
        # Takes seconds, so only for valid data, and visibly.
        share_processors(config.trainings)
        from reco_batch.night.stage_order import order_of  # noqa: PLC0415
        from reco_batch.night.train_and_refit import Trainings  # noqa: PLC0415
        from reco_batch.night.write_lists import Lists  # noqa: PLC0415

    writer = ArtifactWriter(night.artifact_folder, dataset.movies.catalogue, resumed=night.resumed)
    lists = Lists(writer, dataset, config, rules=rules, engine=engine)
    # The number of threads that share a sum decides its last bits, and scoring in one job sets it
    # for training in another. A single thread from the start makes runs reproducible.
    with threadpool_limits(1, "blas"):
        trainings = Trainings(
            dataset,
            split,
            config,
            rules=rules,
            writer=writer,
            night=night,
            last=last,
            reporter=reporter,
        )

        def finish(_: Stage, *measured: Mapping[str, Any]) -> None:
            if dataset.findings.rejected:
                write_rejected(writer.folder / REJECTED, dataset.findings.rejected)
            metrics = trainings.metrics(*measured)
            work = partial(manifest_of, config, dataset, split, night, reporter, rules=rules)
            manifest = work(metrics=metrics, stored_models=digests_of(writer.models))
            writer.finish({**manifest, **past})

        stages = order_of(
            config, dataset, split, writer, trainings=trainings, lists=lists, finish=finish
        )
        runner = Runner(stages, night, reporter, lanes=config.trainings)
        reporter.expect_stages(_OTHER_STAGES + sum(stage.shown for stage in runner.pending()))
        runner.run()


def _live(published: Published) -> str | None:
    return published.generation if published.outcome == "live" else published.previous


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn disk errors of the block into `NightFailed`.

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
            reason += ". Repair the disk or its mount"
        raise NightFailed(f"{reason} or give another --home, then run again.") from error
