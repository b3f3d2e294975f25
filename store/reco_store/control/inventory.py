"""Inventory of a generation: its key names, written before its data and used to delete it.

    {ns}:inventory:<generation>:<chunk>   zlib-compressed JSON list of at most 50,000 suffixes

Each chunk is read back at once and written again if it differs, because a generation with a
damaged inventory cannot be deleted.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from reco_store.connection.transfer import read_values, unlink, write_batch
from reco_store.control.generation_registry import read_control
from reco_store.errors import ContractMismatch, VerifyFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reco_store.connection.client import Client
    from reco_store.contract.keys import Keys
    from reco_store.control.lock import RunLock

__all__ = ["chunks_of", "parse_chunk", "sample_suffixes", "write_chunk", "write_inventory"]

INVENTORY_CHUNK: Final = 50_000
_ATTEMPTS: Final = 3
_CHUNKS_SAMPLED: Final = 8


def chunks_of(entries: int) -> int:
    """Return the number of inventory chunks for a number of keys; at least 1."""
    return max(1, -(-entries // INVENTORY_CHUNK))


def write_inventory(lock: RunLock, generation: str, suffixes: Iterator[str]) -> int:
    """Write the inventory of a generation.

    Args:
        lock: lock held by the caller, with the connection and the namespace.
        generation: name of the generation.
        suffixes: suffix of every key.

    Returns:
        Number of suffixes.

    Raises:
        VerifyFailed: a chunk differs from what was sent when it is read back.
        Fenced: another run took over.
        redis.RedisError: the store does not answer, or refuses.
    """
    written = chunk = 0
    while names := list(islice(suffixes, INVENTORY_CHUNK)):
        lock.tick()
        write_chunk(lock, generation, chunk, names)
        written += len(names)
        chunk += 1
    return written


def write_chunk(lock: RunLock, generation: str, chunk: int, names: Sequence[str]) -> None:
    """Write one chunk of an inventory, in place of an earlier one, and read it back.

    Raises:
        VerifyFailed: the chunk differs from what was sent.
        redis.RedisError: the store does not answer, or refuses.
    """
    key = lock.keys.inventory(generation, chunk)
    value = zlib.compress(json.dumps(names, separators=(",", ":")).encode(), 1)
    for _ in range(_ATTEMPTS):
        write_batch(lock.client, key, [("", value)])
        if read_values(lock.client, [key]) == [value]:
            return
    unlink(lock.client, [key])
    raise VerifyFailed(generation, f"{key} differs from what was sent")


def sample_suffixes(client: Client, keys: Keys, generation: str, most: int) -> list[str]:
    """Return a sample of a generation's suffixes, evenly spaced over its inventory.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        generation: name of the generation.
        most: maximum number of suffixes.

    Returns:
        The suffixes; empty if the inventory is missing or damaged.

    Raises:
        redis.RedisError: the store does not answer.
    """
    record = read_control(client, keys).record_of(generation)
    chunks = 1 if record is None else max(1, record.chunks)
    step = -(-chunks // _CHUNKS_SAMPLED)
    found: list[str] = []
    for chunk in range(0, chunks, step):
        key = keys.inventory(generation, chunk)
        value = read_values(client, [key])[0]
        if value is not None:
            with suppress(ContractMismatch):
                found += parse_chunk(value, key)
    return found[:: -(-len(found) // most) or 1]


def parse_chunk(value: bytes, key: str) -> list[str]:
    """Return the suffixes in an inventory chunk.

    Args:
        value: stored value of the chunk.
        key: key of the chunk, for the error.

    Raises:
        ContractMismatch: the chunk is damaged.
    """
    try:
        names = json.loads(zlib.decompress(value))
    except (zlib.error, ValueError):
        names = None
    if not isinstance(names, list):
        raise ContractMismatch(
            f"the inventory {key} damaged",
            "a compressed JSON list",
            "Delete that generation's keys by hand.",
        )
    return [str(name) for name in names]
