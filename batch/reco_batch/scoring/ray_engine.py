"""Ray engine: scoring on several machines, each shard a task of Ray Core.

A task receives a shard and a reference to the catalogue, which Ray copies to each machine once, and
returns its lists. It writes neither files nor keys, so workers need no shared folder and no
password of the store, and Ray repeats a task whose worker was killed. Results are taken in order, a
few shards ahead, so memory does not grow with the number of users.
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

#: Rows of a task, seconds of work at the size of ml-32m; one block, a row group of the artifact.
SHARD_ROWS: Final = BLOCK_ROWS
#: Shards in progress or waiting, per worker: two, so that no worker is idle.
_AHEAD: Final = 2
#: Number of times that a shard is scored again after its worker was killed.
_RETRIES: Final = 5
#: A shard takes seconds: a cluster that finishes none in this time has no workers left. Ray repeats
#: the shards of a machine that vanished from the network after 7 minutes (keepalive of its gRPC).
_PATIENCE_SECONDS: Final = 600.0
#: Memory of an idle worker with NumPy and reco loaded.
_IDLE_WORKER_BYTES: Final = 200_000_000
_BYTES_PER_ITEM: Final = 8  # an index and a score
_BYTES_PER_REASON: Final = 4


@contextmanager
def open_ray(
    address: str | None, *, workers: int, shard_rows: int = SHARD_ROWS
) -> Iterator["RayEngine"]:
    """Return the engine for a `with` block; it connects at its first use.

    Args:
        address: address of the cluster, see `open_cluster`.
        workers: number of workers of a cluster on this machine.
        shard_rows: users or movies of a task; a multiple of a tile's rows.

    Raises:
        UsageError, NotInstalled, NightFailed: see `open_cluster`.
    """
    with open_cluster(address, workers=workers) as cluster:
        yield RayEngine(cluster, shard_rows=shard_rows)


class RayEngine:
    """Engine that scores shards as tasks of a Ray cluster; connects at its first use."""

    def __init__(self, cluster: RayCluster, *, shard_rows: int) -> None:
        """Keep the arguments; the connection is made later.

        Args:
            cluster: cluster that runs the tasks.
            shard_rows: users or movies of a task; a multiple of a tile's rows.
        """
        self._cluster, self._shard_rows = cluster, shard_rows

    def score(self, catalogue: Catalogue[_Block], rows: Rows) -> Iterator[_Block]:
        """Yield the lists of all rows in order, a block at a time.

        Raises:
            NotFinite: a weight is not finite.
            NightFailed: a machine of the cluster has other packages, or workers were lost too
                often.
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
            for left in waiting:  # another stage failed, or the run was interrupted
                ray.cancel(left)

    def _workers(self, needed_bytes: int) -> int:
        """Return the number of tasks that the cluster can run at a time.

        Raises:
            NightFailed: no machine has the memory for a task.
        """
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

    def _blocks(self, scored: Any) -> list[Any]:  # noqa: ANN401  # Ray's reference, and its value
        with self._cluster.failures():
            blocks: list[Any] = self._cluster.connected().get(scored, timeout=_PATIENCE_SECONDS)
        return blocks


def score_shard(
    catalogue: Catalogue[_Block], shard: Rows, expected: dict[str, str]
) -> list[_Block]:
    """Score a shard in a worker; deterministic, so it may be repeated.

    Args:
        catalogue: the catalogue.
        shard: the rows to score.
        expected: `fingerprint.program` on the machine of the run.

    Raises:
        NightFailed: this machine has another program or other packages.
        NotFinite: a weight is not finite.
    """
    see_same(expected, _own_program())
    return list(catalogue.score(shard, threads=1))


@cache
def _own_program() -> dict[str, str]:
    return program()


def _needed_bytes(catalogue: Catalogue[object], rows: Rows, shard_rows: int) -> int:
    """Return the largest memory of a worker in bytes, by which Ray places tasks."""
    count = min(shard_rows, len(rows))
    shard = next(rows.shards(shard_rows), rows)
    # The arguments of the task, and the copies of them that scoring makes.
    given = 3 * (_size_bytes(catalogue) + _size_bytes(shard))
    # The lists as tiles, as blocks, and in transfer.
    an_item = _BYTES_PER_ITEM + (0 if rows.rated is None else _BYTES_PER_REASON)
    return _IDLE_WORKER_BYTES + given + 3 * count * catalogue.k * an_item


def _size_bytes(thing: object) -> int:
    outside: list[pickle.PickleBuffer] = []
    inside = pickle.dumps(thing, protocol=5, buffer_callback=outside.append)
    return len(inside) + sum(buffer.raw().nbytes for buffer in outside)
