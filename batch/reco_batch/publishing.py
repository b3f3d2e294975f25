"""From a complete artifact to what readers see: the gate, the keys, and what stays on record.

Needs nothing that trains: `batch republish` publishes an artifact on any machine.
"""

from pathlib import Path

import pyarrow as pa

from reco_batch.artifact import Artifact, open_artifact, write_manifest
from reco_batch.bounds import GateBounds
from reco_batch.checks import summary
from reco_batch.gate import judge_generation
from reco_batch.progress import Reporter
from reco_store import GateInput, Keys, Published, RecoError, RunLock, UsageError, Verdict, publish
from reco_store.client import Client
from reco_store.keys import parse_generation_id
from reco_store.rights import require_rights


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
    reporter.concern(generation)
    artifact = open_artifact(artifacts, generation)
    own = artifact.manifest.get("parameters", {}).get("namespace", namespace)
    if own != namespace:
        raise UsageError(
            f"{generation} is of the namespace {own!r}, not of {namespace!r}; another "
            f"recommender would be served there. Use --namespace {own}."
        )
    require_rights(client, Keys(namespace))
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
    artifact = Artifact(
        artifact.folder, {k: v for k, v in artifact.manifest.items() if k != "published"}
    )

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
        artifact = _recorded(artifact, published, published.verdict, reporter)
    _report(artifact, reporter)
    return published


def _recorded(
    artifact: Artifact, published: Published, verdict: Verdict, reporter: Reporter
) -> Artifact:
    """Keep verdict and outcome with the artifact, which stays when the store has deleted the rest.

    The outcome is of the latest publishing: what a later rollback does is not known here.
    """
    held = published.held
    outcome = {
        "outcome": published.outcome,
        "held_until": None if held is None else held.until,
        "held_reason": None if held is None else held.reason,
    }
    manifest = {
        **artifact.manifest,
        **_times(artifact, reporter),
        "gate": dict(verdict.report),
        "published": outcome,
    }
    judged = Artifact(artifact.folder, manifest)
    try:
        write_manifest(judged.folder, judged.manifest)
    except OSError as error:  # a copy on a read-only disk may be published too
        reason = error.strerror or error
        reporter.find(f"the verdict is not in {artifact.folder} ({reason})")
    return judged


def _times(artifact: Artifact, reporter: Reporter) -> dict[str, dict[str, float]]:
    """Return when the stages were, publishing among them, if this run computed the artifact."""
    if not artifact.manifest.get("seconds", {}).items() <= reporter.seconds.items():
        return {}
    return {"began": dict(reporter.began), "seconds": dict(reporter.seconds)}


def _report(artifact: Artifact, reporter: Reporter) -> None:
    """Write the report; what readers see is decided, and nothing here may change how it ended."""
    from reco_batch.report import write_report  # noqa: PLC0415  # the template engine

    try:
        with reporter.stage("report") as stage:
            stage.note(str(write_report(artifact)))
    except (OSError, RecoError, pa.ArrowException) as error:
        reporter.warn(f"there is no report of {artifact.generation}: {error}")
