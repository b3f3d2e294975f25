"""Deletes the artifacts that no command will ask for again."""

from collections.abc import Set
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reco_batch.artifact.manifests import complete_generations, read_manifest
from reco_batch.artifact.quarantine import is_rejected
from reco_batch.files import delete
from reco_store.contract.keys import is_generation_id

_LONGEST_RUN = timedelta(days=2)
#: Ends the name of a folder that is being deleted.
_GOING = ".deleted"


def prune_artifacts(
    artifacts: Path,
    *,
    namespace: str,
    keep: int,
    live: str | None,
    unfinished: Set[str],
    now: datetime,
) -> None:
    """Delete what no command will ask for again.

    That is, of this namespace's complete artifacts, all but the newest `keep` and the live one's,
    those that were refused or rolled back from being counted apart, so that bad nights push no good
    one out; and incomplete ones of no unfinished night, once no run can still be at work on them.
    Those of unfinished nights belong to whoever resumes them. Runs of other namespaces may be
    deleting in the same folder.

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
    """Return whether a folder changed so long ago that no run can still be at work on it.

    Its name would mislead: an old artifact may just be being copied back from a backup.
    """
    with suppress(FileNotFoundError):  # deleted by another run
        return now - datetime.fromtimestamp(folder.stat().st_mtime, UTC) > _LONGEST_RUN
    return False


def _delete(folder: Path) -> None:
    """Delete a folder; if the run is killed meanwhile, the rest does not count as an artifact."""
    going = folder.with_name(folder.name + _GOING)
    with suppress(FileNotFoundError):  # another run took it
        folder.rename(going)
    delete(going)


def finish_deletions(artifacts: Path) -> None:
    """Finish deletions that a killed run had begun.

    Raises:
        OSError: a folder cannot be deleted.
    """
    for path in artifacts.glob(f"*{_GOING}"):
        delete(path)
