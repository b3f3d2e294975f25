"""Erasure of users from every stored generation of a namespace.

First the users' keys are deleted, so that readers fall back at once. Then, generation by
generation, manifest and record are changed to describe the remaining keys, and last the names are
removed from the inventory. An inventory that lists a user therefore means that the erasure is
incomplete; repeating it completes it, wherever it was killed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reco_store.connection.client import store_errors
from reco_store.connection.transfer import read_batches, read_values, unlink
from reco_store.contract.digest import Summary
from reco_store.contract.families import FAMILIES, SEEN
from reco_store.contract.keys import family_suffix
from reco_store.contract.manifest import dump_manifest, load_if_whole
from reco_store.control.generation_registry import (
    Change,
    Control,
    Record,
    apply_change,
    read_control,
)
from reco_store.control.inventory import parse_chunk, write_chunk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from reco_store.control.lock import RunLock

__all__ = ["delete_user_keys", "settle_generations", "stored_users"]

#: Families with a key for each user, by name.
_OF_USERS: Final = {family.name: family for family in FAMILIES if family.per == "user"}
_KEYS_PER_BATCH: Final = 400


def stored_users(lock: RunLock) -> set[str]:
    """Return the users whose keys the inventories list.

    Raises:
        ContractMismatch: an inventory is damaged.
        StoreUnreachable: the store does not answer.
    """
    users: set[str] = set()
    with store_errors(lock.client):
        for record in _stored(lock):
            for names in _chunks(lock, record):
                parts = (name.partition(":") for name in names)
                users.update(user for family, _, user in parts if family in _OF_USERS)
    return users


def delete_user_keys(lock: RunLock, users: Collection[str]) -> int:
    """Delete the keys of users in every generation, and return how many existed.

    Raises:
        Fenced: another run took over.
        StoreUnreachable: the store does not answer.
    """
    count = 0
    suffixes = sorted(_suffixes(users))
    with store_errors(lock.client):
        for record in _stored(lock):
            prefix = lock.keys.data_prefix(record.id)
            for start in range(0, len(suffixes), _KEYS_PER_BATCH):
                lock.tick()
                names = [prefix + name for name in suffixes[start : start + _KEYS_PER_BATCH]]
                count += sum(value is not None for value in read_values(lock.client, names))
                unlink(lock.client, names)
    return count


def settle_generations(
    lock: RunLock, users: Collection[str], known: Mapping[str, Mapping[str, Any]]
) -> int:
    """Make manifests, records and inventories describe the keys that `delete_user_keys` left.

    Args:
        lock: lock held by the caller.
        users: users whose keys were deleted.
        known: fields of the manifest by generation, where the caller has an artifact without the
            users; those of other generations are computed by reading their keys.

    Returns:
        The number of generations that listed a user.

    Raises:
        ContractMismatch: an inventory or the registry is damaged.
        Fenced: another run took over.
        StoreUnreachable: the store does not answer.
    """
    gone = _suffixes(users)
    changed = 0
    with store_errors(lock.client):
        for record in _stored(lock):
            listed, left = set[str](), 0
            for names in _chunks(lock, record):
                found = gone.intersection(names)
                listed |= found
                left += len(names) - len(found)
            if not listed:
                continue
            fields = known.get(record.id, {})
            if fields.get("entries") != left:
                fields = _read_back(lock, record, gone)
            _describe(lock, record.id, fields, listed)
            for number, names in enumerate(_chunks(lock, record)):
                kept = [name for name in names if name not in gone]
                if len(kept) < len(names):
                    write_chunk(lock, record.id, number, kept)
            changed += 1
    return changed


def _suffixes(users: Collection[str]) -> set[str]:
    return {family_suffix(family, user) for family in _OF_USERS.values() for user in users}


def _stored(lock: RunLock) -> tuple[Record, ...]:
    """Return the generations with keys in the store, whatever their state."""
    return tuple(one for one in read_control(lock.client, lock.keys).records if one.chunks)


def _chunks(lock: RunLock, record: Record) -> Iterator[list[str]]:
    """Yield the names in each chunk of an inventory; of a chunk that is missing, none."""
    for number in range(record.chunks):
        lock.tick()
        key = lock.keys.inventory(record.id, number)
        (value,) = read_values(lock.client, [key])
        yield [] if value is None else parse_chunk(value, key)


def _read_back(lock: RunLock, record: Record, gone: set[str]) -> dict[str, Any]:
    """Return the manifest fields of the remaining keys; none if the store lost some of them."""
    summary = Summary()
    prefix = lock.keys.data_prefix(record.id)
    for names in _chunks(lock, record):
        if not names:
            return {}
        remaining = (name for name in names if name not in gone)
        for batch, values in read_batches(lock.client, prefix, remaining):
            lock.tick()
            present = [value for value in values if value is not None]
            if len(present) < len(values):
                return {}
            summary.update_many(zip(batch, present, strict=True))
    return summary.manifest_fields()


def _describe(lock: RunLock, generation: str, fields: Mapping[str, Any], listed: set[str]) -> None:
    """Write fields to the manifest and the record of a generation.

    A generation that is incomplete has no manifest. One that lost keys keeps its own: it does not
    match its keys anyway.
    """
    (value,) = read_values(lock.client, [lock.keys.manifest(generation)])
    manifest = None if value is None else load_if_whole(value, generation)
    if manifest is None or not fields or manifest["digest"] == fields["digest"]:
        return
    data = manifest.get("data", {})
    if "data" not in fields and "users" in data:
        histories = sum(name.startswith(f"{SEEN.name}:") for name in listed)
        fields = {**fields, "data": {**data, "users": data["users"] - histories}}
    text = dump_manifest({**manifest, **fields})

    def decide(control: Control) -> Change | None:
        record = control.record_of(generation)
        if record is None:
            return None
        smaller = replace(record, entries=fields["entries"], size_bytes=fields["bytes"])
        return Change(control.with_records(smaller), manifest_of=generation, manifest=text)

    apply_change(lock.client, lock.keys, decide, token=lock.token)
