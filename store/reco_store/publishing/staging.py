"""Writing a generation beside the live one, and reading every key of it back.

Nothing here moves the pointer (publisher.py does). Order of writing: registry, inventory, data,
so that whatever a killed run leaves behind can be found and deleted by the next one. Staged keys
have no TTL, so no policy can drop a part of them.
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
from reco_store.contract.manifest import check_manifest, load_manifest
from reco_store.control import registry
from reco_store.control.inventory import chunks_of, write_inventory
from reco_store.control.registry import (
    Change,
    Control,
    Record,
    apply_change,
    read_control,
    refuse_quarantined,
)
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
    """Everything that is to be published of one generation."""

    @property
    def generation(self) -> str:
        """The generation's id."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest, complete but for the gate's verdict."""

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
    """Write a generation beside the live one.

    Args:
        client: connection to the store.
        keys: the namespace's keys.
        source: what to write.
        lock: held by the caller.
        replicas: how many replicas of each server must have everything.
        overrule: write it although it was rolled back from; its record keeps the quarantine.
        progress: called with "stage" and the number of keys just written.

    Returns:
        The servers as they were before the first write, for ``verify`` and ``flip``.

    Raises:
        StoreUnfit: an evicting policy, not enough memory, too few replicas.
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
            lock.check()  # asks the store: what was written since it was lost must be taken back
        except Fenced:
            _take_back(client, keys, source, begun)
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
    """Read every key back and compare with the digest of what was computed.

    Args:
        client: connection to the store; it may be another account than the writer's.
        keys: the namespace's keys.
        source: what was written.
        lock: held by the caller.
        servers: what ``stage`` returned; a server that restarted since is refused.
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
    """Refuse to go on with servers that restarted, failed over, moved slots or began to evict.

    What they had may be gone, whatever the replies said.

    Raises:
        VerifyFailed: they are not those that were staged to.
        StoreUnfit: one of them evicts keys by now.
        redis.RedisError: the store does not answer.
    """
    present = look_at_servers(client)
    if present.run_ids != servers.run_ids:
        raise VerifyFailed(generation, "a server restarted or was replaced meanwhile")
    require_fit(present)


def _first_difference(client: Client, keys: Keys, source: PayloadSource) -> VerifyFailed:
    """Say where the store and the source differ; only after the digests did."""
    generation = source.generation
    prefix = keys.data_prefix(generation)
    for batch in write_batches(source.entries()):
        values = read_values(client, [prefix + suffix for suffix, _ in batch])
        for (suffix, expected), found in zip(batch, values, strict=True):
            if found != expected:
                what = "the key is missing" if found is None else "the value is another"
                return VerifyFailed(generation, what, suffix)
    return VerifyFailed(generation, "the artifact itself differs from its digest")


def _take_back(client: Client, keys: Keys, source: PayloadSource, begun: int) -> None:
    """Delete what a fenced run wrote, unless another run has its generation in hand.

    The run may have written many batches since another one collected its generation, because
    between two renewals of the lease the store is not asked.

    Args:
        client: connection to the store.
        keys: the namespace's keys.
        source: what was being written.
        begun: how many entries may have been written.
    """
    generation = source.generation
    control = read_control(client, keys)
    record = control.find(generation)
    if control.live == generation or (record is not None and record.chunks):
        return  # another run published it, or has yet to collect it
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
    """Enter the generation before its first key, with the number of inventory chunks."""
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
    )

    def decide(control: Control) -> Change | None:
        if not overrule:
            refuse_quarantined(control, generation)  # a rollback may have come since the first look
        known = control.find(generation)
        if control.live == generation:
            # Refilling the live generation: readers use it, so it must stay what it is.
            _require_equal_to_live(lock, source)
            since = known.since if known is not None else ""
            return Change(control.put(replace(entered, state=registry.READY, since=since)))
        record = entered
        if known is not None and known.is_quarantined:
            record = entered.overruling(known)
        return Change(control.put(record), manifest_of=generation, manifest=registry.REMOVE)

    apply_change(lock.client, lock.keys, decide, token=lock.token)


def _require_equal_to_live(lock: RunLock, source: PayloadSource) -> None:
    generation = source.generation
    value = read_values(lock.client, [lock.keys.manifest(generation)])[0]
    if value is None:  # lost with the rest: there is nothing to contradict
        return
    live = load_manifest(value, generation)
    if live["digest"] != source.manifest["digest"]:
        raise UsageError(
            f"generation {generation} is live with other content than this artifact; "
            "run `batch run` for a new generation"
        )


def _require_all_suffixes(source: PayloadSource, found: int) -> None:
    expected = int(source.manifest["entries"])
    if found != expected:
        raise ContractMismatch(
            f"{found} suffixes in the artifact of {source.generation}",
            f"{expected}, as its manifest says",
            "The artifact is damaged; run `batch run` again.",
        )
