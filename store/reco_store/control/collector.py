"""Deleting generations from their inventories: never by looking around with SCAN or KEYS.

A generation leaves in three steps, and a run that dies in between is continued by the next one:
its manifest is removed as its record is marked (so "the manifest is there" means "every key is
there"), its keys are deleted with pauses, its record is cleared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reco_store.connection.transfer import Progress, no_progress, read_values, unlink, unlink_paced
from reco_store.control import registry
from reco_store.control.inventory import parse_chunk
from reco_store.control.registry import Change, Control, Record, apply_change, gone, read_control
from reco_store.errors import ContractMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reco_store.control.lock import RunLock

__all__ = ["REPLACED", "leftovers", "outdated", "remove"]

#: The note of a generation that left in the ordinary way.
REPLACED: Final = "replaced by newer generations"


def leftovers(control: Control) -> tuple[Record, ...]:
    """Return what no run will use again: dead runs' keys, refused, quarantined, half deleted.

    Only for the holder of the lock, to whom every other staging generation is a dead run's.
    """
    return tuple(
        record
        for record in reversed(control.records)
        if record.chunks and record.state != registry.READY and record.id != control.live
    )


def outdated(control: Control, keep: int) -> tuple[Record, ...]:
    """Return the ready generations that are not kept, oldest first.

    Kept are the live one, the ``keep - 1`` before it that were live too, and the newest after it,
    which a hold may keep from going live.
    """
    live = control.live
    ready = [
        record
        for record in control.records
        if record.state == registry.READY and record.chunks and record.id != live
    ]
    if live is None:
        return tuple(reversed(ready[keep:]))
    newer = [record for record in ready if record.id > live]
    older = [record for record in ready if record.id < live]
    kept = [record for record in older if record.since][: keep - 1]
    return tuple(r for r in reversed([*newer[1:], *older]) if r not in kept)


def remove(
    lock: RunLock,
    doomed: Callable[[Control], Sequence[Record]],
    *,
    note: str,
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Delete generations, keys and all.

    Args:
        lock: held by the caller, with the connection and the namespace.
        doomed: says which, given the present state; asked again if that changes meanwhile.
        note: why, for the record.
        progress: called with "retire" and the number of keys just deleted.

    Returns:
        The deleted generations.

    Raises:
        Fenced: another run took over.
        redis.RedisError: the store does not answer.
    """
    removed: list[str] = []
    for generation in [record.id for record in doomed(read_control(lock.client, lock.keys))]:
        if not _mark(lock, generation, doomed, note=note):
            continue  # an operator made it live meanwhile
        marked = read_control(lock.client, lock.keys).find(generation)
        if marked is not None:
            _delete(lock, marked, progress)
        removed.append(generation)
    return tuple(removed)


def _mark(
    lock: RunLock,
    generation: str,
    doomed: Callable[[Control], Sequence[Record]],
    *,
    note: str,
) -> bool:
    found = False

    def decide(control: Control) -> Change | None:
        nonlocal found
        found = any(record.id == generation for record in doomed(control))
        record = control.find(generation)
        if not found or record is None:
            return None
        # Also where the state stays: else a rollback that is undone just now would not notice.
        marked = record.marked_for_deletion()
        if record.state in (registry.READY, registry.STAGING):
            marked = replace(marked, state=registry.RETIRED, note=note)
        return Change(control.put(marked), manifest_of=generation, manifest=registry.REMOVE)

    apply_change(lock.client, lock.keys, decide, token=lock.token)
    return found


def _delete(lock: RunLock, record: Record, progress: Progress) -> None:
    """Delete what the inventory names, and the inventory.

    A damaged part of it names nothing. What it named stays, which the record says: one night's keys
    left over are better than no night ever again.
    """
    client, keys = lock.client, lock.keys
    prefix = keys.data_prefix(record.id)
    damaged = 0
    for chunk in range(record.chunks):
        lock.tick()
        inventory = keys.inventory(record.id, chunk)
        (value,) = read_values(client, [inventory])
        if value is None:  # the run died before it wrote this chunk, hence before any data
            continue
        try:
            suffixes = parse_chunk(value, inventory)
        except ContractMismatch:
            damaged += 1
            continue
        unlink_paced(
            client,
            (prefix + suffix for suffix in suffixes),
            before_batch=lock.tick,
            after_batch=lambda count: progress("retire", count),
        )
    unlink(client, [keys.inventory(record.id, chunk) for chunk in range(record.chunks)])
    left = f"its inventory was damaged: keys {prefix}* may be left over" if damaged else ""
    apply_change(client, keys, lambda control: _clear(control, record.id, left), token=lock.token)


def _clear(control: Control, generation: str, left: str) -> Change | None:
    record = control.find(generation)
    if record is None:
        return None
    cleared = gone(record)
    note = "; ".join(filter(None, (cleared.note, left)))
    return Change(control.put(replace(cleared, note=note)))
