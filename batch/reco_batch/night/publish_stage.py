"""Publishing of a complete artifact: the gate, the keys, the record of the outcome and the report.

Needs no training library, so `batch republish` runs on any machine.
"""

from collections.abc import Iterable
from pathlib import Path

from reco_batch.artifact.check import summary
from reco_batch.artifact.erasure import erase_users, users_of
from reco_batch.artifact.folder import Artifact, open_artifact, write_manifest
from reco_batch.artifact.manifests import namespace_of, read_manifest
from reco_batch.artifact.quarantine import (
    LATEST,
    copy_quarantines,
    is_of,
    latest_servable,
    lift_quarantine,
    list_artifacts,
    quarantine_mark,
    record_promotion,
    require_not_quarantined,
)
from reco_batch.files import unreadable
from reco_batch.gate.judge import judge_generation, require_verdict
from reco_batch.ingest.forgotten import Forgotten
from reco_batch.progress.reporter import Reporter, errors_as_warnings
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import GateInput, Published, RunLock, UsageError, Verdict, publish
from reco_store.connection.client import Client
from reco_store.contract.keys import parse_generation_id
from reco_store.control.rights import require_rights
from reco_store.publishing.generations import GenerationRecord, list_generations
from reco_store.publishing.outcome import LIVE, REFUSED
from reco_store.publishing.promotion import promote
from reco_store.publishing.replicas import require_replicas


def republish(
    artifacts: Path,
    generation: str,
    lock: RunLock,
    *,
    keep: int,
    replicas: int = 0,
    bounds: GateBounds,
    force: str | None,
    forgotten: Forgotten | None = None,
    made_for: str | None = None,
    reporter: Reporter,
) -> Published:
    """Publish an artifact that is on disk, without training.

    Args:
        artifacts: folder of all artifacts.
        generation: id of the generation, or `latest` for the newest that may be served.
        lock: lock of the namespace to publish to, not yet acquired.
        keep: generations to keep in the store.
        replicas: replicas of each server that must confirm every key before the switch.
        bounds: thresholds of the gate.
        force: reason to overrule the gate and a quarantine; None to respect both.
        forgotten: users to erase first from an artifact that was restored from a backup.
        made_for: namespace of the run that made it; None: the one to publish to.
        reporter: shows the stages.

    Raises:
        UsageError: `generation` is no generation id, belongs to another namespace or is
            quarantined, or `latest` finds none.
        NightFailed: the generation has no complete artifact.
        StoreError: publishing failed; the live generation has not changed.
    """
    if generation != LATEST:
        parse_generation_id(generation)  # never follow `..` out of the folder
    require_rights(lock.client, lock.keys)
    require_replicas(lock.client, replicas)
    with lock:
        namespace = lock.keys.namespace
        records = list_generations(lock.client, lock.keys)
        mark_quarantined(artifacts, namespace, records, reporter)
        if generation == LATEST:
            generation = latest_servable(list_artifacts(artifacts, namespace), records)
        reporter.set_generation(generation)
        artifact = open_artifact(artifacts, generation)
        own = artifact.namespace or namespace  # an early version did not record it
        allowed = {namespace, made_for or namespace}
        if own not in allowed and not any(
            is_of(one, artifact.folder, artifact.manifest) for one in allowed
        ):
            raise UsageError(
                f"{generation} is of the namespace {own!r}, not of {namespace!r}; another "
                f"recommender would be served there. Use --namespace {own}, or, if {own} is an arm "
                f"of an experiment of {namespace}, `batch experiment --promote {own}`."
            )
        if force is None:
            require_not_quarantined(artifact.folder, namespace=namespace)
        if forgotten:
            erase_users(artifact, forgotten.among(users_of(artifact)))
        published = publish_artifact(
            artifact,
            lock.client,
            lock,
            keep=keep,
            replicas=replicas,
            bounds=bounds,
            force=force,
            overrule=force is not None,
            reporter=reporter,
        )
        if force is not None and published.outcome == LIVE:  # until then the quarantine remains
            _lift_mark(artifact.folder, namespace, reporter)
        if own != namespace and published.outcome == LIVE:
            _record_arm(artifact.folder, namespace, reporter)
        return published


def promote_generation(
    artifacts: Path,
    generation: str,
    lock: RunLock,
    *,
    keep: int,
    replicas: int = 0,
    reporter: Reporter,
) -> Published:
    """Serve a generation that waits in the store, staged or held.

    Args:
        artifacts: folder of all artifacts; if it has that of the generation, the outcome is
            recorded there.
        generation: id of the generation.
        lock: lock of the namespace, not yet acquired.
        keep: generations to keep in the store.
        replicas: replicas of each server that must confirm every key before the switch.
        reporter: shows the stages.

    Raises:
        UsageError: `generation` is no generation id, or is not newer than what is live, or the
            gate's verdict on it does not count any more.
        StoreError: it cannot be promoted; the live generation has not changed.
    """
    parse_generation_id(generation)
    require_rights(lock.client, lock.keys)
    require_replicas(lock.client, replicas)
    reporter.set_generation(generation)
    with lock:
        with reporter.stage("promote") as stage:
            published = promote(
                generation,
                lock=lock,
                keep=keep,
                replicas=replicas,
                require=require_verdict,
                progress=lambda phase, keys: stage.advance(keys) if phase == "verify" else None,
            )
            stage.note(published.outcome)
        with errors_as_warnings(reporter, f"the outcome is not in {artifacts / generation}"):
            _record_outcome(artifacts, lock.keys.namespace, published, reporter)
    return published


def _record_outcome(
    artifacts: Path, namespace: str, published: Published, reporter: Reporter
) -> None:
    """Write the outcome to the artifact and its report, if they are on this machine."""
    folder = artifacts / published.generation
    manifest = read_manifest(folder)
    if manifest is None:
        return
    if namespace_of(manifest) not in {None, namespace}:
        _record_arm(folder, namespace, reporter)
        return
    artifact = Artifact(folder, {**manifest, "published": {"outcome": published.outcome}})
    write_manifest(folder, artifact.manifest)
    _report(artifact, reporter)


def _record_arm(folder: Path, namespace: str, reporter: Reporter) -> None:
    """Record that a namespace serves an arm's artifact; a failure is a warning."""
    try:
        record_promotion(folder, namespace)
    except OSError as error:
        reporter.warn(
            f"{folder.name} cannot be published to {namespace} again if the store is lost: "
            f"{unreadable(error, folder)}"
        )


def mark_quarantined(
    artifacts: Path, namespace: str, records: Iterable[GenerationRecord], reporter: Reporter
) -> None:
    """Mark on disk the generations that are quarantined in the store; a failure is a warning."""
    try:
        copy_quarantines(artifacts, records, namespace=namespace)
    except OSError as error:
        reporter.warn(f"a rollback is not marked on disk: {unreadable(error, artifacts)}")


def _lift_mark(folder: Path, namespace: str, reporter: Reporter) -> None:
    """Remove the quarantine mark of an artifact on disk, after the store's."""
    try:
        lift_quarantine(folder, namespace=namespace)
    except OSError as error:
        mark = quarantine_mark(folder, namespace)
        reporter.warn(f"the mark {mark} is not removed ({error.strerror or error})")


def publish_artifact(
    artifact: Artifact,
    client: Client,
    lock: RunLock,
    *,
    keep: int,
    replicas: int = 0,
    bounds: GateBounds,
    force: str | None,
    overrule: bool = False,
    switch: bool = True,
    reporter: Reporter,
) -> Published:
    """Judge an artifact, publish it, and record the outcome.

    Args:
        artifact: complete artifact.
        client: connection to the store.
        lock: lock of the namespace, acquired.
        keep: generations to keep in the store.
        replicas: replicas of each server that must confirm every key before the switch.
        bounds: thresholds of the gate.
        force: reason to overrule the gate; None to respect it.
        overrule: publish a quarantined generation too.
        switch: switch readers to the generation; False leaves it staged, for a promotion.
        reporter: shows the stages.
    """
    # What happens to an arm's artifact in another namespace is on record in the store alone.
    is_own = artifact.namespace in {None, lock.keys.namespace}
    artifact = artifact.with_manifest(
        {name: value for name, value in artifact.manifest.items() if name != "published"}
    )

    def gate(given: GateInput) -> Verdict:
        with reporter.stage("gate") as judging:
            verdict = judge_generation(given, artifact, bounds=bounds, force=force)
            judging.note(summary(verdict.report))
        if not is_own:
            return verdict
        with errors_as_warnings(reporter, f"the verdict is not in {artifact.folder}"):
            _recorded(artifact, verdict, None, reporter)  # before anything else can fail
        return verdict

    with reporter.stage("publish", total=2 * int(artifact.manifest["entries"])) as stage:

        def progress(phase: str, keys: int) -> None:
            if phase != "retire":
                stage.advance(keys)

        published = publish(
            client,
            lock.keys,
            artifact,
            lock=lock,
            keep=keep,
            replicas=replicas,
            gate=gate,
            overrule=overrule,
            switch=switch,
            progress=progress,
        )
        stage.note(f"{artifact.manifest['entries']:,} keys, {published.outcome}")
    if not is_own:
        return published
    if published.verdict is not None and published.verdict.report:
        with errors_as_warnings(reporter, f"the verdict is not in {artifact.folder}"):
            artifact = _recorded(artifact, published.verdict, published, reporter)
    with errors_as_warnings(reporter, f"there is no report of {artifact.generation}"):
        _report(artifact, reporter)
    return published


def _recorded(
    artifact: Artifact, verdict: Verdict, published: Published | None, reporter: Reporter
) -> Artifact:
    """Write verdict and outcome to the artifact, which outlives the generation in the store.

    The outcome is that of the latest publishing; a later rollback does not change it. Without
    `published`, publishing is in progress, and the outcome is known only if the gate refused.
    """
    manifest = {**artifact.manifest, **_times(artifact, reporter), "gate": dict(verdict.report)}
    if published is not None or not verdict.passed:
        held = None if published is None else published.held
        manifest["published"] = {
            "outcome": REFUSED if published is None else published.outcome,
            "held_until": None if held is None else held.until,
            "held_reason": None if held is None else held.reason,
        }
    judged = artifact.with_manifest(manifest)
    try:
        write_manifest(judged.folder, judged.manifest)
    except OSError as error:  # an artifact on a read-only disk can be published too
        if published is not None:  # report it once, at the end
            reason = error.strerror or error
            reporter.report_finding(f"the verdict is not in {artifact.folder} ({reason})")
    return judged


def _times(artifact: Artifact, reporter: Reporter) -> dict[str, dict[str, float]]:
    """Return the times of all stages, if this run computed the artifact."""
    if not artifact.manifest.get("seconds", {}).items() <= reporter.seconds.items():
        return {}
    return {"began": dict(reporter.began), "seconds": dict(reporter.seconds)}


def _report(artifact: Artifact, reporter: Reporter) -> None:
    from reco_batch.report.report_file import write_report  # noqa: PLC0415  # the template engine

    with reporter.stage("report") as stage:
        stage.note(str(write_report(artifact)))
