"""Artifacts on disk that may be served: verdicts of the gate, and quarantine marks of rollbacks.

    artifacts/<generation>/quarantine.json    {"schema": 1, "note": ...}: it was rolled back from

The store records both as well, but may lose its data. The folder keeps them when the store is
empty, and its mark goes with it when it is copied.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from reco_batch.artifact.checks import REFUSED
from reco_batch.artifact.folder import artifacts_of
from reco_batch.artifact.manifests import section
from reco_batch.files import write_whole
from reco_store import UsageError
from reco_store.control.registry import QUARANTINED
from reco_store.publishing.generations import GenerationRecord

QUARANTINE: Final = "quarantine.json"
#: In place of a generation's name: the newest one that may be served.
LATEST: Final = "latest"
_SCHEMA: Final = 1


class Kept(NamedTuple):
    """An artifact on disk, and whether it may be served."""

    generation: str
    created: str
    """ISO 8601."""
    verdict: str
    """Verdict of the quality gate; empty if it never judged this artifact."""
    note: str
    """Reason why the artifact may not be served; empty if it may be served."""
    is_quarantined: bool

    @property
    def may_be_served(self) -> bool:
        """True unless the gate refused the artifact or it was rolled back from."""
        return not self.is_quarantined and self.verdict != REFUSED


def quarantine(folder: Path, note: str) -> None:
    """Mark an artifact as rolled back from.

    Raises:
        OSError: the folder cannot be written.
    """
    write_whole(folder / QUARANTINE, json.dumps({"schema": _SCHEMA, "note": note}).encode())


def lift(folder: Path) -> None:
    """Remove the mark, if there is one.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / QUARANTINE).unlink(missing_ok=True)


def quarantine_note(folder: Path) -> str | None:
    """Return why an artifact is quarantined; None if it is not."""
    try:
        content = json.loads((folder / QUARANTINE).read_bytes())
        return str(content["note"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):  # whatever is in it, it is a mark
        return f"see {folder / QUARANTINE}"


def marks(artifacts: Path) -> dict[str, str]:
    """Return the quarantined artifacts with the reasons; none where the folder cannot be read."""
    found = artifacts.glob(f"*/{QUARANTINE}")
    return {mark.parent.name: quarantine_note(mark.parent) or "" for mark in found}


def remember(artifacts: Path, records: Iterable[GenerationRecord]) -> None:
    """Mark the artifacts on this machine whose generations the store has in quarantine.

    The rollback may have been made on another machine, or by an account that may not write here.

    Raises:
        OSError: a folder cannot be written.
    """
    for record in records:
        folder = artifacts / record.id
        if record.state == QUARANTINED and folder.is_dir() and quarantine_note(folder) is None:
            quarantine(folder, record.note)


def kept(artifacts: Path, namespace: str) -> list[Kept]:
    """Return the complete artifacts of a namespace, newest first; damaged ones are left out.

    Raises:
        NightFailed: the folder cannot be read.
    """
    found = reversed(artifacts_of(artifacts, namespace))
    return [_kept(artifact.folder, artifact.manifest) for artifact in found]


def latest(found: Iterable[Kept], records: Iterable[GenerationRecord]) -> str:
    """Return the newest artifact that may be served.

    Where nothing is live the gate has nothing to compare with, so one that it has passed is
    preferred to a newer one that it never judged.

    Args:
        found: the artifacts on disk, newest first.
        records: the store's records of generations.

    Raises:
        UsageError: there is none.
    """
    found, records = list(found), list(records)
    rejected = {record.id for record in records if record.state == QUARANTINED}
    good = [one for one in found if one.may_be_served and one.generation not in rejected]
    if not any(record.live for record in records):
        good = [one for one in good if one.verdict] or good
    if not good:
        raise UsageError(
            f"none of the {len(found)} complete artifacts may be served; expected one that the "
            "gate did not refuse and that was not rolled back from. `batch generations` lists them"
        )
    return good[0].generation


def require_not_quarantined(folder: Path) -> None:
    """Refuse an artifact that was rolled back from.

    Raises:
        UsageError: it was.
    """
    note = quarantine_note(folder)
    if note is not None:
        raise UsageError(
            f"generation {folder.name} was rolled back from ({note}) and is not published again; "
            "run `batch run` for a new one, or, if the rollback was a mistake, "
            f"`batch republish {folder.name} --force REASON`"
        )


def is_rejected(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Return whether an artifact was refused by the gate or rolled back from."""
    return not _kept(folder, manifest).may_be_served


def _kept(folder: Path, manifest: Mapping[str, Any]) -> Kept:
    gate = section(manifest, "gate")
    verdict, refused = gate.get("verdict"), gate.get("refused")
    note = quarantine_note(folder)
    is_quarantined = note is not None
    if note is None:
        reasons = refused if verdict == REFUSED and isinstance(refused, list) else []
        note = ", ".join(map(str, reasons))
    return Kept(
        generation=folder.name,
        created=str(manifest.get("created", "")),
        verdict=str(verdict or ""),
        note=note,
        is_quarantined=is_quarantined,
    )
