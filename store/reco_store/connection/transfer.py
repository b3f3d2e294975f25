"""Bulk transfer: data keys are written, read and deleted in bounded batches.

Writes are SET in pipelines without transactions: every write is idempotent, none blocks the server
for long, and a pipeline may mix the slots of a cluster. A single server reads many keys with one
MGET, in a tenth of the time of GETs.
"""

from __future__ import annotations

import time
from itertools import groupby, islice
from typing import TYPE_CHECKING, Final, TypeAlias

from redis import Redis, RedisCluster
from redis.exceptions import RedisError

from reco_store.connection.client import Client, is_cluster
from reco_store.connection.resp import exchange_sets
from reco_store.connection.scripts import values, with_retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "Progress",
    "no_progress",
    "read_batches",
    "read_values",
    "unlink_paced",
    "write_batch",
    "write_batches",
]

MAX_BATCH_COMMANDS: Final = 500  # the rate does not grow beyond 100, memory does beyond 500
MAX_BATCH_BYTES: Final = 1_000_000
FIRST_READ_KEYS: Final = 16
UNLINK_BATCH_KEYS: Final = 200
UNLINK_PAUSE_SECONDS: Final = 0.001  # lets readers run between batches

Entry = tuple[str, bytes]
#: Callback with the step (stage, verify or retire) and the number of keys just handled.
Progress: TypeAlias = "Callable[[str, int], None]"


def no_progress(step: str, keys: int) -> None:
    """Ignore progress."""


def write_batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Split entries into batches, bounded in number and in bytes."""
    batch: list[Entry] = []
    size_bytes = 0
    for entry in entries:
        batch.append(entry)
        size_bytes += len(entry[1])
        if len(batch) >= MAX_BATCH_COMMANDS or size_bytes >= MAX_BATCH_BYTES:
            yield batch
            batch = []
            size_bytes = 0
    if batch:
        yield batch


def write_batch(client: Client, prefix: str, batch: Sequence[Entry]) -> None:
    """Write one batch; send it again if its replies are lost.

    Raises:
        redis.RedisError: the server refused a write, or does not answer.
    """
    if isinstance(client, RedisCluster):
        with_retries(lambda: _set_in_pipeline(client, prefix, batch))
    else:
        with_retries(lambda: _set_on_connection(client, prefix, batch))


def _set_in_pipeline(client: RedisCluster, prefix: str, batch: Sequence[Entry]) -> None:
    pipeline = client.pipeline(transaction=False)  # type: ignore[no-untyped-call]
    for suffix, value in batch:
        pipeline.execute_command("SET", prefix + suffix, value)
    _raise_first(pipeline.execute(raise_on_error=False))


def _set_on_connection(client: Redis, prefix: str, batch: Sequence[Entry]) -> None:
    connection = client.connection_pool.get_connection()
    try:
        replies = exchange_sets(connection, prefix, batch)
    finally:
        client.connection_pool.release(connection)
    _raise_first(replies)


def read_values(client: Client, keys: Sequence[str]) -> list[bytes | None]:
    """Read many keys.

    Raises:
        redis.RedisError: the server does not answer.
    """

    def send() -> list[bytes | None]:
        if not is_cluster(client):
            found = client.execute_command("MGET", *keys)  # type: ignore[no-untyped-call]
            return values(found, len(keys))
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("GET", key)
        found = pipeline.execute(raise_on_error=False)
        _raise_first(found)
        return values(found, len(keys))

    return with_retries(send) if keys else []


def read_batches(
    client: Client, prefix: str, suffixes: Iterable[str]
) -> Iterator[tuple[list[str], list[bytes | None]]]:
    """Read many values of one generation, in order, in batches of bounded bytes.

    Sizes are unknown before reading, so the first batch of each family is small: values of one
    family may be a hundred times as large as those of another.

    Raises:
        redis.RedisError: the server does not answer.
    """
    for _, family in groupby(suffixes, _family):
        count = FIRST_READ_KEYS
        while batch := list(islice(family, count)):
            values = read_values(client, [prefix + suffix for suffix in batch])
            yield batch, values
            size_bytes = sum(len(value) for value in values if value is not None)
            fitting = MAX_BATCH_BYTES * len(batch) // max(1, size_bytes)
            count = max(1, min(4 * count, fitting, MAX_BATCH_COMMANDS))


def unlink_paced(
    client: Client,
    keys: Iterable[str],
    *,
    before_batch: Callable[[], None],
    after_batch: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Delete keys in small batches, with a pause after each, so that readers never wait long.

    Args:
        client: connection to the store.
        keys: keys to delete; a missing key is not an error.
        before_batch: called before each batch; may raise an error to stop.
        after_batch: called with the number of keys of each batch.
        sleep: function that pauses for a number of seconds.

    Raises:
        redis.RedisError: the server does not answer.
    """
    rest = iter(keys)
    while batch := list(islice(rest, UNLINK_BATCH_KEYS)):
        before_batch()
        unlink(client, batch)
        after_batch(len(batch))
        sleep(UNLINK_PAUSE_SECONDS)


def unlink(client: Client, keys: Sequence[str]) -> None:
    """Delete one batch of keys, which may be empty.

    Raises:
        redis.RedisError: the server does not answer.
    """
    if not keys:
        return

    def send() -> None:
        if not is_cluster(client):
            client.unlink(*keys)
            return
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("UNLINK", key)
        _raise_first(pipeline.execute(raise_on_error=False))

    with_retries(send)


def _raise_first(replies: Iterable[object]) -> None:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply


def _family(suffix: str) -> str:
    return suffix.partition(":")[0]
