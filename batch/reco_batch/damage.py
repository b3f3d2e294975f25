"""Why a CSV file could not be read: looks for the usual causes, and for the line.

Arrow says that it gave up, but neither the line nor, for most encodings, the bytes. A second, slow
look at a file that is refused anyway finds both.
"""

import csv
import gzip
import io
from pathlib import Path
from typing import NamedTuple

from reco_batch.errors import DataRefused

_SHOWN_CHARACTERS = 80


class _Place(NamedTuple):
    """Where a file is wrong, and how."""

    line: int  # the header is line 1
    found: str
    expected: str


def explain(path: Path, error: Exception, encoding: str) -> DataRefused:
    """Return the refusal of a file that Arrow could not read.

    Args:
        path: the file.
        error: what Arrow raised.
        encoding: in which the file was read.
    """
    reason = str(error).splitlines()[0][:200]
    if "Empty CSV file" in reason:
        return no_rows(path.name)
    if place := _undecodable(path, encoding):
        remedy = "Give --encoding latin-1 if that is what it is, or convert it with iconv."
    elif place := _ragged(path, encoding):
        remedy = "Correct that row, or quote values that hold commas or newlines."
    else:
        return DataRefused(
            f"the CSV is damaged ({reason})",
            "rows as wide as the header, quotes closed",
            "Check the export that writes this file.",
            path.name,
        )
    return DataRefused(place.found, place.expected, remedy, path.name, place.line)


def no_rows(name: str) -> DataRefused:
    """Return the refusal of a file without a rating or movie."""
    return DataRefused(
        "there is no row below the header",
        "at least one row",
        "Check the export that writes this file.",
        name,
    )


def _undecodable(path: Path, encoding: str) -> _Place | None:
    """Find the first line that is not in the encoding."""
    if "\n".encode(encoding) != b"\n":
        return None  # lines are not to be told apart before decoding
    with _open(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                bad = line[max(0, error.start - 20) : error.end + 20].strip()
                name = encoding.upper()
                return _Place(number, f"{bad!r} is not {name}", f"a file in {name}")
    return None


def _ragged(path: Path, encoding: str) -> _Place | None:
    """Find the first row that is wider or narrower than the header."""
    line = 1
    with _open(path) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, encoding, newline=""))
        try:
            width = len(next(rows, ()))
            for row in rows:
                if row and len(row) != width:
                    text = ",".join(row)[:_SHOWN_CHARACTERS]
                    return _Place(
                        line + 1,
                        f"{len(row)} values in {text!r}",
                        f"{width} values, as in the header, and quotes closed",
                    )
                line = rows.line_num
        except (UnicodeError, csv.Error):  # nothing that a line could be named for
            return None
    return None


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
