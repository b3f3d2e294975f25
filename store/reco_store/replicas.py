"""Waiting until replicas have what was written, where the operator asks for it.

WAIT never fails: it returns how many replicas answered, so the number is what counts. It speaks
of the writes of its own connection only; each WAIT therefore travels behind a repeated write of a
staged key (the same value again, so nothing changes), on every server that holds data. Waiting
every 32 MB keeps a bulk load from overrunning a replica's output buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis import RedisCluster

from reco_store.client import Client, label_of
from reco_store.errors import StoreUnfit
from reco_store.scripts import insist

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self._samples: dict[str, tuple[Redis, str, bytes]] = {}

    def wrote(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Take note of a batch, and wait if much is unconfirmed.

        Raises:
            StoreUnfit: too few replicas confirm.
            redis.RedisError: the store does not answer.
        """
        if self._replicas == 0:
            return
        self._unconfirmed_bytes += sum(len(value) for _, value in batch)
        self._sample(batch)
        if self._unconfirmed_bytes >= WAIT_EVERY_BYTES:
            self.require_all()

    def require_all(self) -> None:
        """Wait until enough replicas have everything.

        Raises:
            StoreUnfit: too few replicas confirm in time.
            redis.RedisError: the store does not answer.
        """
        for name, (server, key, value) in self._samples.items():
            self._require(name, server, key, value)
        self._unconfirmed_bytes = 0

    def _sample(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Remember one written key of each server."""
        client = self._client
        if not isinstance(client, RedisCluster):
            suffix, value = batch[-1]
            self._samples[label_of(client)] = (client, self._prefix + suffix, value)
            return
        wanted = len(client.get_primaries())  # type: ignore[no-untyped-call]
        for suffix, value in batch:
            if len(self._samples) >= wanted:
                return
            key = self._prefix + suffix
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
            if node is not None and node.name not in self._samples:
                server = client.get_redis_connection(node)
                self._samples[node.name] = (server, key, value)

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
