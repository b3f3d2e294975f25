"""Promotion: switch readers to a generation that waits in the store, complete but never live.

`publish(switch=False)` leaves such a generation, and so does a hold. Between that and the switch
hours may pass, so everything is checked again: the record, the gate's verdict, and every key
against the digest in the manifest. The switch is that of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reco_store.connection.client import store_errors
from reco_store.connection.servers import look_at_servers, require_fit
from reco_store.connection.transfer import Progress, no_progress, read_batches, read_values
from reco_store.contract.digest import Digest
from reco_store.contract.manifest import load_manifest
from reco_store.control import generation_registry as registry
from reco_store.control.generation_registry import Control, Record, read_control
from reco_store.control.inventory import parse_chunk
from reco_store.errors import UnknownGeneration, UsageError, VerifyFailed
from reco_store.prefetch import prefetch
from reco_store.publishing.outcome import LIVE, Published
from reco_store.publishing.publisher import flip, ready_ids, retire, utc_now, without_waiting
from reco_store.publishing.replicas import Confirmation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from reco_store.control.lock import RunLock

__all__ = ["promote"]


def _accept(_manifest: Mapping[str, Any], _live: str | None) -> None:
    """Accept every generation."""


def promote(
    generation: str,
    *,
    lock: RunLock,
    keep: int = 3,
    replicas: int = 0,
    require: Callable[[Mapping[str, Any], str | None], None] = _accept,
    progress: Progress = no_progress,
    now: Callable[[], datetime] = utc_now,
) -> Published:
    """Serve a generation that was staged or held, or change nothing that readers see.

    Promoting the live generation again changes nothing, so the call may be repeated if its end is
    not known.

    Args:
        generation: the generation; newer than the live one, and never live.
        lock: lock held by the caller, with the connection and the namespace.
        keep: generations to keep, including the live one.
        replicas: replicas of each server that must confirm every key before the switch.
        require: receives the manifest and the live generation before the read-back, and again at
            the switch; refuses the promotion by raising an error.
        progress: called with "verify" or "retire" and a number of keys.
        now: returns the present time, compared with the end of a hold.

    Returns:
        The outcome, which is live, and its circumstances.

    Raises:
        UnknownGeneration: the generation is not complete in the store, or is refused or withdrawn.
        UsageError: a newer generation is live or waits, or this one was live before.
        Held: a rollback's hold is in force; the generation still waits.
        VerifyFailed: a key, the manifest or the inventory is missing or different, or a server
            restarted.
        StoreUnfit: a server evicts keys, or too few replicas confirm.
        Fenced: another run took over; nothing was switched.
        StoreUnreachable: the store does not answer.
    """
    if keep < 1:
        raise UsageError(f"keep {keep}: expected 1 or more")
    client, keys = lock.client, lock.keys
    with store_errors(client):
        servers = look_at_servers(client)
        require_fit(servers)
        control = read_control(client, keys)
        if control.live == generation:
            return Published(generation, LIVE, generation)
        record = _waiting_record(control, generation)
        (value,) = read_values(client, [keys.manifest(generation)])
        if value is None:
            raise VerifyFailed(generation, "its manifest is missing")
        manifest = load_manifest(value, generation)
        require(manifest, control.live)
        _read_back(lock, record, manifest, replicas=replicas, progress=progress)
    previous: str | None = None

    def note_of(state: Control) -> str:
        nonlocal previous
        waiting = _waiting_record(state, generation)
        require(manifest, state.live)
        previous = state.live
        return without_waiting(waiting.note)

    flip(generation, lock=lock, servers=servers, now=now, require=note_of)
    retired, warning = retire(lock, keep, progress)
    return Published(generation, LIVE, previous, retired=retired, warning=warning)


def _waiting_record(control: Control, generation: str) -> Record:
    """Return the record of a generation that may be promoted.

    Raises:
        UnknownGeneration: it is not complete in the store, or is refused or withdrawn.
        UsageError: a newer generation is live or waits, or this one was live before.
    """
    record = control.record_of(generation)
    if record is None or record.state != registry.READY or not record.is_complete:
        state = "is unknown" if record is None else f"is {control.state_of(record)}"
        if record is not None and record.state in (registry.REFUSED, registry.QUARANTINED):
            state += f"; `batch republish {generation} --force REASON` serves it anyway"
        raise UnknownGeneration(generation, state, ready_ids(control))
    if record.since:
        raise UsageError(
            f"generation {generation} was live before; `batch rollback {generation}` returns to it"
        )
    if control.live is not None and control.live > generation:
        raise UsageError(
            f"generation {generation} is older than {control.live}, which is live; expected one "
            f"that is newer. `batch republish {generation}` judges it again and serves it"
        )
    newest = next(one.id for one in control.records if control.is_waiting(one))
    if newest != generation:
        raise UsageError(
            f"generation {generation} was replaced by {newest}, which waits to be served; "
            f"`batch promote {newest}` serves that"
        )
    return record


def _read_back(
    lock: RunLock,
    record: Record,
    manifest: Mapping[str, Any],
    *,
    replicas: int,
    progress: Progress,
) -> None:
    """Read every key that the inventory lists, and compare all of them with the digest.

    Raises:
        VerifyFailed: a key or a part of the inventory is missing, or a key is different.
        Fenced: another run took over.
        StoreUnfit: too few replicas confirm the keys.
        redis.RedisError: the store does not answer.
    """
    client, prefix = lock.client, lock.keys.data_prefix(record.id)
    digest, entries = Digest(), 0
    confirmation = Confirmation(client, prefix, replicas)
    for batch, values in prefetch(read_batches(client, prefix, _suffixes(lock, record))):
        lock.tick()
        present = [value for value in values if value is not None]
        if len(present) < len(values):
            raise VerifyFailed(record.id, "the key is missing", batch[values.index(None)])
        pairs = list(zip(batch, present, strict=True))
        digest.update_many(pairs)
        confirmation.wrote(pairs)
        entries += len(pairs)
        progress("verify", len(pairs))
    if digest.value() != manifest["digest"] or entries != manifest["entries"]:
        raise VerifyFailed(record.id, "its values differ from the digest in its manifest")
    confirmation.require_all()


def _suffixes(lock: RunLock, record: Record) -> Iterator[str]:
    """Yield the names in a generation's inventory, in the order in which they were written.

    Raises:
        ContractMismatch: a part of the inventory is damaged.
        VerifyFailed: a part is missing.
    """
    for chunk in range(record.chunks):
        key = lock.keys.inventory(record.id, chunk)
        (value,) = read_values(lock.client, [key])
        if value is None:
            raise VerifyFailed(record.id, "a part of its inventory is missing")
        yield from parse_chunk(value, key)
