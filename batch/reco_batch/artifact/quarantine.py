"""Artifacts on disk that may be served: gate verdicts, and quarantine marks of rollbacks.

    artifacts/<generation>/quarantine.json    {"schema": 1, "note": ...}    withdrawn by a rollback

The store records both as well, but may lose its data. Copying an artifact also copies its mark.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from reco_batch.artifact.check import REFUSED
from reco_batch.artifact.manifests import manifests_of, section
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


def quarantine(folder: Path, note: str) -> None:
    """Mark an artifact as quarantined.

    Raises:
        OSError: the folder cannot be written.
    """
    write_whole(folder / QUARANTINE, json.dumps({"schema": _SCHEMA, "note": note}).encode())


def lift_quarantine(folder: Path) -> None:
    """Remove the quarantine mark of an artifact, if there is one.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / QUARANTINE).unlink(missing_ok=True)


def quarantine_note(folder: Path) -> str | None:
    """Return the reason for an artifact's quarantine; None if it is not quarantined."""
    try:
        content = json.loads((folder / QUARANTINE).read_bytes())
        return str(content["note"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):  # a damaged mark is a mark
        return f"see {folder / QUARANTINE}"


def quarantine_notes(artifacts: Path) -> dict[str, str]:
    """Return the reasons by quarantined artifact; empty if the folder cannot be read."""
    found = artifacts.glob(f"*/{QUARANTINE}")
    return {mark.parent.name: quarantine_note(mark.parent) or "" for mark in found}


def copy_quarantines(artifacts: Path, records: Iterable[GenerationRecord]) -> None:
    """Mark the artifacts on this machine that are quarantined in the store.

    The rollback may have been made on another machine, or by an account that cannot write here.

    Raises:
        OSError: a folder cannot be written.
    """
    for record in records:
        folder = artifacts / record.id
        if record.state == QUARANTINED and folder.is_dir() and quarantine_note(folder) is None:
            quarantine(folder, record.note)


def list_artifacts(artifacts: Path, namespace: str) -> list[StoredArtifact]:
    """Return the complete, undamaged artifacts of a namespace, newest first.

    Raises:
        NightFailed: the folder cannot be read.
    """
    return [_stored(*found) for found in reversed(manifests_of(artifacts, namespace))]


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
            "lists them"
        )
    return good[0].generation


def require_not_quarantined(folder: Path) -> None:
    """Refuse a quarantined artifact.

    Raises:
        UsageError: the artifact was withdrawn by a rollback.
    """
    note = quarantine_note(folder)
    if note is not None:
        raise UsageError(
            f"generation {folder.name} was withdrawn by a rollback ({note}) and is not published "
            "again; run `batch run` for a new one, or, if the rollback was a mistake, "
            f"`batch republish {folder.name} --force REASON`"
        )


def is_rejected(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Return whether an artifact was refused by the gate or withdrawn by a rollback."""
    return not _stored(folder, manifest).may_be_served


def _stored(folder: Path, manifest: Mapping[str, Any]) -> StoredArtifact:
    gate = section(manifest, "gate")
    verdict, refused = gate.get("verdict"), gate.get("refused")
    note = quarantine_note(folder)
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
        is_staged=section(manifest, "published").get("outcome") == STAGED,
    )
