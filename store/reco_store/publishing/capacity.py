"""Memory check before publishing: a new generation must fit in addition to the live one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from reco_store.connection.client import Client, is_cluster
from reco_store.connection.servers import Server, Servers, look_at_servers
from reco_store.connection.transfer import Progress, no_progress
from reco_store.control.collector import leftovers, outdated, remove
from reco_store.control.generation_registry import Control, Record, read_control, refuse_quarantined
from reco_store.errors import MEGABYTE, StoreUnfit
from reco_store.publishing.memory_forecast import TRANSIENT_BYTES, forecast_bytes, sizes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reco_store.contract.keys import Keys
    from reco_store.control.lock import RunLock

__all__ = ["make_room", "needed_bytes", "require_room"]

#: Factor for the uneven spread of keys over the servers of a cluster.
UNEVENNESS: Final = 1.1


def make_room(
    lock: RunLock,
    manifest: Mapping[str, Any],
    *,
    servers: Servers,
    overrule: bool = False,
    progress: Progress = no_progress,
) -> None:
    """Delete unused generations, and refuse a generation that still does not fit.

    If necessary and sufficient, generations older than the live one are deleted early, oldest
    first.

    Args:
        lock: lock held by the caller, with the connection and the namespace.
        manifest: manifest of the generation to publish.
        servers: present state of the servers.
        overrule: publish the generation although it was withdrawn by a rollback.
        progress: called with "retire" and the number of keys just deleted.

    Raises:
        StoreUnfit: the generation does not fit; the error contains the bytes needed and free.
        UsageError: the generation was withdrawn by a rollback.
        Fenced: another run took over.
        redis.RedisError: the store does not answer.
    """
    client, keys = lock.client, lock.keys
    generation = str(manifest["generation"])
    if not overrule:
        refuse_quarantined(read_control(client, keys), generation)

    def unused(control: Control) -> tuple[Record, ...]:
        # An earlier attempt to publish this generation may have written other keys.
        own = control.record_of(generation)
        again = (own,) if own and own.chunks and generation != control.live else ()
        return tuple(dict.fromkeys((*leftovers(control), *again)))

    note = "left behind by a run that did not finish"
    if remove(lock, unused, note=note, progress=progress):
        servers = look_at_servers(client)
    if read_control(client, keys).live == generation:
        return  # rewriting the live generation needs no additional memory

    shortage = _shortage(client, keys, manifest, servers)
    if shortage > 0:
        surplus = _surplus(client, keys, servers, shortage, read_control(client, keys))
        shortage, servers = _give_up(lock, manifest, surplus, servers=servers, progress=progress)
    if shortage > 0:
        free = min(server.free_bytes for server in servers.nodes)
        raise StoreUnfit(
            f"generation {generation} does not fit into the store in addition to the live one",
            f"Raise maxmemory by {math.ceil(shortage / MEGABYTE)} MB or more.",
            free + shortage,
            free,
        )


def require_room(client: Client, keys: Keys, manifest: Mapping[str, Any]) -> None:
    """Refuse a generation that would not fit even after `make_room`, without deleting anything.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        manifest: actual or estimated sizes of the generation: ``entries``, ``bytes`` and, if
            known, the histograms.

    Raises:
        StoreUnfit: the generation does not fit; the error contains the bytes needed and free.
        redis.RedisError: the store does not answer.
    """
    servers, control = look_at_servers(client), read_control(client, keys)
    share = len(servers.nodes) if is_cluster(client) else 1
    unused = dict.fromkeys((*leftovers(control), *outdated(control, 1)))
    freed = sum(
        min(needed_bytes(keys, _sizes_of(record), node, share) for node in servers.nodes)
        for record in unused
    )
    shortage = _shortage(client, keys, manifest, servers) - freed
    if shortage > 0:
        free = min(server.free_bytes for server in servers.nodes) + freed
        raise StoreUnfit(
            "the new generation will not fit into the store in addition to the live one",
            f"Raise maxmemory by {math.ceil(shortage / MEGABYTE)} MB or more.",
            free + shortage,
            free,
        )


def _sizes_of(record: Record) -> dict[str, Any]:
    return {"generation": record.id, "entries": record.entries, "bytes": record.size_bytes}


def _give_up(
    lock: RunLock,
    manifest: Mapping[str, Any],
    surplus: frozenset[str],
    *,
    servers: Servers,
    progress: Progress,
) -> tuple[int, Servers]:
    """Delete old generations early; return the remaining shortage and the servers' new state."""

    def given_up(control: Control) -> tuple[Record, ...]:
        return tuple(record for record in outdated(control, 1) if record.id in surplus)

    if surplus:
        note = "given up early, to make room for the next generation"
        remove(lock, given_up, note=note, progress=progress)
        servers = look_at_servers(lock.client)
    return _shortage(lock.client, lock.keys, manifest, servers), servers


def needed_bytes(keys: Keys, manifest: Mapping[str, Any], server: Server, share: int) -> int:
    """Return the memory that one server needs for a generation, in bytes.

    Args:
        keys: keys of the namespace.
        manifest: manifest of the generation.
        server: server that stores a part of the keys.
        share: number of servers that the keys are spread over.
    """
    prefix_bytes = len(keys.data_prefix(str(manifest["generation"])))
    whole = forecast_bytes(
        sizes_of(manifest),
        prefix_bytes=prefix_bytes,
        allocator=server.allocator,
        keys_before=server.keys * share,
        cluster=share > 1,
    )
    return whole if share == 1 else round(whole / share * UNEVENNESS)


def _shortage(client: Client, keys: Keys, manifest: Mapping[str, Any], servers: Servers) -> int:
    """Return the largest shortage of a server in bytes; negative if every server has enough."""
    share = len(servers.nodes) if is_cluster(client) else 1
    return max(
        needed_bytes(keys, manifest, server, share) + TRANSIENT_BYTES - server.free_bytes
        for server in servers.nodes
    )


def _surplus(
    client: Client, keys: Keys, servers: Servers, shortage: int, control: Control
) -> frozenset[str]:
    """Return the fewest old generations to delete for a shortage; none if all do not suffice."""
    share = len(servers.nodes) if is_cluster(client) else 1
    chosen: list[str] = []
    for record in outdated(control, 1):
        chosen.append(record.id)
        shortage -= min(
            needed_bytes(keys, _sizes_of(record), node, share) for node in servers.nodes
        )
        if shortage <= 0:
            return frozenset(chosen)
    return frozenset()
