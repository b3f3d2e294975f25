"""Artifacts on disk that may be served: gate verdicts, and quarantine marks of rollbacks.

    artifacts/<generation>/quarantine.json    {"schema": 1, "note": ...}    withdrawn by a rollback

The store records both as well, but may lose its data. Copying an artifact also copies its mark.

An arm's artifact that serves another namespace too, after `batch experiment --promote`, has marks
of that namespace: `promoted-<namespace>.json`, and `quarantine-<namespace>.json` after a rollback
there. Each namespace withdraws a generation for itself.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from reco_batch.artifact.check import REFUSED
from reco_batch.artifact.manifests import (
    every_manifest,
    namespace_of,
    read_manifest,
    section,
)
from reco_batch.files import write_whole
from reco_store import UsageError
from reco_store.control.generation_registry import QUARANTINED
from reco_store.publishing.generations import GenerationRecord
from reco_store.publishing.outcome import STAGED

QUARANTINE: Final = "quarantine.json"
#: Placeholder for the newest generation that may be served.
LATEST: Final = "latest"
_SCHEMA: Final = 1


class StoredArtifact(NamedTuple):
    """Complete artifact on disk, with its verdict and quarantine."""

    generation: str
    created: str
    """ISO 8601."""
    verdict: str
    """Verdict of the quality gate; empty if the artifact was never judged."""
    note: str
    """Reason why the artifact may not be served; empty if it may be served."""
    is_quarantined: bool
    is_staged: bool = False
    """True if the last run or promotion on this machine left it staged."""

    @property
    def may_be_served(self) -> bool:
        """True unless the gate refused the artifact or it was withdrawn by a rollback."""
        return not self.is_quarantined and self.verdict != REFUSED


def quarantine(folder: Path, note: str, *, namespace: str) -> None:
    """Mark an artifact as quarantined in a namespace.

    Raises:
        OSError: the folder cannot be written.
    """
    content = {"schema": _SCHEMA, "note": note}
    write_whole(quarantine_mark(folder, namespace), json.dumps(content).encode())


def lift_quarantine(folder: Path, *, namespace: str) -> None:
    """Remove the quarantine mark of an artifact in a namespace, if there is one.

    Raises:
        OSError: the folder cannot be written.
    """
    quarantine_mark(folder, namespace).unlink(missing_ok=True)


def quarantine_note(folder: Path, *, namespace: str) -> str | None:
    """Return why an artifact is quarantined in a namespace; None if it is not."""
    return _note_of(quarantine_mark(folder, namespace))


def quarantine_notes(artifacts: Path, *, namespace: str) -> dict[str, str]:
    """Return the reasons by artifact that is quarantined in a namespace.

    Empty if the folder cannot be read.
    """
    folders = {mark.parent for mark in artifacts.glob("*/quarantine*.json")}
    notes = ((folder.name, quarantine_note(folder, namespace=namespace)) for folder in folders)
    return {generation: note for generation, note in notes if note is not None}


def quarantine_mark(folder: Path, namespace: str) -> Path:
    """Return the file that marks an artifact as quarantined in a namespace."""
    manifest = read_manifest(folder)
    return folder / _mark_in(namespace, None if manifest is None else namespace_of(manifest))


def _mark_in(namespace: str | None, own: str | None) -> str:
    """Return the name of the mark in a namespace, of an artifact that was made for its own."""
    return QUARANTINE if own in {None, namespace} else f"quarantine-{namespace}.json"


def _note_of(mark: Path) -> str | None:
    try:
        content = json.loads(mark.read_bytes())
        return str(content["note"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):  # a damaged mark is a mark
        return f"see {mark}"


def copy_quarantines(
    artifacts: Path, records: Iterable[GenerationRecord], *, namespace: str
) -> None:
    """Mark the artifacts on this machine that are quarantined in the store.

    The rollback may have been made on another machine, or by an account that cannot write here.

    Args:
        artifacts: folder of all artifacts.
        records: generations of the namespace in the store.
        namespace: namespace in which they are quarantined.

    Raises:
        OSError: a folder cannot be written.
    """
    withdrawn = [record for record in records if record.state == QUARANTINED]
    for record in withdrawn:
        folder = artifacts / record.id
        if folder.is_dir() and quarantine_note(folder, namespace=namespace) is None:
            quarantine(folder, record.note, namespace=namespace)


def record_promotion(folder: Path, namespace: str) -> None:
    """Record that a namespace serves the artifact of an arm.

    Raises:
        OSError: the folder cannot be written.
    """
    write_whole(_promotion_mark(folder, namespace), json.dumps({"schema": _SCHEMA}).encode())


def is_of(namespace: str, folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Return whether an artifact was made for a namespace, or promoted to it from an arm."""
    return namespace_of(manifest) == namespace or _promotion_mark(folder, namespace).exists()


def _promotion_mark(folder: Path, namespace: str) -> Path:
    return folder / f"promoted-{namespace}.json"


def list_artifacts(artifacts: Path, namespace: str) -> list[StoredArtifact]:
    """Return the complete, undamaged artifacts of a namespace, newest first.

    They include those of arms that were promoted to it.

    Raises:
        NightFailed: the folder cannot be read.
    """
    return [
        _stored(folder, manifest, namespace)
        for folder, manifest in reversed(every_manifest(artifacts))
        if is_of(namespace, folder, manifest)
    ]


def latest_servable(found: Iterable[StoredArtifact], records: Iterable[GenerationRecord]) -> str:
    """Return the newest generation on disk that may be served.

    Without a live generation the gate has no baseline, so an artifact that it has passed is
    preferred to a newer one that it never judged. One that was served is preferred to a newer one
    that was only staged.

    Args:
        found: artifacts on disk, newest first.
        records: generations listed in the store.

    Raises:
        UsageError: no artifact may be served.
    """
    found, records = list(found), list(records)
    rejected = {record.id for record in records if record.state == QUARANTINED}
    served = {record.id for record in records if record.live_since}  # promoted elsewhere, perhaps
    good = [one for one in found if one.may_be_served and one.generation not in rejected]
    if not any(record.live for record in records):
        good = [one for one in good if one.verdict] or good
    good = [one for one in good if not one.is_staged or one.generation in served] or good
    if not good:
        raise UsageError(
            f"none of the {len(found)} complete artifacts may be served; expected one that the "
            "gate did not refuse and that was not withdrawn by a rollback. `batch generations` "
            "lists them."
        )
    return good[0].generation


def require_not_quarantined(folder: Path, *, namespace: str) -> None:
    """Refuse an artifact that is quarantined in a namespace.

    Raises:
        UsageError: the artifact was withdrawn by a rollback.
    """
    note = quarantine_note(folder, namespace=namespace)
    if note is not None:
        raise UsageError(
            f"generation {folder.name} was withdrawn by a rollback ({note}) and is not published "
            "again; run `batch run` for a new one, or, if the rollback was a mistake, "
            f"`batch republish {folder.name} --force REASON`"
        )


def is_rejected(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Return whether an artifact was refused by the gate or withdrawn by a rollback."""
    return not _stored(folder, manifest, namespace_of(manifest)).may_be_served


def _stored(folder: Path, manifest: Mapping[str, Any], namespace: str | None) -> StoredArtifact:
    own = namespace_of(manifest)
    gate = section(manifest, "gate")
    verdict, refused = gate.get("verdict"), gate.get("refused")
    note = _note_of(folder / _mark_in(namespace, own))
    is_quarantined = note is not None
    if note is None:
        reasons = refused if verdict == REFUSED and isinstance(refused, list) else []
        note = ", ".join(map(str, reasons))
    return StoredArtifact(
        generation=folder.name,
        created=str(manifest.get("created", "")),
        verdict=str(verdict or ""),
        note=note,
        is_quarantined=is_quarantined,
        is_staged=own == namespace and section(manifest, "published").get("outcome") == STAGED,
    )
