"""Confirmation by replicas: a run waits until enough of them have received what it wrote.

WAIT never fails. It returns the number of replicas that acknowledged the writes of its own
connection, so that number has to be compared. Each WAIT is therefore sent after a repeated write
of a staged key (with the same value, so nothing changes), to every server that holds data. Waiting
every 32 MB keeps a bulk load from overflowing a replica's output buffer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from redis import RedisCluster

from reco_store.connection.client import Client, label_of, store_errors
from reco_store.connection.scripts import with_retries
from reco_store.errors import StoreUnfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

__all__ = ["Confirmation", "require_replicas"]

WAIT_EVERY_BYTES: Final = 32_000_000
WAIT_MILLISECONDS: Final = 2_000  # shorter than the client's own timeout
WAIT_ATTEMPTS: Final = 5


def require_replicas(client: Client, replicas: int) -> None:
    """Refuse a store with fewer connected replicas than a run will wait for.

    Args:
        client: connection to the store.
        replicas: replicas of each server that must confirm; 0 requires none.

    Raises:
        StoreUnfit: a server has too few replicas, or the account may not use WAIT.
        StoreUnreachable: the store does not answer.
    """
    if replicas == 0:
        return
    with store_errors(client):
        for name, server in _primaries(client):
            connected = with_retries(partial(server.wait, replicas, WAIT_MILLISECONDS))
            if connected < replicas:
                raise _too_few(name, connected, replicas)


class Confirmation:
    """Batches written by a run that replicas have yet to confirm.

    Args:
        client: connection to the store.
        prefix: prefix of the generation's data keys.
        replicas: replicas of each server that must confirm; 0 never waits.
    """

    def __init__(self, client: Client, prefix: str, replicas: int) -> None:
        self._client = client
        self._prefix = prefix
        self._replicas = replicas
        self._unconfirmed_bytes = 0
        #: Server name -> keys and values of the last batch that wrote to that server.
        self._written: dict[str, dict[str, bytes]] = {}

    def wrote(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Add a batch that was just written, and wait if many bytes are unconfirmed.

        Raises:
            StoreUnfit: too few replicas confirm.
            redis.RedisError: the store does not answer.
        """
        if self._replicas == 0:
            return
        self._unconfirmed_bytes += sum(len(value) for _, value in batch)
        self._remember(batch)
        if self._unconfirmed_bytes >= WAIT_EVERY_BYTES:
            self.require_all()

    def require_all(self) -> None:
        """Wait until enough replicas have everything that was written.

        Raises:
            StoreUnfit: too few replicas confirm in time.
            redis.RedisError: the store does not answer.
        """
        for name, server, key, value in self._owners():
            self._require(name, server, key, value)
        self._unconfirmed_bytes = 0

    def _remember(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Replace the last batch of each server that this batch wrote to."""
        client = self._client
        if not isinstance(client, RedisCluster):
            suffix, value = batch[-1]
            self._written = {label_of(client): {self._prefix + suffix: value}}
            return
        written: dict[str, dict[str, bytes]] = {}
        for suffix, value in batch:
            key = self._prefix + suffix
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
            written.setdefault(getattr(node, "name", ""), {})[key] = value
        self._written |= written

    def _owners(self) -> Iterator[tuple[str, Redis, str, bytes]]:
        """Yield each server that holds written keys, with the key and value to write again.

        After a failover or a moved slot, that is the server that holds the keys now.

        Raises:
            StoreUnfit: all known keys of a server moved away, so its replicas cannot be checked.
            redis.RedisError: the store does not answer.
        """
        client = self._client
        samples = [pair for written in self._written.values() for pair in written.items()]
        if not isinstance(client, RedisCluster):
            for key, value in samples:
                yield label_of(client), client, key, value
            return
        # A replica may have taken over, which the client notices only when a command fails.
        with_retries(client.nodes_manager.initialize)
        owners: dict[str, tuple[str, Redis, str, bytes]] = {}
        for key, value in samples:
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
            if node is not None and node.name not in owners:
                server = client.get_redis_connection(node)
                owners[node.name] = (node.name, server, key, value)
        primaries = {name for name, _ in _primaries(client)}
        for name in sorted(self._written.keys() & primaries - owners.keys()):
            raise StoreUnfit(
                f"keys moved away from {name} while they were written, so its replicas cannot be "
                "checked",
                "Run again when the cluster has settled.",
            )
        yield from owners.values()

    def _require(self, name: str, server: Redis, key: str, value: bytes) -> None:
        def send() -> int:
            pipeline = server.pipeline(transaction=False)
            pipeline.set(key, value)
            pipeline.wait(self._replicas, WAIT_MILLISECONDS)
            return int(pipeline.execute()[1])

        confirmed = 0
        for _ in range(WAIT_ATTEMPTS):
            confirmed = with_retries(send)
            if confirmed >= self._replicas:
                return
        raise _too_few(name, confirmed, self._replicas)


def _primaries(client: Client) -> Iterator[tuple[str, Redis]]:
    """Yield the name and a connection of each server that holds data."""
    if not isinstance(client, RedisCluster):
        yield label_of(client), client
        return
    for node in client.get_primaries():  # type: ignore[no-untyped-call]
        yield node.name, client.get_redis_connection(node)


def _too_few(name: str, confirmed: int, replicas: int) -> StoreUnfit:
    return StoreUnfit(
        f"{confirmed} replicas of {name} confirm writes, expected {replicas}",
        "Check the replication of that server, or give a lower --replicas.",
    )
