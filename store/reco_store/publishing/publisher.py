"""Publishing: stage, read back, judge, switch, delete old generations.

Readers see the old generation until the switch, a single script call that checks the lock, the
fencing token, the hold and the server's run id, and changes pointer and registry together. If a
step fails before the switch, the pointer stays, and staged keys are deleted at once or by the next
run.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from reco_store.connection.client import Client, store_errors
from reco_store.connection.servers import Servers, control_run_id
from reco_store.connection.transfer import Progress, no_progress
from reco_store.contract.manifest import dump_manifest
from reco_store.control import generation_registry as registry
from reco_store.control.collector import REPLACED, outdated, remove
from reco_store.control.generation_registry import (
    Change,
    Control,
    HoldInForce,
    apply_change,
    read_control,
    refuse_quarantined,
)
from reco_store.errors import (
    Fenced,
    Held,
    StoreError,
    StoreUnreachable,
    UnknownGeneration,
    UsageError,
    VerifyFailed,
)
from reco_store.publishing.outcome import (
    HELD,
    LIVE,
    REFUSED,
    STAGED,
    GateInput,
    Published,
    Verdict,
)
from reco_store.publishing.staging import PayloadSource, require_same, stage, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reco_store.contract.keys import Keys
    from reco_store.control.lock import RunLock

__all__ = ["flip", "publish", "retire"]

DEFAULT_KEEP: Final = 3
HELD_UNTIL: Final = "held until "
#: Note of a generation that waits to be promoted.
STAGED_NOTE: Final = "staged: `batch promote` serves it"


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def publish(
    client: Client,
    keys: Keys,
    source: PayloadSource,
    *,
    lock: RunLock,
    keep: int = DEFAULT_KEEP,
    gate: Callable[[GateInput], Verdict] | None = None,
    replicas: int = 0,
    overrule: bool = False,
    switch: bool = True,
    progress: Progress = no_progress,
    now: Callable[[], datetime] = utc_now,
) -> Published:
    """Publish a generation, or change nothing that readers see.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        source: generation to publish.
        lock: lock held by the caller.
        keep: generations to keep, including the live one.
        gate: judges the staged generation; None passes everything.
        replicas: replicas of each server that must confirm every key before the switch.
        overrule: publish the generation although a rollback withdrew it; unless it goes live, it
            stays in quarantine.
        switch: switch readers to the generation; False leaves it complete in the store, for
            ``promote``, in place of an earlier one that waits.
        progress: called with "stage", "verify" or "retire" and a number of keys.
        now: returns the present time, compared with the end of a hold.

    Returns:
        The outcome (live, staged, held or refused) and its circumstances.

    Raises:
        StoreUnfit, VerifyFailed, ContractMismatch, StoreUnreachable: nothing was switched; staged
            keys are deleted at once or by the next run.
        Fenced: another run took over; nothing was switched.
        UsageError: the generation must not be published (again), or ``keep`` is below 1.
    """
    if keep < 1:
        raise UsageError(f"keep {keep}: expected 1 or more")
    generation = source.generation
    try:
        servers = stage(
            client,
            keys,
            source,
            lock=lock,
            replicas=replicas,
            overrule=overrule,
            progress=progress,
        )
        verify(client, keys, source, lock=lock, servers=servers, progress=progress)
        verdict, previous = _judge(client, keys, source, gate=gate)
        manifest = {**source.manifest, "gate": None if verdict is None else dict(verdict.report)}
        if verdict is not None and not verdict.passed:
            _set_aside(lock, manifest, registry.REFUSED, verdict.reason)
            return Published(generation, REFUSED, previous, verdict)
        note = "" if verdict is None else verdict.reason
        held: Held | None = None
        if switch:
            held = _switch_or_hold(
                lock, manifest, servers=servers, now=now, note=note, overrule=overrule
            )
        else:
            _leave_staged(lock, manifest, servers=servers, note=note)
    except Exception as error:
        _raise_if_fenced(lock, error)
        _clean_up(lock, generation, error)
        raise
    retired, warning = retire(lock, keep, progress)
    outcome = HELD if held is not None else LIVE if switch else STAGED
    return Published(generation, outcome, previous, verdict, held, retired, warning)


def flip(
    generation: str,
    *,
    lock: RunLock,
    servers: Servers | None = None,
    now: Callable[[], datetime] = utc_now,
    require: Callable[[Control], str] = lambda _: "",
) -> None:
    """Switch to a ready generation, atomically and idempotently.

    Args:
        generation: generation that is staged, verified and not refused.
        lock: lock held by the caller, with the connection and the namespace.
        servers: result of ``stage``; a server that restarted since is refused.
        now: returns the present time, compared with the end of a hold.
        require: returns the note to record for the state in which the switch is made; refuses it
            by raising an error.

    Raises:
        UnknownGeneration: the generation is not ready.
        Held: a rollback's hold is in force; the generation stays ready.
        VerifyFailed: a server restarted since staging.
        Fenced: another run took over; nothing was switched.
        StoreUnreachable, StoreUnfit: the store does not answer or refuses.
    """
    _switch(lock, generation, None, servers=servers, now=now, require=require)


def _switch(
    lock: RunLock,
    generation: str,
    manifest: Mapping[str, Any] | None,
    *,
    servers: Servers | None,
    now: Callable[[], datetime],
    require: Callable[[Control], str],
) -> None:
    """Move the pointer; with a manifest, complete a staged generation in the same change."""
    client, keys = lock.client, lock.keys
    run_id: str | None = None

    def decide(control: Control) -> Change | None:
        record = control.record_of(generation)
        refill = control.live == generation
        if refill and manifest is None:
            return None
        states = (registry.READY,) if manifest is None else (registry.READY, registry.STAGING)
        if record is None or record.state not in states:
            state = "is unknown" if record is None else f"is {record.state}"
            raise UnknownGeneration(generation, state, ready_ids(control))
        note = require(control)
        since = record.since if refill else now().isoformat(timespec="seconds")
        return Change(
            control.with_records(
                replace(record.no_longer_overruled(), state=registry.READY, since=since, note=note)
            ),
            live=generation,
            hold_checked_at=None if refill else now().timestamp(),
            manifest=None if manifest is None else dump_manifest(manifest),
            run_id=run_id,
        )

    with store_errors(client):
        lock.tick()
        if servers is not None:
            require_same(client, servers, generation)
            run_id = control_run_id(client, servers, keys.current)
            if run_id is None:  # it took over since, so a restart would go unnoticed
                raise VerifyFailed(generation, "another server has taken over the pointer")
        try:
            apply_change(client, keys, decide, token=lock.token)
        except HoldInForce as signal:
            raise Held(generation, signal.hold.until_iso, signal.hold.reason) from signal


def _switch_or_hold(
    lock: RunLock,
    manifest: Mapping[str, Any],
    *,
    servers: Servers,
    now: Callable[[], datetime],
    note: str,
    overrule: bool,
) -> Held | None:
    try:
        generation = str(manifest["generation"])
        _switch(lock, generation, manifest, servers=servers, now=now, require=lambda _: note)
    except Held as held:
        waiting = f"{HELD_UNTIL}{held.until}"
        _set_aside(lock, manifest, registry.READY, f"{waiting}; {note}" if note else waiting)
        return Held(held.generation, held.until, held.reason, force=overrule)
    return None


def _leave_staged(
    lock: RunLock, manifest: Mapping[str, Any], *, servers: Servers, note: str
) -> None:
    """Complete a staged generation without a switch, on the servers that it was staged to."""
    with store_errors(lock.client):
        lock.tick()
        require_same(lock.client, servers, str(manifest["generation"]))
    waiting = f"{STAGED_NOTE}; {note}" if note else STAGED_NOTE
    _set_aside(lock, manifest, registry.READY, waiting)


def without_waiting(note: str) -> str:
    """Return a record's note without the first part, if that tells what a generation waits for."""
    waiting, _, rest = note.partition("; ")
    return rest if waiting.startswith((HELD_UNTIL, STAGED_NOTE)) else note


def ready_ids(control: Control) -> tuple[str, ...]:
    """Return the generations that readers can be switched to, newest first."""
    return tuple(r.id for r in control.records if r.state == registry.READY and r.chunks)


def _judge(
    client: Client,
    keys: Keys,
    source: PayloadSource,
    *,
    gate: Callable[[GateInput], Verdict] | None,
) -> tuple[Verdict | None, str | None]:
    if gate is None:
        with store_errors(client):
            return None, read_control(client, keys).live
    given = GateInput.read_from(client, keys, source.generation, source.manifest)
    return gate(given), given.live


def _set_aside(lock: RunLock, manifest: Mapping[str, Any], state: str, note: str) -> None:
    """Complete a staged generation without making it live."""
    generation = str(manifest["generation"])

    def decide(control: Control) -> Change | None:
        record = control.record_of(generation)
        if record is None:
            raise UnknownGeneration(generation, "is no longer in the registry", ready_ids(control))
        if not record.is_overruled:
            refuse_quarantined(control, generation)  # rolled back in the meantime
        # The live generation, written again, stays live whatever its new verdict.
        final = registry.READY if control.live == generation else state
        return Change(
            control.with_records(replace(record, state=final, note=note).quarantined_again()),
            manifest_of=generation,
            manifest=dump_manifest(manifest),
        )

    with store_errors(lock.client):
        apply_change(lock.client, lock.keys, decide, token=lock.token)


def retire(lock: RunLock, keep: int, progress: Progress) -> tuple[tuple[str, ...], str]:
    """Delete generations beyond `keep`; a failure becomes a warning, as the switch is done.

    Returns:
        The deleted generations, and the warning; empty without a failure.
    """
    try:
        with store_errors(lock.client):
            retired = remove(
                lock,
                lambda control: outdated(control, keep),
                note=REPLACED,
                progress=progress,
            )
    except StoreError as error:
        return (), f"old generations are not deleted yet: {error}"
    return retired, ""


def _raise_if_fenced(lock: RunLock, error: Exception) -> None:
    """Replace an error by `Fenced` if another run took over, as that is then the cause.

    Raises:
        Fenced: another run took over.
    """
    if isinstance(error, (Fenced, StoreUnreachable)):
        return
    try:
        lock.check()
    except Fenced as fenced:
        raise fenced from error
    except StoreError:
        return  # the original error is the one to report


def _clean_up(lock: RunLock, generation: str, error: Exception) -> None:
    """Delete what a failed run staged, if possible; otherwise the next run does."""
    if isinstance(error, StoreUnreachable):
        return

    def own(control: Control) -> tuple[registry.Record, ...]:
        record = control.record_of(generation)
        if record is None or record.state != registry.STAGING or control.live == generation:
            return ()
        return (record,)

    try:
        with store_errors(lock.client):
            remove(lock, own, note=f"failed: {type(error).__name__}")
    except StoreError:
        return  # the original error is the one to report
