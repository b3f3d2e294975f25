"""Operations on generations: list, collect, roll back, release a hold.

A rollback is one script call of constant size, so it is fast and works on a full server. It needs
no lock: a run under way finds the hold when it is about to switch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from reco_store.connection.client import Client, location_of, store_errors
from reco_store.connection.scripts import with_retries
from reco_store.connection.transfer import Progress, no_progress
from reco_store.contract.hold import Hold
from reco_store.control import generation_registry as registry
from reco_store.control.collector import REPLACED, leftovers, outdated, remove
from reco_store.control.generation_registry import (
    Change,
    Control,
    Record,
    apply_change,
    read_control,
)
from reco_store.errors import NothingPublished, UnknownGeneration, UsageError
from reco_store.publishing.publisher import HELD_UNTIL, ready_ids, utc_now, without_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from reco_store.contract.keys import Keys
    from reco_store.control.lock import RunLock

__all__ = [
    "GenerationRecord",
    "collect",
    "list_generations",
    "release",
    "rollback",
]

HOLD_FOR: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """One generation of a namespace."""

    id: str
    state: str  # staging, ready, refused, quarantined or retired
    created: str  # ISO 8601
    entries: int
    size_bytes: int
    live: bool
    stored: bool  # False if all its keys are deleted
    live_since: str  # ISO 8601, time at which it last became live; empty if it never was
    note: str


def list_generations(
    client: Client, keys: Keys, *, now: Callable[[], datetime] = utc_now
) -> list[GenerationRecord]:
    """Return the listed generations, newest first.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        now: returns the present time, compared with the end of a hold.

    Raises:
        ContractMismatch: the registry is damaged.
        StoreUnreachable: the store does not answer.
    """
    with store_errors(client):
        control = read_control(client, keys)
        value = with_retries(lambda: client.get(keys.hold))
    until = Hold.load(value).until if isinstance(value, bytes | str) else None
    return [
        GenerationRecord(
            id=record.id,
            state=registry.QUARANTINED if record.is_quarantined else record.state,
            created=record.created,
            entries=record.entries,
            size_bytes=record.size_bytes,
            live=record.id == control.live,
            stored=record.chunks > 0,
            live_since=record.since,
            note=_present_note(record, control, until, now()),
        )
        for record in control.records
    ]


def _present_note(record: Record, control: Control, until: datetime | None, now: datetime) -> str:
    """Return a record's note, without what it was waiting for if it no longer waits."""
    waits = record.state == registry.READY and record.id != control.live
    if record.note.startswith(HELD_UNTIL) and (until is None or until <= now):
        waits = False
    return record.note if waits else without_waiting(record.note)


def collect(
    *,
    lock: RunLock,
    keep: int,
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Delete old generations and leftovers of killed runs.

    Args:
        lock: lock held by the caller, with the connection and the namespace.
        keep: ready generations to keep, including the live one.
        progress: called with "retire" and the number of keys just deleted.

    Returns:
        The deleted generations.

    Raises:
        UsageError: ``keep`` is below 1.
        Fenced: another run took over.
        StoreUnreachable, StoreUnfit: the store does not answer or refuses.
    """
    if keep < 1:
        raise UsageError(f"keep {keep}: expected 1 or more")
    with store_errors(lock.client):
        dead = remove(lock, leftovers, note="left behind by a run", progress=progress)
        old = remove(
            lock,
            lambda control: outdated(control, keep),
            note=REPLACED,
            progress=progress,
        )
    return (*dead, *old)


def rollback(
    client: Client,
    keys: Keys,
    *,
    to: str | None = None,
    reason: str = "",
    force: str | None = None,
    marks: Mapping[str, str] = MappingProxyType({}),
    now: Callable[[], datetime] = utc_now,
) -> str:
    """Return to an older generation, quarantine the live one, and hold newer generations.

    With ``force``, a mistaken rollback is undone: ``to`` goes live again, the live generation stays
    ready, and the hold ends.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        to: generation to return to; None: the newest one before the live one that was live.
        reason: reason for the rollback, for the record.
        force: reason for returning to ``to`` although a rollback withdrew it; None: refuse that.
        marks: generations withdrawn by a rollback, with the reasons. A registry restored from
            an older backup may lack them; the change adds them.
        now: returns the present time; the hold ends 24 hours later.

    Returns:
        The generation that is live after the rollback.

    Raises:
        NothingPublished: there is no live generation.
        UnknownGeneration: there is no generation to return to, or ``to`` is not ready; with
            ``force``, ``to`` is not quarantined, or is no longer in the store.
        UsageError: ``force`` without ``to``, or ``to`` was never live.
        StoreUnreachable, StoreUnfit: the store does not answer or refuses.
    """
    if force is not None and to is None:
        raise UsageError("undoing a rollback needs the name of the generation that was rolled back")
    target = ""

    def decide(control: Control) -> Change | None:
        nonlocal target
        control = _with_marks(control, marks)
        if control.live is None:
            raise NothingPublished(keys.namespace, location_of(client))
        if target and control.live == target:
            return None  # an earlier call did it, and its reply was lost
        time = now()
        if to is not None and force is not None:
            change = _undone(control, to, f"rollback undone at {_iso(time)}: {force}", time)
            target = to
            return change
        target = _target(control, to)
        bad = control.record_of(control.live) or Record(control.live, registry.READY)
        note = f"rolled back to {target} at {_iso(time)}"
        quarantined = replace(
            bad, state=registry.QUARANTINED, note=f"{note}: {reason}" if reason else note
        )
        why = f"{control.live} was withdrawn by a rollback" + (f": {reason}" if reason else "")
        hold = Hold(until=time + HOLD_FOR, reason=why).dump()
        good = control.record_of(target) or Record(target, registry.READY)
        good = replace(good, since=_iso(time), note=without_waiting(good.note))
        return Change(control.with_records(quarantined, good), live=target, hold=hold)

    with store_errors(client):
        apply_change(client, keys, decide)
    return target


def _undone(control: Control, to: str, note: str, time: datetime) -> Change:
    """Return the change that makes a quarantined generation live again.

    Raises:
        UnknownGeneration: no rollback withdrew it, or its keys are deleted or being deleted.
    """
    bad = control.record_of(to)
    if bad is None or bad.state != registry.QUARANTINED:
        state = "is unknown" if bad is None else f"is {bad.state}, not quarantined"
        raise UnknownGeneration(to, f"{state}: there is no rollback to undo", ready_ids(control))
    if not bad.chunks or bad.is_being_deleted:
        raise UnknownGeneration(
            to,
            f"is no longer in the store; `batch republish {to} --force REASON` serves it from its "
            "artifact",
            ready_ids(control),
        )
    good = replace(bad, state=registry.READY, since=_iso(time), note=note)
    return Change(control.with_records(good), live=to, hold=registry.REMOVE)


def _with_marks(control: Control, marks: Mapping[str, str]) -> Control:
    """Return the control state with every marked generation except the live one quarantined."""
    marked = [
        replace(record, state=registry.QUARANTINED, note=marks[record.id])
        for record in control.records
        if record.id in marks and record.state == registry.READY and record.id != control.live
    ]
    return control._replace(records=control.with_records(*marked))


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def release(client: Client, keys: Keys) -> bool:
    """End the hold, so that the next run can go live.

    Returns:
        True if there was a hold.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    with store_errors(client):
        return bool(with_retries(lambda: client.delete(keys.hold)))


def _target(control: Control, to: str | None) -> str:
    live = str(control.live)
    choice = tuple(generation for generation in ready_ids(control) if generation != live)
    if to is None:
        been_live = {record.id for record in control.records if record.since}
        older = [generation for generation in choice if generation < live]
        proven = [generation for generation in older if generation in been_live]
        if not proven:
            raise UnknownGeneration(f"before {live}", "does not exist", choice)
        return proven[0]  # newest first
    if to not in choice:
        record = control.record_of(to)
        state = "is unknown" if record is None else f"is {record.state}"
        if record is not None and record.state == registry.QUARANTINED:
            state += f"; `batch rollback {to} --force REASON` serves it anyway"
        raise UnknownGeneration(to, "is live already" if to == live else state, choice)
    _require_served(control, to)
    return to


def _require_served(control: Control, to: str) -> None:
    """Refuse a generation that no reader has seen: a rollback repeats no check.

    Raises:
        UsageError: it was never live.
    """
    record = control.record_of(to)
    if record is None or record.since:
        return
    next_step = (
        f"`batch promote {to}` serves it"
        if control.is_waiting(record)
        else f"`batch republish {to}` judges and serves it"
    )
    raise UsageError(
        f"generation {to} was never live; expected one that readers had before. {next_step}"
    )
