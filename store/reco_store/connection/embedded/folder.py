"""Folder of the embedded store: its files, its owner, and the lock of its server.

The lock on ``<home>/store/lock`` decides which process owns the data. The server inherits its
descriptor, so the kernel keeps the lock for exactly as long as the server, or a child of it that
is still writing a snapshot, lives. A silent server therefore never counts as absent.

Only its user can read the folder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.connection.client import EMBEDDED_SOCKET
from reco_store.connection.home import account, default_home
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "StoreFiles",
    "files_of_home",
    "lock_without_server",
    "make_private",
    "usage_errors",
]

CONNECT_TIMEOUT_SECONDS: Final = 2.0
MAX_SOCKET_PATH_BYTES: Final = 100  # the kernel's limit is 107, 103 on macOS
_ELSEWHERE: Final = "Choose another folder with RECO_HOME, or name a server with --redis-url."


class StoreFiles(NamedTuple):
    """Files of one embedded store."""

    folder: Path
    socket: Path
    """Path of the socket, through a link if the path of the folder is too long to connect to."""

    @property
    def lock(self) -> Path:
        """File that the server of this folder locks."""
        return self.folder / "lock"

    @property
    def snapshot(self) -> Path:
        """Snapshot of the data, as of the last save."""
        return self.folder / "store.rdb"

    @property
    def log(self) -> Path:
        """Log of the server."""
        return self.folder / "server.log"

    def pid(self) -> int | None:
        """Return the process id in the server's PID file; None if there is none."""
        with suppress(OSError, ValueError):
            return int((self.folder / "server.pid").read_text("ascii"))
        return None


def files_of_home(home: Path | None) -> StoreFiles:
    """Return the files of the store of a home, after a check of their owner."""
    if home is None:
        home = default_home()
    folder = home.absolute() / "store"
    with usage_errors(folder):
        _require_own(folder)
        files = StoreFiles(folder, _short(folder) / EMBEDDED_SOCKET)
        _require_own(folder / EMBEDDED_SOCKET)
    return files


def _short(folder: Path) -> Path:
    """Return the folder, or a link to it if the path of a socket in it would be too long."""
    if len(os.fsencode(folder / EMBEDDED_SOCKET)) <= MAX_SOCKET_PATH_BYTES:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    link = Path(tempfile.gettempdir()) / f"reco-{os.getuid()}" / name
    make_private(link.parent)
    with suppress(FileExistsError):
        link.symlink_to(folder)
    return link


@contextmanager
def lock_without_server(files: StoreFiles) -> Iterator[int | None]:
    """Hold the lock in the block if no server has it, so that none can be started.

    Yields:
        The descriptor of the lock; None if a server runs or is being started; -1 if there is no
        file to lock, and therefore no server.
    """
    lock = _open_lock(files.lock) if files.folder.exists() else None
    try:
        # A server that holds no lock was started by an earlier version, or its lock was deleted.
        if lock is None:
            yield None if _listens(files.socket) else -1
        elif _taken(lock, files.lock) and not _listens(files.socket):
            yield lock
        else:
            yield None
    finally:
        if lock is not None:
            os.close(lock)  # never LOCK_UN, which would take the lock from a server just started


def _open_lock(path: Path) -> int | None:
    """Open the lock, or return None if it does not exist and cannot be created.

    It is opened for reading: a server with a file open for writing would prevent its disk from
    being remounted read-only.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return None


def _taken(lock: int, path: Path) -> bool:
    """Take the lock if it is free and its file is still the one that others would open."""
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            _reopen_for_writing(lock, path)  # required by network file systems
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(lock), path.stat())
    return False


def _reopen_for_writing(lock: int, path: Path) -> None:
    writable = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(writable, lock, inheritable=False)
    os.close(writable)


def _listens(path: Path) -> bool:
    """Return whether a process listens on the socket, even one too busy to answer."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (BlockingIOError, TimeoutError):  # its queue of connections is full
            return True
    return True


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can read.

    Raises:
        UsageError: it cannot be created, or belongs to another account.
    """
    with usage_errors(folder):
        _require_own(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_own(folder)
        if stat.S_IMODE(folder.stat().st_mode) != 0o700:
            folder.chmod(0o700)


def _require_own(path: Path) -> None:
    """Refuse a path that belongs to another account; a missing path is accepted.

    A link, such as to a larger disk, and its target must both belong to the user.

    Raises:
        UsageError: the path belongs to another account, or is a broken link.
        OSError: its owner cannot be read.
    """
    try:
        owners = {path.lstat().st_uid}
        owners.add(path.stat().st_uid)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise UsageError(
                f"{path} is a link to {path.readlink()}, which does not exist. "
                f"Mount or make that folder. {_ELSEWHERE}"
            ) from error
        return
    if others := owners - {os.getuid()}:
        raise UsageError(f"{_whose(path, others.pop())}. {_ELSEWHERE}")


@contextmanager
def usage_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system into a `UsageError` with a next step."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            barred = _barred(folder)
            reason = f"{reason}; {_whose(barred, barred.stat().st_uid)}"
        raise UsageError(f"cannot keep the store in {folder}: {reason}. {_ELSEWHERE}") from error


def _barred(folder: Path) -> Path:
    """Return the first folder of the path that may not be entered, or the last existing one."""
    existing = [path for path in (*reversed(folder.parents), folder) if os.path.lexists(path)]
    return next((path for path in existing if not os.access(path, os.X_OK)), existing[-1])


def _whose(path: Path, owner: int) -> str:
    return f"{path} belongs to the account {account(owner)}, this process to {account(os.getuid())}"
