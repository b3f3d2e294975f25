"""Snapshots of the embedded store, written while it answers, and their errors."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from redis import ConnectionPool, Redis, RedisCluster, exceptions
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from reco_store.connection.client import (
    EMBEDDED_SOCKET,
    Client,
    embedded_folder_of,
    label_of,
    store_errors,
)
from reco_store.connection.embedded.folder import StoreFiles
from reco_store.errors import MEGABYTE, StoreUnfit, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "SAVE_TIMEOUT_SECONDS",
    "SILENCE_SECONDS",
    "ServerLog",
    "save",
    "silent",
    "unsaved",
]

SILENCE_SECONDS: Final = 60.0  # of a live server, after which waiting ends
SAVE_TIMEOUT_SECONDS: Final = 3600.0  # a large store on a slow disk
SAVE_POLL_SECONDS: Final = 0.05
PROBE_BYTES: Final = 65_536
LOG_TAIL_LINES: Final = 3
#: Errors of a server while its child process writes a snapshot or rewrites a log.
_CHILD_IS_BUSY: Final = re.compile("already in progress|child process is active", re.IGNORECASE)
#: The operating system's reason, at the end of the server's log line about a failed snapshot.
_SAVE_ERROR: Final = re.compile(r"(?:error|failed)\b.*: (?P<reason>[^:]+)$", re.IGNORECASE)


def save(client: Client, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a snapshot of the embedded store before returning, so that nothing published is lost.

    The server answers meanwhile: its child process writes the snapshot. A snapshot that the server
    began by itself may lack the latest writes, so this waits for its end and writes another one. If
    there is no memory for a child, the server itself writes the snapshot. Other servers save by
    their own configuration.

    Args:
        client: connection to the embedded store.
        progress: called with the number of keys written so far and in total.

    Raises:
        StoreUnfit: the server cannot write its snapshot, or is silent for a minute while a child
            writes it; the reason is in the message.
        StoreUnreachable: the server no longer runs.
    """
    if isinstance(client, RedisCluster):
        raise UsageError("save() is for the embedded store, not for a cluster")
    folder = embedded_folder_of(client)
    if folder is None:
        raise UsageError(f"save() is for the embedded store, not for {label_of(client)}")
    files = StoreFiles(folder, folder / EMBEDDED_SOCKET)
    if not folder.exists():
        raise StoreUnfit(
            f"the embedded store cannot be saved: {folder} was deleted or moved while it ran",
            "Publish again.",
        )
    log = ServerLog(files.log)
    with store_errors(client):
        try:
            with _patient(client, SILENCE_SECONDS) as polling:
                is_saved = _saved_by_child(polling, progress)
            if not is_saved:
                with _patient(client, SAVE_TIMEOUT_SECONDS) as saving:
                    _without_child(saving.save)
        except ResponseError as error:
            raise unsaved(files, log) from error
        except exceptions.TimeoutError as error:
            raise silent(files) from error


def unsaved(files: StoreFiles, log: ServerLog) -> StoreUnfit:
    """Return the error of a snapshot that could not be written, with the reason from the log."""
    # On a disk that is full or read-only, the log may lack the reason.
    reason = log.save_error() or _write_error(files.folder)
    step = f"See {files.log}"
    if reason in {os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)}:
        reason = f"{reason}, {shutil.disk_usage(files.folder).free / MEGABYTE:.1f} MB free"
        step = "Make room there"
    elif reason == os.strerror(errno.EROFS):
        step = "Make the disk writable"
    return StoreUnfit(
        f"the embedded store cannot be written to {files.folder}" + (f" ({reason})" * bool(reason)),
        f"{step}, then run `batch store stop`, which saves.",
    )


def silent(files: StoreFiles) -> StoreUnfit:
    """Return the error of a server that runs but does not answer."""
    pid = files.pid()
    process = f"process {pid or 'unknown'}"
    if files.socket.exists():
        number = pid or "PID"
        return StoreUnfit(
            f"the embedded store in {files.folder} has not answered for {SILENCE_SECONDS:.0f} s, "
            f"but runs ({process})",
            f"It may be stopped or short of memory: resume it (kill -CONT {number}), or end it "
            f"(kill -TERM {number}, then kill -CONT {number}); it saves as it exits. No other "
            "server was started.",
        )
    return StoreUnfit(
        f"the embedded store in {files.folder} runs ({process}), but its socket was deleted",
        "End that process with SIGTERM, which saves; the next command starts it again.",
    )


def _write_error(folder: Path) -> str:
    """Return the reason why a folder cannot be written to; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.strerror or ""
    return ""


class ServerLog:
    """Lines that a server adds to its log after this object is created."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size if path.exists() else 0

    def tail(self) -> str:
        """Return the last lines, joined."""
        return " / ".join(self._lines()[-LOG_TAIL_LINES:])

    def save_error(self) -> str:
        """Return the system's reason for a failed snapshot; empty if there is none."""
        found = [match["reason"] for match in map(_SAVE_ERROR.search, self._lines()) if match]
        return found[-1].rstrip(".") if found else ""

    def _lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._start)
                return [
                    line.strip() for line in file.read().decode("utf-8", "replace").splitlines()
                ]
        except OSError:
            return []


@contextmanager
def _patient(client: Redis, timeout_seconds: float) -> Iterator[Redis]:
    """Connect to the same server, with a longer timeout than the caller's client."""
    pool = client.connection_pool
    once = Retry(NoBackoff(), 0)  # each retry would wait as long again
    options = {**pool.connection_kwargs, "socket_timeout": timeout_seconds, "retry": once}
    with Redis.from_pool(ConnectionPool(pool.connection_class, **options)) as patient:
        yield patient


def _saved_by_child(client: Redis, progress: Callable[[int, int], None] | None) -> bool:
    """Save in the background, wait for the end, and return whether it succeeded."""
    try:
        _without_child(partial(client.bgsave, schedule=False))
    except ResponseError:  # no memory for a child
        return False
    while (state := client.info("persistence"))["rdb_bgsave_in_progress"]:
        if progress is not None:
            progress(
                state.get("current_save_keys_processed", 0), state.get("current_save_keys_total", 0)
            )
        time.sleep(SAVE_POLL_SECONDS)
    if progress is not None:
        keys = int(client.dbsize())
        progress(keys, keys)
    return bool(state["rdb_last_bgsave_status"] == "ok")


def _without_child(command: Callable[[], object]) -> None:
    """Call a command as soon as the server has no child that writes a snapshot or a log.

    Raises:
        ResponseError: the server refuses for another reason.
    """
    while True:
        try:
            command()
        except ResponseError as error:
            if not _CHILD_IS_BUSY.search(str(error)):
                raise
            time.sleep(SAVE_POLL_SECONDS)
        else:
            return
