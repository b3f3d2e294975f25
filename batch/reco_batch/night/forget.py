"""Erasure of users from everything that runs left: the store, the artifacts, unfinished runs.

The list of forgotten users is written first, and the names in the store's inventories and the lists
of the artifacts go last. An erasure that was killed is therefore completed by the next one, and
meanwhile no run brings a user back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

from reco_batch.artifact.erasure import Erased, erase_users, users_of
from reco_batch.artifact.folder import Artifact, artifacts_of
from reco_batch.artifact.manifests import complete_generations, namespace_of, read_manifest
from reco_batch.artifact.pruning import finish_deletions
from reco_batch.artifact.unfinished import (
    RunFolders,
    discard_unfinished,
    unfinished_generations,
)
from reco_batch.errors import NightFailed
from reco_batch.ingest.forgotten import (
    list_of,
    read_forgotten,
    remember_again,
    remember_to_forget,
)
from reco_batch.report.report_file import write_report
from reco_store import RunLock, UsageError
from reco_store.contract.arguments import id_text
from reco_store.contract.keys import is_generation_id
from reco_store.control.rights import require_rights
from reco_store.publishing.erasure import delete_user_keys, settle_generations, stored_users

#: Fields of a manifest that depend on the users of a generation.
_FIELDS: Final = ("entries", "bytes", "counts", "digest", "suffix_sizes", "value_sizes", "data")


class Forgot(NamedTuple):
    """Counts of everything that an erasure found and deleted."""

    users: int
    """Number of users: those that were named, or those of the list who were found."""
    keys: int
    """Number of keys deleted from the store."""
    generations: int
    """Number of generations in the store that listed a user."""
    erased: Erased
    unfinished: int
    """Number of unfinished runs deleted."""
    list_file: Path
    failure: NightFailed | None = None
    """First artifact that could not be changed; None if all could."""
    unknown: tuple[str, ...] = ()
    """Named users of whom neither the store nor a readable artifact has anything."""


class Undone(NamedTuple):
    """Counts of users who were removed from the list of forgotten users."""

    users: int
    """Number of users who are forgotten no longer."""
    others: int
    """Number of users who were not on the list."""
    list_file: Path


def forget_users(
    home: Path,
    namespace: str,
    lock: RunLock | None,
    users: Iterable[str],
    *,
    warn: Callable[[str], None],
) -> Forgot:
    """Erase users from a namespace, and make later runs leave them out.

    Args:
        home: folder of artifacts and unfinished runs.
        namespace: namespace of the runs.
        lock: lock of the namespace, not yet acquired; None if the store has nothing.
        users: ids; none to erase the users of the list again.
        warn: receives a line about something that was not examined.

    Raises:
        UsageError: an id is empty, or there is neither an id nor a list.
        LockHeld, AtWork: a run is under way; nothing was changed.
        NightFailed: the list of forgotten users is damaged, or the disk failed.
        StoreError: the store failed.
    """
    named = _ids(users)
    folders = RunFolders(home / "artifacts", home / "unfinished" / namespace)
    path = list_of(home, namespace)
    if lock is not None:
        require_rights(lock.client, lock.keys)
    with lock or nullcontext():
        try:
            if named:
                remember_to_forget(path, named)
            listed = read_forgotten(path)
            if not listed.hashes:
                raise UsageError(
                    f"no user is given, and {path} has none; expected the ids of users to erase"
                )
            unfinished = discard_unfinished(folders) + discard_unfinished(folders.of_refreshes)
            finish_deletions(folders.artifacts)
            kept = [*artifacts_of(folders.artifacts, namespace)]
            kept += artifacts_of(folders.artifacts, None)  # of an early version
            known, unread = _known(kept, lock)
            gone = named or listed.among(known)
            keys = delete_user_keys(lock, gone) if lock is not None and gone else 0
            erased, failure = _erase_all(kept, gone)
            generations = 0
            if lock is not None and gone:
                generations = settle_generations(lock, gone, _fields_of(kept))
        except OSError as error:
            raise _not_changed(home, error) from error
    for line in _not_examined(home, namespace):
        warn(line)
    unknown = tuple(sorted(named - known))
    failure = failure or unread
    return Forgot(len(gone), keys, generations, erased, unfinished, path, failure, unknown)


def undo_forget(home: Path, namespace: str, lock: RunLock | None, users: Iterable[str]) -> Undone:
    """Remove users from the list of forgotten users, so that later runs read their rows again.

    Args:
        home: folder of artifacts and unfinished runs.
        namespace: namespace of the runs.
        lock: lock of the namespace, not yet acquired; None if the store has nothing.
        users: ids.

    Raises:
        UsageError: there is no id, or one is empty.
        LockHeld: a run is under way; nothing was changed.
        NightFailed: the list of forgotten users is damaged, or the disk failed.
        StoreError: the store failed.
    """
    named = _ids(users)
    if not named:
        raise UsageError("--undo: no user is given; expected the ids of users to forget no longer")
    path = list_of(home, namespace)
    with lock or nullcontext():
        try:
            found = remember_again(path, named)
        except OSError as error:
            raise _not_changed(home, error) from error
    return Undone(len(found), len(named) - len(found), path)


def _ids(users: Iterable[str]) -> frozenset[str]:
    named = frozenset(id_text(user, "user").strip() for user in users)
    if "" in named:
        raise UsageError("user '': expected an id that is not empty")
    return named


def _not_changed(home: Path, error: OSError) -> NightFailed:
    return NightFailed(
        f"{error.filename or home} could not be changed ({error.strerror or error}). Make room or "
        "correct its permissions, and run `batch forget` again."
    )


def _known(kept: Iterable[Artifact], lock: RunLock | None) -> tuple[set[str], NightFailed | None]:
    """Return the users of all artifacts and generations, and the first artifact without any."""
    users = set() if lock is None else stored_users(lock)
    failure = None
    for artifact in kept:
        try:
            users |= users_of(artifact)
        except NightFailed as error:
            failure = failure or error
    return users, failure


def _erase_all(
    kept: Iterable[Artifact], users: frozenset[str]
) -> tuple[Erased, NightFailed | None]:
    """Erase users from all artifacts; one that is damaged does not protect the others."""
    total, failure, changed = Erased(), None, []
    for artifact in kept if users else ():
        try:
            erased = erase_users(artifact, users)
        except NightFailed as error:
            failure = failure or error
            continue
        total = total.plus(erased)
        if erased.rows:
            changed.append(artifact)
    for artifact in changed:  # a report also reads the artifact before its own
        try:
            write_report(artifact)
        except NightFailed as error:
            failure = failure or error
    return total, failure


def _fields_of(kept: Iterable[Artifact]) -> dict[str, Mapping[str, Any]]:
    """Return the fields that the store's manifests take from the artifacts, by generation."""
    return {
        one.generation: {name: one.manifest[name] for name in _FIELDS if name in one.manifest}
        for one in kept
    }


def _not_examined(home: Path, namespace: str) -> Iterator[str]:
    """Yield a line about each place that may still contain the users."""
    artifacts = home / "artifacts"
    complete = complete_generations(artifacts)
    others = set()
    for name in complete:
        manifest = read_manifest(artifacts / name)
        if manifest is None:
            yield f"{artifacts / name} is damaged and was not changed; delete it."
        else:
            others.add(namespace_of(manifest))
    for other in sorted(filter(None, others - {namespace})):
        yield f"the namespace {other} was not changed: repeat with --namespace {other}."
    names = {path.name for path in artifacts.glob("*") if is_generation_id(path.name)}
    of_runs = unfinished_generations(home / "unfinished")
    for name in sorted(names.difference(complete, of_runs)):
        yield (
            f"{artifacts / name} is incomplete and was not changed. If no backup is being restored "
            "there, delete it."
        )
