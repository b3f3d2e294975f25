"""Deletion of artifacts that no command needs any more."""

from collections.abc import Set
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reco_batch.artifact.manifests import complete_generations, read_manifest
from reco_batch.artifact.quarantine import is_rejected
from reco_batch.files import delete
from reco_store.contract.keys import is_generation_id

_LONGEST_RUN = timedelta(days=2)
#: Suffix of the name of a folder that is being deleted.
_DELETED = ".deleted"


def prune_artifacts(
    artifacts: Path,
    *,
    namespace: str,
    keep: int,
    live: str | None,
    unfinished: Set[str],
    now: datetime,
) -> None:
    """Delete artifacts that no command needs any more.

    Of this namespace's complete artifacts, the newest `keep` and the live one stay. Refused and
    rolled back artifacts are counted separately, so that they do not displace good ones. Incomplete
    artifacts are deleted once no run can still be writing them, unless an unfinished run may be
    resumed from them. Runs of other namespaces may delete in the same folder at the same time.

    Args:
        artifacts: folder of all artifacts.
        namespace: namespace whose complete artifacts are deleted.
        keep: number of artifacts to keep.
        live: live generation; None if there is none.
        unfinished: unfinished generations of all namespaces.
        now: present time.

    Raises:
        OSError: a folder cannot be deleted.
        NightFailed: the folder of all artifacts cannot be read.
    """
    finish_deletions(artifacts)
    complete = complete_generations(artifacts)
    own: dict[bool, list[str]] = {True: [], False: []}
    for generation in complete:
        manifest = read_manifest(artifacts / generation)
        if manifest and manifest.get("parameters", {}).get("namespace") == namespace:
            own[is_rejected(artifacts / generation, manifest)].append(generation)
    for generation in (*own[True][:-keep], *own[False][:-keep]):
        if generation != live:
            _delete(artifacts / generation)
    for name in {path.name for path in artifacts.iterdir()} - set(complete) - unfinished:
        if is_generation_id(name) and _is_abandoned(artifacts / name, now):
            _delete(artifacts / name)


def _is_abandoned(folder: Path, now: datetime) -> bool:
    """Return whether a folder last changed so long ago that no run can still be writing it.

    Its name is not enough: an old artifact may just be restored from a backup.
    """
    with suppress(FileNotFoundError):  # deleted by another run
        return now - datetime.fromtimestamp(folder.stat().st_mtime, UTC) > _LONGEST_RUN
    return False


def _delete(folder: Path) -> None:
    """Delete a folder; if the run is killed, the remains do not count as an artifact."""
    renamed = folder.with_name(folder.name + _DELETED)
    with suppress(FileNotFoundError):  # another run took it
        folder.rename(renamed)
    delete(renamed)


def finish_deletions(artifacts: Path) -> None:
    """Complete deletions that killed runs began.

    Raises:
        OSError: a folder cannot be deleted.
    """
    for path in artifacts.glob(f"*{_DELETED}"):
        delete(path)
