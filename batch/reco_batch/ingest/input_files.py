"""Input files: the file, the part files or the query of each table.

A table is one file, or a folder of part files as Spark and Hive write them. It is found by its name
in a folder, or by a path, a pattern or an address.
"""

import glob
import os
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.path_checks import refusal, require_readable
from reco_batch.ingest.formats.registry import ENDINGS, FORMAT_NAMES, FORMATS
from reco_batch.ingest.formats.sql_table import DRIVERS, SqlQuery
from reco_batch.ingest.formats.storage import StoredFile, stored_files, stored_tables
from reco_batch.settings.address import is_address, mask_address
from reco_store import UsageError

#: Endings of a table; a folder of part files may have none.
_TABLE_ENDINGS: Final = (*ENDINGS, "")
_SHOWN_NAMES: Final = 8
_PACKED: Final = ("zip", "xlsx", "xls", "7z", "bz2", "xz", "rar", "tgz", "tar")
_PATTERN: Final = re.compile(r"[*?\[]")


class InputFile(NamedTuple):
    """Table of the input, in one file or several."""

    name: str
    """Name in the folder, for messages and the manifest."""
    parts: tuple[Path | StoredFile | SqlQuery, ...]
    """Paths of the files, in reading order, or one query."""

    def name_of(self, part: Path | StoredFile | SqlQuery) -> str:
        """Return the name of a part below the folder of the data set."""
        if isinstance(part, SqlQuery) or (self.parts == (part,) and part.name == self.name):
            return self.name
        names = part.parts
        if self.name not in names:  # a pattern
            return "/".join(names[-2:])
        return "/".join(names[len(names) - names[::-1].index(self.name) - 1 :])


def find_place(place: str | tuple[str, ...], query: str | None, stem: str) -> InputFile:
    """Return the files or the query of a table that [input] names.

    Args:
        place: a file, a folder or pattern of files, an address, or several of them.
        query: table or query of a database; None for files.
        stem: `ratings` or `items`, the key of the place.

    Raises:
        UsageError: a database without a query, or a query without a database.
        DataRefused: there is no such file, or it cannot be read.
    """
    if not isinstance(place, str):
        if query is not None:
            raise UsageError(
                f"input.{stem} is a list and input.{stem}_query is {query!r}; expected files, or "
                "one database with a query"
            )
        return _together([find_place(one, None, stem) for one in place])
    is_database = place.partition(":")[0].lower() in DRIVERS and ":" in place
    if is_database != (query is not None):
        raise UsageError(
            f"input.{stem} is {mask_address(place)!r} and input.{stem}_query is {query!r}; "
            "expected a query or a table for postgresql: and sqlite: addresses, and none for others"
        )
    if query is not None:
        name = query.strip() if re.fullmatch(r"[\w.\" ]+", query.strip()) else f"{stem} query"
        return InputFile(name, (SqlQuery(place, query),))
    if is_address(place) and not place.startswith("file://"):
        files = stored_files(place)
        return InputFile(last_name(place), files)
    path = Path(place.removeprefix("file://"))
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise UsageError(f"input.{stem} is {place!r}, and there is no such account") from error
    if _PATTERN.search(str(path)) and not path.exists():
        return _matching(path, stem)
    if path.is_dir():
        return InputFile(path.resolve().name, part_files(path.resolve()))
    require_readable(path)
    return InputFile(path.name, (path,))


def _together(found: Sequence[InputFile]) -> InputFile:
    """Return several files as one table."""
    if len(found) == 1:
        return found[0]
    names = list(dict.fromkeys(one.name for one in found))
    more = [f"{len(names) - 2} more"] if len(names) > 2 else []
    return InputFile(
        " + ".join([*names[:2], *more]), tuple(part for one in found for part in one.parts)
    )


def _matching(pattern: Path, stem: str) -> InputFile:
    found = sorted(map(Path, glob.glob(str(pattern), recursive=True)))  # noqa: PTH207  # absolute, too
    files = tuple(path for path in found if path.is_file() and not path.name.startswith((".", "_")))
    if not files:
        raise DataRefused(
            f"no file fits {str(pattern)!r}", "at least one file", f"Correct input.{stem}."
        )
    for path in files:
        require_readable(path)
    return InputFile(pattern.name, files)


def last_name(address: str) -> str:
    """Return the last part of the path of an address."""
    return mask_address(address).partition("?")[0].rstrip("/").rpartition("/")[2]


def find_table(folder: Path, stem: str) -> InputFile:
    """Return the file, or the folder of part files, of a table.

    Args:
        folder: folder of the data set.
        stem: `ratings` or `movies`.

    Raises:
        DataRefused: there is no such file, there are several, or it cannot be read.
    """
    found = [path for ending in _TABLE_ENDINGS if _is_table(path := folder / f"{stem}{ending}")]
    if len(found) > 1:
        dated = " and ".join(f"{path.name} (of {_written(path)})" for path in found)
        raise DataRefused(
            f"the folder {str(folder)!r} has {dated}",
            "one of them",
            "Keep the one to read, and remove or rename the others.",
        )
    if not found:
        raise _missing(folder, stem)
    path = found[0]
    if not path.is_dir():
        require_readable(path)
        return InputFile(path.name, (path,))
    return InputFile(path.name, part_files(path))


def find_stored_table(address: str, stem: str) -> InputFile:
    """Return the file, or the part files, of a table in a folder of an object store.

    Args:
        address: address of the folder.
        stem: `ratings` or `movies`.

    Raises:
        DataRefused: there is no such file, there are several, or the store denies the access.
    """
    below = stored_tables(address, stem)
    names = [name for ending in _TABLE_ENDINGS if (name := f"{stem}{ending}") in below]
    if len(names) != 1:
        raise DataRefused(
            f"{mask_address(address)} has {' and '.join(names or below)}",
            "one of them" if names else " or ".join(f"{stem}{ending}" for ending in ENDINGS),
            "Keep the one to read, and remove or rename the others."
            if names
            else f"Rename it, or name its address as {stem.replace('movies', 'items')} in [input].",
        )
    return InputFile(names[0], below[names[0]])


def part_files(folder: Path) -> tuple[Path, ...]:
    """Return the part files of a folder, in the order of their paths.

    Names that begin with a dot or an underscore, such as _SUCCESS, are markers of the program that
    wrote the folder, and are skipped. Folders of partitions, such as year=2024, are searched.

    Raises:
        DataRefused: there is no part file, or one cannot be read.
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
            f"at least one {FORMAT_NAMES} file",
            "Check the export that writes this folder.",
            folder.name,
        )
    for path in found:
        require_readable(path)
    return tuple(sorted(path for path in found if path.stat().st_size) or sorted(found))


def _raise(error: OSError) -> None:
    raise error


def _is_table(path: Path) -> bool:
    """Return whether a path exists and, if it has no suffix, is a folder."""
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
    """Return the refusal of a folder without a table, with advice from the names in the folder."""
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:_SHOWN_NAMES]) + (" ..." if len(names) > _SHOWN_NAMES else "")
    return DataRefused(
        f"the folder {str(folder)!r} has {shown or 'nothing'}",
        " or ".join(f"{stem}{one.endings[0]}" for one in FORMATS.values()),
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
    if ending in _PACKED:
        if ending.startswith("xls"):
            return f"Save {near[0]} as {stem}.csv: workbooks are not read."
        return f"Unpack {near[0]} to {stem}.csv: only gzip and zstd are read, as {stem}.csv.gz."
    right = next((one.misnamed[ending] for one in FORMATS.values() if ending in one.misnamed), None)
    return f"Rename {near[0]} to {stem}{right}." if right else f"Write {near[0]} as {FORMAT_NAMES}."
