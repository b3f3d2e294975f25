"""The folder of the embedded store: where it is, whose it is, and whether a server has it.

A lock on ``<home>/store/lock`` decides who owns the data. The server inherits its descriptor, so
the kernel keeps the lock for exactly as long as the server, or a child of it that is still
writing a snapshot, lives. Silence therefore never counts as absence.

The folder belongs to its user alone.
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

__all__ = ["Place", "absence", "make_private", "place_of_home", "refusing"]

CONNECT_TIMEOUT_SECONDS: Final = 2.0
MAX_SOCKET_PATH_BYTES: Final = 100  # the kernel's limit is 107, 103 on macOS
_ELSEWHERE: Final = "Choose another folder with RECO_HOME, or name a server with --redis-url."


class Place(NamedTuple):
    """The files of one embedded store."""

    folder: Path
    socket: Path  # may lead through a link, where the folder's own path is too long to connect to

    @property
    def lock(self) -> Path:
        """Locked by the server that has the data."""
        return self.folder / "lock"

    @property
    def snapshot(self) -> Path:
        """All that the server stored, as of when it last saved."""
        return self.folder / "store.rdb"

    @property
    def log(self) -> Path:
        """Written by the server."""
        return self.folder / "server.log"

    def pid(self) -> int | None:
        """Return the process id that the server has noted, if it has."""
        with suppress(OSError, ValueError):
            return int((self.folder / "server.pid").read_text("ascii"))
        return None


def place_of_home(home: Path | None) -> Place:
    """Return where the store of a home is, after a check of whose it is."""
    if home is None:
        home = default_home()
    folder = home.absolute() / "store"
    with refusing(folder):
        _require_own(folder)
        place = Place(folder, _short(folder) / EMBEDDED_SOCKET)
        _require_own(folder / EMBEDDED_SOCKET)
    return place


def _short(folder: Path) -> Path:
    """Return the folder, or a link to it where a socket in it had too long a path to connect to."""
    if len(os.fsencode(folder / EMBEDDED_SOCKET)) <= MAX_SOCKET_PATH_BYTES:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    link = Path(tempfile.gettempdir()) / f"reco-{os.getuid()}" / name
    make_private(link.parent)
    with suppress(FileExistsError):
        link.symlink_to(folder)
    return link


@contextmanager
def absence(place: Place) -> Iterator[int | None]:
    """Hold the lock in the block, if no server has it: none runs, and none can be started.

    Yields:
        The lock's descriptor; None if a server runs, or is being started. -1 if there is no
        file to lock, and therefore no server.
    """
    lock = _open_lock(place.lock) if place.folder.exists() else None
    try:
        # A server that holds no lock was started by an earlier version, or its lock was deleted.
        if lock is None:
            yield None if _listens(place.socket) else -1
        elif _taken(lock, place.lock) and not _listens(place.socket):
            yield lock
        else:
            yield None
    finally:
        if lock is not None:
            os.close(lock)  # never LOCK_UN, which would take the lock from a server just started


def _open_lock(path: Path) -> int | None:
    """Open the lock, or return None where there is none and none can be made.

    It is opened for reading: a server that kept a file open for writing would keep its disk from
    being remounted read-only.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return None


def _taken(lock: int, path: Path) -> bool:
    """Take the lock, if it is free and its file is still the one that others would open."""
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            _reopen_for_writing(lock, path)  # as network file systems want it
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
        except (BlockingIOError, TimeoutError):  # many wait to be accepted
            return True
    return True


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can read.

    Raises:
        UsageError: it cannot be made, or belongs to another account.
    """
    with refusing(folder):
        _require_own(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_own(folder)
        if stat.S_IMODE(folder.stat().st_mode) != 0o700:
            folder.chmod(0o700)


def _require_own(path: Path) -> None:
    """Refuse a path that belongs to another account; a missing path is accepted.

    A link, to a larger disk for instance, must be the user's own as well as its target.

    Raises:
        UsageError: it is another account's, or a link to nothing.
        OSError: it cannot be looked at.
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
def refusing(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            barred = _barred(folder)
            reason = f"{reason}; {_whose(barred, barred.stat().st_uid)}"
        raise UsageError(f"cannot keep the store in {folder}: {reason}. {_ELSEWHERE}") from error


def _barred(folder: Path) -> Path:
    """Return the first folder on the way that may not be entered, or the last that is there."""
    there = [path for path in (*reversed(folder.parents), folder) if os.path.lexists(path)]
    return next((path for path in there if not os.access(path, os.X_OK)), there[-1])


def _whose(path: Path, owner: int) -> str:
    return f"{path} belongs to the account {account(owner)}, this process to {account(os.getuid())}"
