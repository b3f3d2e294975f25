"""Diagnosis of CSV files: lines of rows, invalid bytes and damage, found in a second, slow pass.

Arrow reports neither the line of a row nor, for most encodings, the bytes that it could not read.
Only files with something to report are read again.
"""

import csv
import io
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final

import pyarrow as pa
from pyarrow.csv import InvalidRow

from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.csv_form import CsvForm
from reco_batch.ingest.formats.table_file import RowLocation

_SHOWN_CHARACTERS: Final = 80
_KEPT_CHARACTERS: Final = 1000
_LONG_LINE: Final = 1 << 20  # characters


def locate(form: CsvForm, name: str, wanted: Collection[int]) -> dict[int, RowLocation]:
    """Return the location of each row: numbered from 0, or -1, -2, ... if ragged.

    Args:
        form: the form of the file.
        name: its name in messages.
        wanted: row numbers.

    Cost:
        One pass over the file, about a microsecond a row.
    """
    found: dict[int, RowLocation] = {}
    width, regular, ragged, last = len(form.names), 0, -1, None
    with _rows(form) as rows, suppress(UnicodeError, csv.Error):
        for line, row in rows:
            if not row:
                continue
            is_regular = len(row) == width
            at = regular if is_regular else ragged
            last = at
            if at in wanted:
                text = form.delimiter.join(row)[:_KEPT_CHARACTERS]
                found[at] = RowLocation(name, line, text)
            regular += is_regular
            ragged -= not is_regular
    if last in found and not is_ended(form):
        found[last] = found[last]._replace(is_cut=True)
    unknown = RowLocation(name, 1)
    return {row: found.get(row, unknown) for row in wanted}


@contextmanager
def _rows(form: CsvForm) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Open a file and yield its rows, each with its first line."""
    pa.default_memory_pool().release_unused()  # memory that Arrow used for a long line
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with io.TextIOWrapper(form.open_text(), "utf-8", newline="") as text:
            lines = islice(text, form.header_line, None)
            short = _shortened(lines, form.delimiter, columns=len(form.names))
            yield _numbered(short, form.delimiter, form.header_line)
    finally:
        csv.field_size_limit(limit)


def _shortened(lines: Iterable[str], delimiter: str, *, columns: int) -> Iterator[str]:
    """Yield lines, with the values of very long ones shortened to save memory in the parser.

    Only lines without quotes and outside quoted values are shortened; their width stays wrong if it
    was.
    """
    quoted = False
    for line in lines:
        quotes = line.count('"')
        if quoted or quotes or len(line) <= _LONG_LINE:
            quoted ^= quotes % 2 == 1
            yield line
        else:
            values = line.rstrip("\r\n").split(delimiter, columns + 1)
            yield delimiter.join(value[:_KEPT_CHARACTERS] for value in values) + "\n"


def _numbered(lines: Iterator[str], delimiter: str, above: int) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(lines, delimiter=delimiter)
    line = above + 1
    for row in rows:
        yield line, row
        line = above + rows.line_num + 1


def is_ended(form: CsvForm) -> bool:
    """Return whether the last line of a file ends with a line break."""
    last = b""
    with form.open_text() as stream, suppress(UnicodeError):
        while block := stream.read(1 << 20):
            last = block[-1:]
    return last in (b"\n", b"\r")


def whole_rows(width: int) -> str:
    """Return the expected form of every row, for messages."""
    return f"{width} values, as in the header, and quotes closed"


def ragged(row: InvalidRow) -> str:
    """Describe a row that is wider or narrower than the header, for messages."""
    return f"{row.actual_columns} values in {row.text[:_SHOWN_CHARACTERS]!r}"


def require_one_line(row: InvalidRow, wanted: str, find: Callable[[], RowLocation]) -> None:
    """Refuse a file with a ragged row that shows damage.

    Args:
        row: the row, wider or narrower than the header.
        wanted: the expected form of every row, for the message.
        find: returns the location of the row.

    Raises:
        DataRefused: the row is NUL bytes, or continues over several lines.
    """
    if not row.text.strip("\0\r\n"):
        location = find()
        raise DataRefused(
            f"{len(row.text):,} NUL bytes",
            "rows only",
            "A crash or a full disk leaves such an end: write the file again.",
            location.file,
            location.line,
        )
    if "\n" in row.text.strip("\r\n"):
        location = find()
        raise DataRefused(
            ragged(row),
            wanted,
            "Close the quote that this row opens, or double it inside of a value.",
            location.file,
            location.line,
        )


def explain(form: CsvForm, name: str, error: Exception) -> DataRefused:
    """Return the refusal of a file that Arrow could not read.

    Args:
        form: form of the file.
        name: name of the file in messages.
        error: error of Arrow.
    """
    if found := _undecodable(form, name):
        return found
    return DataRefused(
        f"the CSV is damaged ({str(error).splitlines()[0][:200]})",
        "rows as wide as the header, quotes closed",
        "Check the export that writes this file.",
        name,
    )


def require_decodable(form: CsvForm, name: str) -> None:
    """Refuse a file with bytes that are not in its encoding.

    Raises:
        DataRefused: with the first line of such bytes.
    """
    if found := _undecodable(form, name):
        raise found


def _undecodable(form: CsvForm, name: str) -> DataRefused | None:
    """Return the refusal of a file with bytes that are not in its encoding; None without any."""
    if "\n".encode(form.encoding) != b"\n":
        return None  # lines cannot be found before decoding
    encoding = form.encoding.upper()
    with form.open_bytes() as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(form.encoding)
            except UnicodeDecodeError as error:
                bad = line[max(0, error.start - 20) : error.end + 20].strip()
                remedy = "Give its encoding, such as --encoding latin-1, or convert it with iconv."
                if error.reason == "unexpected end of data" and not line.endswith(b"\n"):
                    remedy = "It ends in the middle of a letter, so it was cut: write it again."
                return DataRefused(
                    f"{bad!r} is not {encoding}", f"a file in {encoding}", remedy, name, number
                )
    return None
