"""Scoring on several machines: each shard a task of Ray Core.

A task is given a shard and where the catalogue is, which Ray brings to each machine once, and
returns its lists. It writes nothing, neither files nor keys, so workers need neither a shared
folder nor the store's password, and a task whose worker was killed is simply run again by Ray.
What is scored is taken in order, a few shards ahead; so memory does not grow with the users.

Without an address a Ray of this night's own runs on this machine, reachable from nowhere else.
"""

import logging
import os
import pickle
import secrets
import socket
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from reco_batch.engine import Catalogue, Rows
from reco_batch.errors import NightFailed
from reco_batch.fingerprint import differences, program
from reco_batch.topk import BLOCK_ROWS, TopK
from reco_store.errors import NotInstalled, UsageError

#: Seconds of work at the size of ml-32m; at least one block, whose row group the artifact has.
SHARD_ROWS: Final = BLOCK_ROWS
#: Shards at work or waiting for a worker: two a worker, so that none is ever idle.
_AHEAD: Final = 2
#: A worker that was killed, or its machine, is replaced so often for one shard.
_RETRIES: Final = 5
#: A shard takes seconds: in this time a cluster either finishes one or has no workers left.
_PATIENCE_SECONDS: Final = 600.0
_KNOCK_SECONDS: Final = 5.0
#: Of a worker that has loaded NumPy and us, and done nothing yet.
_IDLE_WORKER_BYTES: Final = 200_000_000
_BYTES_PER_ITEM: Final = 8  # an index and a score

#: What a Ray of our own is told before it is imported. The first makes it listen on the loopback
#: alone, whatever its name says of other systems; without it, it listens on every interface.
_OF_OUR_OWN: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",  # other users of this machine may not run code in it either
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
}


@contextmanager
def open_ray(
    address: str | None, *, workers: int, shard_rows: int = SHARD_ROWS
) -> Iterator["RayEngine"]:
    """Look whether Ray is there, and give an engine that connects when it is first needed.

    Not before, since a cluster that goes away takes the processes connected to it along, and hours
    of training may come first. When the block ends, so does the connection.

    Args:
        address: HOST:PORT of a cluster that this machine is part of, or `auto`; None starts a Ray
            of the night's own.
        workers: of that own Ray.
        shard_rows: users (movies) of a task; a multiple of a tile's rows.

    Raises:
        UsageError: that cannot be an address.
        NotInstalled: Ray is missing.
        NightFailed: no Ray answers there.
    """
    # Ray keeps the logs of its own sessions for ever, beside sockets whose path must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"  # the first one is raised, and tells all
        options: dict[str, Any] = {"address": address}
        if address is None:
            os.environ.update(_OF_OUR_OWN, RAY_AUTH_TOKEN=secrets.token_hex(32))
            options = {"address": "local", "num_cpus": workers, "_temp_dir": folder}
            options["include_dashboard"] = False
        elif address != "auto":
            _knock(address)
        ray = _ray()
        try:
            # Ray prints there what befalls its workers, between the results of the command.
            with redirect_stdout(sys.stderr):
                yield RayEngine(ray, options, shard_rows=shard_rows)
        finally:
            ray.shutdown()


class RayEngine:
    """Tasks on a Ray; connects to it when it is first needed."""

    def __init__(self, ray: ModuleType, options: Mapping[str, Any], *, shard_rows: int) -> None:
        """Connect to nothing yet.

        Args:
            ray: the module.
            options: of `ray.init`.
            shard_rows: users (movies) of a task; a multiple of a tile's rows.
        """
        self._ray, self._options, self._shard_rows = ray, options, shard_rows
        self._connecting = threading.Lock()

    def score(self, catalogue: Catalogue, rows: Rows) -> Iterator[TopK]:
        """Yield the lists of all rows in their order, a block at a time.

        Raises:
            NotFinite: a weight is.
            NightFailed: a machine of the cluster has other packages, or workers were lost more
                often than a shard is tried.
        """
        ray, expected = self._connected(), program()
        needed = _needed_bytes(catalogue, rows, self._shard_rows)
        workers = self._workers(needed)
        task = ray.remote(num_cpus=1, memory=needed, max_retries=_RETRIES)(score_shard)
        with _as_night_failed(ray):
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

    def _connected(self) -> ModuleType:
        with self._connecting, _as_night_failed(self._ray):
            if not self._ray.is_initialized():
                self._ray.init(
                    log_to_driver=False,  # standard error is for one line a stage
                    logging_level=logging.ERROR,
                    **self._options,
                )
        return self._ray

    def _workers(self, needed_bytes: int) -> int:
        """Return how many tasks the cluster can run at a time; a task that fits nowhere waits."""
        with _as_night_failed(self._ray):
            alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
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

    def _blocks(self, scored: Any) -> list[TopK]:  # noqa: ANN401  # Ray's reference
        with _as_night_failed(self._ray):
            blocks: list[TopK] = self._ray.get(scored, timeout=_PATIENCE_SECONDS)
        return blocks


def score_shard(catalogue: Catalogue, shard: Rows, expected: dict[str, str]) -> list[TopK]:
    """Score a shard in a worker; the same shard gives the same lists, however often.

    Args:
        catalogue: what it is scored against.
        shard: some rows.
        expected: `fingerprint.program` of the night, which this machine must have too.

    Raises:
        NightFailed: it has another version.
        NotFinite: a weight is.
    """
    if differ := differences(expected, _own_program()):
        raise NightFailed(
            f"the Ray worker on {socket.gethostname()} is another one: {'; '.join(differ)}. "
            "Install the same version from the same constraints.txt on every machine."
        )
    return list(catalogue.score(shard, threads=1))


@cache
def _own_program() -> dict[str, str]:
    return program()


@contextmanager
def _as_night_failed(ray: ModuleType) -> Iterator[None]:
    """Raise what a task raised as it is, and as NightFailed what happened to Ray.

    Raises:
        NightFailed: Ray failed.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except (ray.exceptions.RayError, ConnectionError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise NightFailed(
            f"Ray could not score the lists ({type(error).__name__}: {first}). See that its "
            "machines run; `batch run --resume` goes on, also with --engine local."
        ) from error


def _ray() -> ModuleType:
    try:
        return import_module("ray")  # an optional extra, and a second to import
    except ModuleNotFoundError as error:
        raise NotInstalled("--engine ray", "ray") from error


def _knock(address: str) -> None:
    """See that something listens: Ray itself tries for minutes, and then ends the process."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(
            f"--ray-address {address!r}: expected HOST:PORT of a Ray cluster, or auto for the one "
            "that runs on this machine"
        )
    try:
        socket.create_connection((host, int(port)), _KNOCK_SECONDS).close()
    except OSError as error:
        raise NightFailed(
            f"no Ray answers at {address} ({error}). Start it (`ray start --head`), or run with "
            "--engine local."
        ) from error


def _needed_bytes(catalogue: Catalogue, rows: Rows, shard_rows: int) -> int:
    """Return the memory that a worker takes, at most: by it Ray places tasks."""
    count = min(shard_rows, len(rows))
    shard = next(rows.shards(shard_rows), rows)
    # What it is given, and the copies of it that scoring prepares.
    given = 3 * (_size_bytes(catalogue) + _size_bytes(shard))
    # The lists by tile, as blocks, and on their way.
    return _IDLE_WORKER_BYTES + given + 3 * count * catalogue.k * _BYTES_PER_ITEM


def _size_bytes(thing: object) -> int:
    outside: list[pickle.PickleBuffer] = []
    inside = pickle.dumps(thing, protocol=5, buffer_callback=outside.append)
    return len(inside) + sum(buffer.raw().nbytes for buffer in outside)
