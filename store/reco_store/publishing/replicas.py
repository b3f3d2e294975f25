"""Waiting until replicas have what was written, where the operator asks for it.

WAIT never fails: it returns how many replicas answered, so the number is what counts. It speaks
of the writes of its own connection only; each WAIT therefore travels behind a repeated write of a
staged key (the same value again, so nothing changes), on every server that holds data. Waiting
every 32 MB keeps a bulk load from overrunning a replica's output buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis import RedisCluster

from reco_store.connection.client import Client, label_of
from reco_store.connection.scripts import insist
from reco_store.errors import StoreUnfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

__all__ = ["Confirmation"]

WAIT_EVERY_BYTES: Final = 32_000_000
WAIT_MILLISECONDS: Final = 2_000  # below the client's own timeout
WAIT_ATTEMPTS: Final = 5


class Confirmation:
    """Counts what is written, and makes sure that replicas follow.

    Args:
        client: connection to the store.
        prefix: of the data keys.
        replicas: how many of each server must confirm; 0 asks for nothing.
    """

    def __init__(self, client: Client, prefix: str, replicas: int) -> None:
        self._client = client
        self._prefix = prefix
        self._replicas = replicas
        self._unconfirmed_bytes = 0
        #: Server name -> keys and values of the last batch that wrote anything to that server.
        self._written: dict[str, dict[str, bytes]] = {}

    def wrote(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Take note of a batch, and wait if much is unconfirmed.

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
        """Wait until enough replicas have everything.

        Raises:
            StoreUnfit: too few replicas confirm in time.
            redis.RedisError: the store does not answer.
        """
        for name, server, key, value in self._owners():
            self._require(name, server, key, value)
        self._unconfirmed_bytes = 0

    def _remember(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Keep what a batch wrote to each server; later batches take the place of earlier ones."""
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
        """Yield each server that was written to, or took over from one, with a key that it has.

        Raises:
            StoreUnfit: all known keys of a server moved away, so its replicas cannot be asked.
            redis.RedisError: the store does not answer.
        """
        client = self._client
        samples = [pair for written in self._written.values() for pair in written.items()]
        if not isinstance(client, RedisCluster):
            for key, value in samples:
                yield label_of(client), client, key, value
            return
        # A replica may have taken over, which the client learns of only when a command fails.
        insist(client.nodes_manager.initialize)
        owners: dict[str, tuple[str, Redis, str, bytes]] = {}
        for key, value in samples:
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
            if node is not None and node.name not in owners:
                server = client.get_redis_connection(node)
                owners[node.name] = (node.name, server, key, value)
        primaries = {node.name for node in client.get_primaries()}  # type: ignore[no-untyped-call]
        for name in sorted(self._written.keys() & primaries - owners.keys()):
            raise StoreUnfit(
                f"keys moved away from {name} while they were written, so its replicas cannot be "
                "asked",
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
            confirmed = insist(send)
            if confirmed >= self._replicas:
                return
        raise StoreUnfit(
            f"{confirmed} replicas of {name} confirm the new generation, "
            f"{self._replicas} are asked for",
            "Look after the replicas, or ask for fewer.",
        )
