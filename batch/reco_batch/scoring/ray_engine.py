"""Scoring on several machines: each shard a task of Ray Core.

A task is given a shard and where the catalogue is, which Ray brings to each machine once, and
returns its lists. It writes nothing, neither files nor keys, so workers need neither a shared
folder nor the store's password, and a task whose worker was killed is simply run again by Ray.
What is scored is taken in order, a few shards ahead; so memory does not grow with the users.
"""

import pickle
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TypeVar

from reco_batch.data.fingerprint import program
from reco_batch.errors import NightFailed
from reco_batch.scoring.catalogue import Catalogue, Rows
from reco_batch.scoring.ray_cluster import RayCluster, open_cluster, see_same
from reco_batch.scoring.topk import BLOCK_ROWS

_Block = TypeVar("_Block")

#: Seconds of work at the size of ml-32m; at least one block, whose row group the artifact has.
SHARD_ROWS: Final = BLOCK_ROWS
#: Shards at work or waiting for a worker: two a worker, so that none is ever idle.
_AHEAD: Final = 2
#: A worker that was killed, or its machine, is replaced so often for one shard.
_RETRIES: Final = 5
#: A shard takes seconds: in this time a cluster either finishes one or has no workers left.
_PATIENCE_SECONDS: Final = 600.0
#: Of a worker that has loaded NumPy and us, and done nothing yet.
_IDLE_WORKER_BYTES: Final = 200_000_000
_BYTES_PER_ITEM: Final = 8  # an index and a score
_BYTES_PER_REASON: Final = 4


@contextmanager
def open_ray(
    address: str | None, *, workers: int, shard_rows: int = SHARD_ROWS
) -> Iterator["RayEngine"]:
    """Return the engine for a `with` block, connected when it is first needed.

    Args:
        address: as `open_cluster` takes it.
        workers: likewise.
        shard_rows: users (movies) of a task; a multiple of a tile's rows.

    Raises:
        UsageError, NotInstalled, NightFailed: as `open_cluster`.
    """
    with open_cluster(address, workers=workers) as cluster:
        yield RayEngine(cluster, shard_rows=shard_rows)


class RayEngine:
    """Tasks on a Ray; connects to it when it is first needed."""

    def __init__(self, cluster: RayCluster, *, shard_rows: int) -> None:
        """Connect to nothing yet.

        Args:
            cluster: where the tasks are run.
            shard_rows: users (movies) of a task; a multiple of a tile's rows.
        """
        self._cluster, self._shard_rows = cluster, shard_rows

    def score(self, catalogue: Catalogue[_Block], rows: Rows) -> Iterator[_Block]:
        """Yield the lists of all rows in their order, a block at a time.

        Raises:
            NotFinite: a weight is.
            NightFailed: a machine of the cluster has other packages, or workers were lost more
                often than a shard is tried.
        """
        ray, expected = self._cluster.connected(), program()
        needed = _needed_bytes(catalogue, rows, self._shard_rows)
        workers = self._workers(needed)
        task = ray.remote(num_cpus=1, memory=needed, max_retries=_RETRIES)(score_shard)
        with self._cluster.failures():
            shared = ray.put(catalogue)
        waiting: deque[Any] = deque()
        try:
            for shard in rows.shards(self._shard_rows):
                waiting.append(task.remote(shared, shard, expected))
                if len(waiting) >= _AHEAD * workers:
                    yield from self._blocks(waiting.popleft())
            while waiting:
                yield from self._blocks(waiting.popleft())
        finally:
            for left in waiting:  # another stage failed, or the person interrupted the night
                ray.cancel(left)

    def _workers(self, needed_bytes: int) -> int:
        """Return how many tasks the cluster can run at a time; a task that fits nowhere waits."""
        with self._cluster.failures():
            nodes = self._cluster.connected().nodes()
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        fitting = [
            min(int(node.get("CPU", 0)), int(node.get("memory", 0)) // needed_bytes)
            for node in alive
        ]
        if not any(fitting):
            most = max((int(node.get("memory", 0)) for node in alive if node.get("CPU")), default=0)
            raise NightFailed(
                f"no machine of the Ray cluster can score: a task needs 1 CPU and "
                f"{needed_bytes // 1_000_000:,} MB, the largest with a CPU has "
                f"{most // 1_000_000:,} MB. Add a machine, or run with --engine local."
            )
        return sum(fitting)

    def _blocks(self, scored: Any) -> list[Any]:  # noqa: ANN401  # Ray's reference, and what it has
        with self._cluster.failures():
            blocks: list[Any] = self._cluster.connected().get(scored, timeout=_PATIENCE_SECONDS)
        return blocks


def score_shard(
    catalogue: Catalogue[_Block], shard: Rows, expected: dict[str, str]
) -> list[_Block]:
    """Score a shard in a worker; the same shard gives the same lists, however often.

    Args:
        catalogue: what it is scored against.
        shard: some rows.
        expected: `fingerprint.program` of the night, which this machine must have too.

    Raises:
        NightFailed: it has another version.
        NotFinite: a weight is.
    """
    see_same(expected, _own_program())
    return list(catalogue.score(shard, threads=1))


@cache
def _own_program() -> dict[str, str]:
    return program()


def _needed_bytes(catalogue: Catalogue[object], rows: Rows, shard_rows: int) -> int:
    """Return the memory that a worker takes, at most: by it Ray places tasks."""
    count = min(shard_rows, len(rows))
    shard = next(rows.shards(shard_rows), rows)
    # What it is given, and the copies of it that scoring prepares.
    given = 3 * (_size_bytes(catalogue) + _size_bytes(shard))
    # The lists by tile, as blocks, and on their way.
    an_item = _BYTES_PER_ITEM + (0 if rows.rated is None else _BYTES_PER_REASON)
    return _IDLE_WORKER_BYTES + given + 3 * count * catalogue.k * an_item


def _size_bytes(thing: object) -> int:
    outside: list[pickle.PickleBuffer] = []
    inside = pickle.dumps(thing, protocol=5, buffer_callback=outside.append)
    return len(inside) + sum(buffer.raw().nbytes for buffer in outside)
