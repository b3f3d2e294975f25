"""Deletion of generations by their inventories, without SCAN or KEYS.

A generation is deleted in three steps, and the next run completes what a killed run began. First
its manifest is removed and its record marked in one change, so an existing manifest means that
every key exists. Then its keys are deleted with pauses, and finally its record is cleared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reco_store.connection.transfer import Progress, no_progress, read_values, unlink, unlink_paced
from reco_store.control import generation_registry as registry
from reco_store.control.generation_registry import (
    Change,
    Control,
    Record,
    apply_change,
    read_control,
    without_keys,
)
from reco_store.control.inventory import parse_chunk
from reco_store.errors import ContractMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reco_store.control.lock import RunLock

__all__ = ["REPLACED", "leftovers", "outdated", "remove"]

#: Note of a generation that was deleted because of its age.
REPLACED: Final = "replaced by newer generations"


def leftovers(control: Control) -> tuple[Record, ...]:
    """Return the stored generations that no run will use again, oldest first.

    Those are refused, quarantined and partly deleted ones, and all in state staging: the caller
    holds the lock, so the runs that staged them are dead.
    """
    return tuple(
        record
        for record in reversed(control.records)
        if record.chunks and record.state != registry.READY and record.id != control.live
    )


def outdated(control: Control, keep: int) -> tuple[Record, ...]:
    """Return the ready generations to delete, oldest first.

    The live generation, ``keep - 1`` earlier ones that were live, and the newest later one, which
    may be waiting for the end of a hold, are kept. The earlier ones are the run that trained the
    live generation, if that is a refresh, and the newest: hourly refreshes do not displace the run.
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
    own = control.record_of(live)
    trained_by = "" if own is None else own.trained_by
    served = sorted((r for r in older if r.since), key=lambda r: r.id != trained_by)  # it first
    kept = served[: keep - 1]
    return tuple(r for r in reversed([*newer[1:], *older]) if r not in kept)


def remove(
    lock: RunLock,
    to_delete: Callable[[Control], Sequence[Record]],
    *,
    note: str,
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Delete generations with all their keys.

    Args:
        lock: lock held by the caller, with the connection and the namespace.
        to_delete: returns the generations to delete for a state; called again if the state changes.
        note: reason, for the record.
        progress: called with "retire" and the number of keys just deleted.

    Returns:
        The deleted generations.

    Raises:
        Fenced: another run took over.
        redis.RedisError: the store does not answer.
    """
    removed: list[str] = []
    for generation in [record.id for record in to_delete(read_control(lock.client, lock.keys))]:
        if not _mark(lock, generation, to_delete, note=note):
            continue  # an operator made it live in the meantime
        marked = read_control(lock.client, lock.keys).record_of(generation)
        if marked is not None:
            _delete(lock, marked, progress)
        removed.append(generation)
    return tuple(removed)


def _mark(
    lock: RunLock,
    generation: str,
    to_delete: Callable[[Control], Sequence[Record]],
    *,
    note: str,
) -> bool:
    found = False

    def decide(control: Control) -> Change | None:
        nonlocal found
        found = any(record.id == generation for record in to_delete(control))
        record = control.record_of(generation)
        if not found or record is None:
            return None
        # Marked even if the state stays the same: undoing a rollback checks the mark.
        marked = record.marked_for_deletion()
        if record.state in (registry.READY, registry.STAGING):
            marked = replace(marked, state=registry.RETIRED, note=note)
        records = control.with_records(marked)
        return Change(records, manifest_of=generation, manifest=registry.REMOVE)

    apply_change(lock.client, lock.keys, decide, token=lock.token)
    return found


def _delete(lock: RunLock, record: Record, progress: Progress) -> None:
    """Delete the keys that the inventory lists, and the inventory.

    Keys of a damaged chunk are unknown and stay, as the record's note reports: leftover keys of one
    generation are better than a failure of every later run.
    """
    client, keys = lock.client, lock.keys
    prefix = keys.data_prefix(record.id)
    damaged = 0
    for chunk in range(record.chunks):
        lock.tick()
        inventory = keys.inventory(record.id, chunk)
        (value,) = read_values(client, [inventory])
        if value is None:  # the run died before it wrote this chunk, thus before any data
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
    record = control.record_of(generation)
    if record is None:
        return None
    cleared = without_keys(record)
    note = "; ".join(filter(None, (cleared.note, left)))
    return Change(control.with_records(replace(cleared, note=note)))
