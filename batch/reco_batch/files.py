"""Files: atomic writes, checksums, deletion, and errors that name the account."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from reco_store.connection.home import account


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader finds the old content or the new, never a part.

    After an error the partial file is deleted, since a full disk needs its space.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose content replaces a file at the end of the block, as in `write_whole`.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder with their names; hexadecimal.

    Raises:
        OSError: the file does not exist or cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    lines = [f"{sha256(path / file)}  {file}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def unreadable(error: OSError, path: Path) -> str:
    """Return a message that this account has no permission for a path, or that reading failed.

    Args:
        error: the error of the operating system.
        path: the requested path, unless the error names another one.
    """
    named = Path(str(error.filename)) if error.filename else path
    reason = error.strerror or error
    if not isinstance(error, PermissionError):
        return f"{named} could not be read ({reason}). Check the disk, or name another --home."
    place = _nearest(named)
    may_read = os.access(place, os.R_OK | os.X_OK if place.is_dir() else os.R_OK)
    verb, mode = ("write to", "g+rwX") if may_read else ("read", "g+rX")
    return (
        f"account {account(os.geteuid())} has no permission to {verb} {named} ({reason}); {place} "
        f"belongs to {account(place.stat().st_uid)}. Run as its owner, have the owner open it "
        f"(chmod {mode}), or name another folder with --home or RECO_HOME."
    )


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that this account can find."""
    places = (path, *path.absolute().parents)
    return next(place for place in places if os.access(place, os.F_OK))


def delete(path: Path) -> None:
    """Delete a file or a folder, if it exists; another process may delete it at the same time.

    Raises:
        OSError: it exists and cannot be deleted.
    """
    while path.is_dir():
        with suppress(FileNotFoundError):  # deleted by the other process: continue with the rest
            shutil.rmtree(path)
    path.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Return the bytes in all files of a folder; files deleted meanwhile are not counted."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(parent, name).lstat().st_size
    return size
