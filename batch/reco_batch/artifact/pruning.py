"""Deletion of artifacts that no command needs any more."""

from collections.abc import Set
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reco_batch.artifact.manifests import complete_generations, read_manifest, trained_by
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
    live: Set[str],
    unfinished: Set[str],
    now: datetime,
) -> None:
    """Delete artifacts that no command needs any more.

    Of this namespace's complete artifacts, the newest `keep` and the live ones stay, and those of
    the runs that trained the models of these. Artifacts that were refused, rolled back or never
    published are counted separately, so that they do not displace good ones. Incomplete
    artifacts are deleted once no run can still be writing them. The artifact of an unfinished run,
    complete or not, stays, so that it can be resumed. Runs of other namespaces may delete in the
    same folder at the same time.

    Args:
        artifacts: folder of all artifacts.
        namespace: namespace whose complete artifacts are deleted.
        keep: number of artifacts to keep.
        live: live generations of all namespaces, since one may serve an artifact of another.
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
            is_good = "published" in manifest and not is_rejected(artifacts / generation, manifest)
            own[is_good].append(generation)
    kept = live | {*own[True][-keep:]}
    used = [read_manifest(artifacts / generation) for generation in kept]
    needed = kept | {trained_by(manifest) for manifest in used if manifest}
    needed |= unfinished  # also complete ones, whose publishing failed
    for generation in (*own[False][:-keep], *own[True]):
        if generation not in needed:
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
