"""Staging: writing a generation while another one is live, and reading every key back.

Nothing here moves the pointer (`publisher` does). Registry, inventory and data are written in this
order, so the next run can find and delete all keys that a killed run left behind. Staged keys have
no TTL, so that no eviction policy can drop a part of them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

from reco_store.connection.client import Client, store_errors
from reco_store.connection.servers import Servers, look_at_servers, require_fit
from reco_store.connection.transfer import (
    Progress,
    no_progress,
    read_batches,
    read_values,
    unlink_paced,
    write_batch,
    write_batches,
)
from reco_store.contract.digest import Digest
from reco_store.contract.manifest import check_manifest, load_manifest, trainer_of
from reco_store.control import generation_registry as registry
from reco_store.control.generation_registry import (
    Change,
    Control,
    Record,
    apply_change,
    read_control,
    refuse_quarantined,
)
from reco_store.control.inventory import chunks_of, write_inventory
from reco_store.errors import ContractMismatch, Fenced, UsageError, VerifyFailed
from reco_store.prefetch import prefetch
from reco_store.publishing.capacity import make_room
from reco_store.publishing.replicas import Confirmation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reco_store.contract.keys import Keys
    from reco_store.control.lock import RunLock

__all__ = ["PayloadSource", "require_same", "stage", "verify"]


class PayloadSource(Protocol):
    """Generation to publish, as key suffixes and values."""

    @property
    def generation(self) -> str:
        """Name of the generation."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Manifest, complete except for the verdict of the gate."""

    def suffixes(self) -> Iterator[str]:
        """Yield the suffix of every key, always in the same order."""

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield every suffix with its value, in the order of ``suffixes``."""


def stage(
    client: Client,
    keys: Keys,
    source: PayloadSource,
    *,
    lock: RunLock,
    replicas: int = 0,
    overrule: bool = False,
    progress: Progress = no_progress,
) -> Servers:
    """Write all keys of a generation, without changing what readers see.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        source: generation to write.
        lock: lock held by the caller.
        replicas: replicas of each server that must confirm every key.
        overrule: write the generation although it was withdrawn by a rollback; its record keeps the
            quarantine.
        progress: called with "stage" and the number of keys just written.

    Returns:
        The servers before the first write, for ``verify`` and ``flip``.

    Raises:
        StoreUnfit: a server evicts keys or has too little memory, or too few replicas confirm.
        ContractMismatch: the source's manifest or number of suffixes is wrong.
        UsageError: the generation must not be published (again).
        Fenced: another run took over.
        StoreUnreachable: the store does not answer.
    """
    generation = source.generation
    check_manifest(source.manifest, generation)
    with store_errors(client):
        lock.tick()
        servers = look_at_servers(client)
        require_fit(servers)
        make_room(lock, source.manifest, servers=servers, overrule=overrule, progress=progress)
        _register(lock, source, overrule=overrule)
        begun = 0
        try:
            written = write_inventory(lock, generation, source.suffixes())
            _require_all_suffixes(source, written)
            prefix = keys.data_prefix(generation)
            confirmation = Confirmation(client, prefix, replicas)
            for batch in write_batches(source.entries()):
                lock.tick()
                begun += len(batch)
                write_batch(client, prefix, batch)
                confirmation.wrote(batch)
                progress("stage", len(batch))
            confirmation.require_all()
            lock.check()  # if the lock was lost, keys written since then must be deleted
        except Fenced:
            _delete_written(client, keys, source, begun)
            raise
    return servers


def verify(
    client: Client,
    keys: Keys,
    source: PayloadSource,
    *,
    lock: RunLock,
    servers: Servers | None = None,
    progress: Progress = no_progress,
) -> None:
    """Read every key back and compare with the digest of the computed values.

    Args:
        client: connection to the store; may use another account than the writer's.
        keys: keys of the namespace.
        source: generation that was written.
        lock: lock held by the caller.
        servers: result of ``stage``; a server that restarted since is refused.
        progress: called with "verify" and the number of keys just read.

    Raises:
        VerifyFailed: a key is missing or different, or a server restarted.
        Fenced: another run took over.
        StoreUnreachable: the store does not answer.
    """
    generation = source.generation
    digest = Digest()
    entries = 0
    with store_errors(client):
        prefix = keys.data_prefix(generation)
        for batch, values in prefetch(read_batches(client, prefix, source.suffixes())):
            lock.tick()
            present = [value for value in values if value is not None]
            if len(present) < len(values):
                raise VerifyFailed(generation, "the key is missing", batch[values.index(None)])
            digest.update_many(zip(batch, present, strict=True))
            entries += len(batch)
            progress("verify", len(batch))
        if digest.value() != source.manifest["digest"] or entries != source.manifest["entries"]:
            raise _first_difference(client, keys, source)
        if servers is not None:
            require_same(client, servers, generation)


def require_same(client: Client, servers: Servers, generation: str) -> None:
    """Refuse servers that restarted, failed over, moved slots or began to evict since staging.

    They may have lost acknowledged writes.

    Raises:
        VerifyFailed: the servers are not those that the generation was staged to.
        StoreUnfit: a server now evicts keys.
        redis.RedisError: the store does not answer.
    """
    present = look_at_servers(client)
    if present.run_ids != servers.run_ids:
        raise VerifyFailed(generation, "a server restarted or was replaced in the meantime")
    require_fit(present)


def _first_difference(client: Client, keys: Keys, source: PayloadSource) -> VerifyFailed:
    """Return the error for the first key that differs, once the digests are known to differ."""
    generation = source.generation
    prefix = keys.data_prefix(generation)
    for batch in write_batches(source.entries()):
        values = read_values(client, [prefix + suffix for suffix, _ in batch])
        for (suffix, expected), found in zip(batch, values, strict=True):
            if found != expected:
                fault = "the key is missing" if found is None else "the value differs"
                return VerifyFailed(generation, fault, suffix)
    return VerifyFailed(generation, "the artifact itself differs from its digest")


def _delete_written(client: Client, keys: Keys, source: PayloadSource, begun: int) -> None:
    """Delete the keys that a fenced run wrote, unless another run publishes its generation.

    The run may have written many batches since another run deleted its generation, because the lock
    is checked in the store only when the lease is renewed.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        source: generation that was being written.
        begun: number of entries that may have been written.
    """
    generation = source.generation
    control = read_control(client, keys)
    record = control.record_of(generation)
    if control.live == generation or (record is not None and record.chunks):
        return  # another run published it, or will delete it
    prefix = keys.data_prefix(generation)
    chunks = chunks_of(int(source.manifest["entries"]))
    written = islice(source.suffixes(), begun)
    unlink_paced(
        client,
        chain(
            (keys.inventory(generation, chunk) for chunk in range(chunks)),
            (prefix + suffix for suffix in written),
        ),
        before_batch=lambda: None,
        after_batch=lambda _: None,
    )


def _register(lock: RunLock, source: PayloadSource, *, overrule: bool) -> None:
    """Add the generation to the registry before its first key, with its inventory chunks."""
    generation = source.generation
    manifest = source.manifest
    entries = int(manifest["entries"])
    entered = Record(
        id=generation,
        state=registry.STAGING,
        created=str(manifest["created"]),
        entries=entries,
        size_bytes=int(manifest["bytes"]),
        chunks=chunks_of(entries),
        trained_by=trainer_of(manifest),
    )

    def decide(control: Control) -> Change | None:
        if not overrule:
            refuse_quarantined(control, generation)  # rolled back since the first check
        known = control.record_of(generation)
        if control.live == generation:
            # The live generation is written again: readers use it, so its content must not change.
            _require_equal_to_live(lock, source)
            since = known.since if known is not None else ""
            return Change(control.with_records(replace(entered, state=registry.READY, since=since)))
        record = entered
        if known is not None and known.is_quarantined:
            record = entered.overruling(known)
        return Change(
            control.with_records(record), manifest_of=generation, manifest=registry.REMOVE
        )

    apply_change(lock.client, lock.keys, decide, token=lock.token)


def _require_equal_to_live(lock: RunLock, source: PayloadSource) -> None:
    generation = source.generation
    value = read_values(lock.client, [lock.keys.manifest(generation)])[0]
    if value is None:  # the store lost it, so there is nothing to compare with
        return
    live = load_manifest(value, generation)
    if live["digest"] != source.manifest["digest"]:
        raise UsageError(
            f"generation {generation} is live with other content than this artifact's; "
            "run `batch run` for a new generation"
        )


def _require_all_suffixes(source: PayloadSource, found: int) -> None:
    expected = int(source.manifest["entries"])
    if found != expected:
        raise ContractMismatch(
            f"{found} suffixes in the artifact of {source.generation}",
            f"the {expected} of its manifest",
            "The artifact is damaged; run `batch run` again.",
        )
