"""Refusals of paths that cannot be read: missing, of the wrong kind, forbidden, damaged.

A path is opened only after its type has been checked, so a pipe or a device cannot block a run.
"""

import errno
import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.storage import Place, StoredFile, stored_refusal
from reco_store.connection.home import account

_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_FOLDER: Final = "a folder with ratings.csv and movies.csv"
_SHOWN_CHARACTERS: Final = 200
#: Error of Arrow about a file that was cut in the middle of a zstd frame.
_TRUNCATED: Final = "Truncated compressed stream"
#: Errors of an object store, rather than of the content that it returned.
_OF_STORE: Final = re.compile(r"AWS Error|google::cloud|Azure|\[Errno|When reading|curl")


def require_folder(folder: Path) -> None:
    """Refuse a path that is not a folder, or that the account may not list.

    Raises:
        DataRefused: with the path, and with the account if its permissions are the reason.
    """
    try:
        mode = folder.stat().st_mode
        if stat.S_ISDIR(mode):
            os.scandir(folder).close()
            return
    except OSError as error:
        raise refusal(folder, error, is_folder=True) from error
    except ValueError as error:  # a NUL character
        raise DataRefused(
            f"{str(folder)!r} is not a valid path", _FOLDER, "Correct --data."
        ) from error
    what = next((name for test, name in _KINDS if test(mode)), "a file")
    remedy = f"Give its folder, {str(folder.parent)!r}." if what == "a file" else "Give a folder."
    raise DataRefused(f"{str(folder)!r} is {what}", _FOLDER, remedy)


def require_readable(path: Path) -> None:
    """Refuse a path that is not a regular file, or that the account may not read.

    Raises:
        DataRefused: with the path, and with the account if its permissions are the reason.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb"):
                return
    except OSError as error:
        raise refusal(path, error) from error
    what = next((name for test, name in _KINDS if test(mode)), "a folder")
    raise DataRefused(f"it is {what}", "a plain file", f"Write the data to {path}.", path.name)


@contextmanager
def reading(path: Place, name: str, format_name: str) -> Iterator[None]:
    """Turn errors of the libraries that read a file into refusals.

    Args:
        path: the file.
        name: its name in messages.
        format_name: its format in messages, such as "Parquet".

    Raises:
        DataRefused: the file cannot be read.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _cut(name, error) from error
    except pa.ArrowException as error:
        raise damaged(name, format_name, _first_line(error)) from error
    except OSError as error:
        if _TRUNCATED in str(error):
            raise _cut(name, error) from error
        if isinstance(path, StoredFile) and _OF_STORE.search(str(error)):
            raise stored_refusal(path.address, error) from error
        if error.errno is None or isinstance(path, StoredFile):  # by Arrow, about the content
            raise damaged(name, format_name, _first_line(error)) from error
        raise refusal(path, error) from error


def _cut(name: str, error: Exception) -> DataRefused:
    return DataRefused(
        f"the file cannot be decompressed to its end ({error})",
        "a whole compressed file",
        "Write or copy it again: it was probably cut on the way.",
        name,
    )


def damaged(name: str, format_name: str, reason: str) -> DataRefused:
    """Return the refusal of a file whose name or first bytes promise a format that it breaks."""
    return DataRefused(
        f"the file is not readable {format_name} ({reason})",
        f"a whole {format_name} file",
        "Write or copy it again, or name it .csv if it is CSV.",
        name,
    )


def refusal(path: Path, error: OSError, *, is_folder: bool = False) -> DataRefused:
    """Return the refusal of a path that the operating system did not let reco read.

    Args:
        path: the path to read.
        error: the error of the operating system.
        is_folder: the path is the folder that --data names.
    """
    name = None if is_folder else path.name
    if error.errno in (errno.EACCES, errno.EPERM):
        return DataRefused(
            f"{_closed(path)} cannot be read by the account {account(os.geteuid())}",
            "permission to read it",
            "Run as its owner, or let this account read it (chmod, chgrp).",
            name,
        )
    if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
        to = f"{str(path)!r} is a link to {str(path.readlink())!r}, "
        loop = error.errno == errno.ELOOP
        found = to + ("which leads back to itself" if loop else "which is not there")
        return DataRefused(found, "a link to data", "Correct or remove the link.", name)
    if is_folder and error.errno in (errno.ENOENT, errno.ENOTDIR):
        return DataRefused(
            f"there is no folder {str(path)!r}",
            _FOLDER,
            "Give its path to --data, or the name of a known data set such as `demo`.",
        )
    if error.errno == errno.ENOENT:
        remedy = (
            "Correct the path."
            if path.is_absolute()
            else f"A relative path counts from the working directory, here {str(Path.cwd())!r}: "
            "correct the path, or write it in full."
        )
        return DataRefused(f"there is no file {str(path.absolute())!r}", "a file", remedy, name)
    return DataRefused(
        f"{str(path)!r} cannot be read ({error.strerror or error})",
        "a folder that can be read" if is_folder else "a file that can be read",
        "Check the disk or the mount that it is on.",
        name,
    )


def _closed(path: Path) -> str:
    """Return the path, with the first folder above it that the account may not enter."""
    for above in reversed(path.absolute().parents):
        try:
            entered = os.access(above, os.X_OK)
        except OSError:
            entered = False
        if not entered:
            return f"{str(path)!r} is in {str(above)!r}, which"
    return f"{str(path)!r}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:_SHOWN_CHARACTERS]
