"""Input files on disk: which file of a folder is read, and who may not read it.

A table is one file, or a folder of part files as Spark and Hive write them. Nothing is opened
before it is known to be a plain file, so a pipe or a device cannot hold up a run.
"""

import errno
import os
import re
import stat
import time
from pathlib import Path
from typing import Final, NamedTuple

from reco_batch.errors import DataRefused
from reco_store.connection.home import account

_ENDINGS: Final = (".csv", ".csv.gz", ".parquet")
#: A folder of part files may have the name without an ending, too.
_FOLDER_ENDINGS: Final = (*_ENDINGS, "")
_SHOWN_NAMES: Final = 8
_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_FOLDER: Final = "a folder with ratings.csv and movies.csv"


class InputFile(NamedTuple):
    """A table of the input, in one file or several."""

    name: str
    """Name in the folder, for messages and the manifest."""
    parts: tuple[Path, ...]
    """The files, in the order in which they are read."""

    def name_of(self, part: Path) -> str:
        """Return the name of a part below the folder of the data set."""
        if self.parts == (part,) and part.name == self.name:
            return self.name
        names = part.parts
        return "/".join(names[len(names) - names[::-1].index(self.name) - 1 :])


def require_folder(folder: Path) -> None:
    """Refuse a path that is not a folder, or that the account may not list.

    Raises:
        DataRefused: naming the path, and the account where it is not allowed to read it.
    """
    try:
        mode = folder.stat().st_mode
        if stat.S_ISDIR(mode):
            os.scandir(folder).close()
            return
    except OSError as error:
        raise refusal(folder, error, is_folder=True) from error
    except ValueError as error:  # a NUL character
        raise DataRefused(f"{str(folder)!r} is no path", _FOLDER, "Correct --data.") from error
    what = next((name for test, name in _KINDS if test(mode)), "a file")
    remedy = f"Give its folder, {str(folder.parent)!r}." if what == "a file" else "Give a folder."
    raise DataRefused(f"{str(folder)!r} is {what}", _FOLDER, remedy)


def find_table(folder: Path, stem: str) -> InputFile:
    """Return the file, or the folder of part files, of a table.

    Args:
        folder: of the data set.
        stem: `ratings` or `movies`.

    Raises:
        DataRefused: there is none, there are several, or it cannot be read.
    """
    found = [path for ending in _FOLDER_ENDINGS if _is_table(path := folder / f"{stem}{ending}")]
    if len(found) > 1:
        dated = " and ".join(f"{path.name} (of {_written(path)})" for path in found)
        raise DataRefused(
            f"the folder {str(folder)!r} has {dated}",
            "one of them",
            "Remove or rename the others: which one counts cannot be told.",
        )
    if not found:
        raise _missing(folder, stem)
    path = found[0]
    if not path.is_dir():
        require_readable(path)
        return InputFile(path.name, (path,))
    return InputFile(path.name, part_files(path))


def part_files(folder: Path) -> tuple[Path, ...]:
    """Return the part files of a folder, in the order of their paths.

    Files and folders whose names begin with a dot or an underscore are marks of the program that
    wrote the folder, such as _SUCCESS; folders of partitions, such as year=2024, are looked into.

    Raises:
        DataRefused: there is none, or one cannot be read.
    """
    found: list[Path] = []
    try:
        for root, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
            found += [Path(root, name) for name in names if not name.startswith((".", "_"))]
    except OSError as error:
        raise refusal(Path(error.filename or folder), error) from error
    if not found:
        raise DataRefused(
            "the folder has no part files",
            "at least one CSV or Parquet file",
            "Check the export that writes this folder.",
            folder.name,
        )
    for path in found:
        require_readable(path)
    return tuple(sorted(path for path in found if path.stat().st_size) or sorted(found))


def require_readable(path: Path) -> None:
    """Refuse a path that is not a regular file, or that the account may not read.

    Raises:
        DataRefused: naming the path, and the account where it is not allowed to read it.
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


def refusal(path: Path, error: OSError, *, is_folder: bool = False) -> DataRefused:
    """Return the refusal of a path that the system did not let us read.

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
    return DataRefused(
        f"{str(path)!r} cannot be read ({error.strerror or error})",
        "a folder that can be read" if is_folder else "a file that can be read",
        "Check the disk or the mount that it is on.",
        name,
    )


def _closed(path: Path) -> str:
    """Return the path, or that of the first folder above it that may not be entered."""
    for above in reversed(path.absolute().parents):
        try:
            entered = os.access(above, os.X_OK)
        except OSError:
            entered = False
        if not entered:
            return f"{str(path)!r} is in {str(above)!r}, which"
    return f"{str(path)!r}"


def _raise(error: OSError) -> None:
    raise error


def _is_table(path: Path) -> bool:
    """Return whether a path exists: a file of any kind or, if it has no suffix, a folder."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) and path.suffix == "":
            mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refusal(path, error) from error
    return path.suffix != "" or stat.S_ISDIR(mode)


def _written(path: Path) -> str:
    seconds = path.lstat().st_mtime
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def _missing(folder: Path, stem: str) -> DataRefused:
    """Return the refusal of a folder without a table, with advice if its names suggest one."""
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:_SHOWN_NAMES]) + (" ..." if len(names) > _SHOWN_NAMES else "")
    return DataRefused(
        f"the folder {str(folder)!r} has {shown or 'nothing'}",
        " or ".join(f"{stem}{ending}" for ending in _ENDINGS),
        _advice(names, stem),
    )


def _advice(names: list[str], stem: str) -> str:
    near = [name for name in names if re.match(rf"{stem}(?![a-z])", name, re.IGNORECASE)]
    if len(near) > 1:
        files = " ".join(near) if len(near) <= _SHOWN_NAMES else f"{stem}*"
        return (
            f"Several files are read as the parts of one table from a folder named {stem}: "
            f"`mkdir {stem} && mv {files} {stem}/`."
        )
    if not near:
        return "Put the file there or give another folder to --data."
    ending = near[0].lower().rpartition(".")[2]
    if ending in ("zip", "xlsx", "xls", "7z", "bz2", "xz", "zst", "rar", "tgz", "tar"):
        if ending.startswith("xls"):
            return f"Save {near[0]} as {stem}.csv: workbooks are not read."
        return f"Unpack {near[0]} to {stem}.csv: of archives only {stem}.csv.gz is read."
    if ending in ("csv", "tsv", "txt", "gz", "parquet", "pq", "dat", "data"):
        right = {"gz": "csv.gz", "parquet": "parquet", "pq": "parquet"}.get(ending, "csv")
        return f"Rename {near[0]} to {stem}.{right}."
    return f"Write {near[0]} as CSV or Parquet."
