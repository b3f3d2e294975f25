"""Lines of rows, and causes of damage, found by a second, slow look at a file.

Arrow reports neither the line of a row nor, for most encodings, the bytes that it could not read.
Only files with something to report are looked at again.
"""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

import pyarrow as pa

from reco_batch.csv_form import CsvForm
from reco_batch.errors import DataRefused

_SHOWN_CHARACTERS: Final = 80
_KEPT_CHARACTERS: Final = 1000
_LONG_LINE: Final = 1 << 20  # characters


class Place(NamedTuple):
    """Where a row is."""

    file: str
    line: int
    """The header is line 1; in Parquet, the first row is line 2."""
    text: str = ""
    """The row as it is in the file, shortened; empty for Parquet."""
    is_cut: bool = False
    """It is the last row, and no line break ends it."""
    order: tuple[int, int] = (0, 0)
    """To sort places by: part and line."""


@dataclass
class Part:
    """A file of a table, as far as it was read."""

    name: str
    form: CsvForm | None
    """None: a Parquet file."""
    rows: int = 0
    """Rows as wide as the header."""
    ragged: int = 0
    """Rows that are wider or narrower."""


class Lines:
    """Places of the rows of a table.

    Rows as wide as the header are numbered from 0, over all parts; other rows -1, -2, ...
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def places(self, rows: Sequence[int]) -> dict[int, Place]:
        """Return the place of each of the given rows.

        Cost:
            One pass over each CSV file that has one of them, about a microsecond a row.
        """
        found: dict[int, Place] = {}
        first = ragged = 0
        for number, part in enumerate(self._parts):
            here = {row - first: row for row in rows if first <= row < first + part.rows}
            here |= {row + ragged: row for row in rows if -ragged - part.ragged <= row < -ragged}
            for at, place in _places(part, here).items():
                found[here[at]] = place._replace(order=(number, place.line))
            first += part.rows
            ragged += part.ragged
        return found


class AnyLines(Lines):
    """Places in a table that was not read from a file."""

    def __init__(self, name: str) -> None:
        super().__init__(())
        self._name = name

    def places(self, rows: Sequence[int]) -> dict[int, Place]:
        """Return the numbers of the rows."""
        return {row: Place(self._name, row + 2, order=(0, row)) for row in rows}


def _places(part: Part, wanted: dict[int, int]) -> dict[int, Place]:
    if part.form is None or not wanted:
        return {row: Place(part.name, row + 2) for row in wanted}
    found: dict[int, Place] = {}
    width, regular, ragged, last = len(part.form.names), 0, -1, None
    with _rows(part.form) as rows, suppress(UnicodeError, csv.Error):
        for line, row in rows:
            if not row:
                continue
            is_regular = len(row) == width
            at = regular if is_regular else ragged
            last = at
            if at in wanted:
                text = part.form.delimiter.join(row)[:_KEPT_CHARACTERS]
                found[at] = Place(part.name, line, text)
            regular += is_regular
            ragged -= not is_regular
    if last in found and not is_ended(part.form):
        found[last] = found[last]._replace(is_cut=True)
    unknown = Place(part.name, 1)
    return {row: found.get(row, unknown) for row in wanted}


@contextmanager
def _rows(form: CsvForm) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Open a file and yield its rows, each with the line on which it begins."""
    pa.default_memory_pool().release_unused()  # which a long line took when Arrow read it
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with io.TextIOWrapper(form.open_text(), "utf-8", newline="") as text:
            lines = islice(text, form.header_line, None)
            short = _shortened(lines, form.delimiter, columns=len(form.names))
            yield _numbered(short, form.delimiter, form.header_line)
    finally:
        csv.field_size_limit(limit)


def _shortened(lines: Iterable[str], delimiter: str, *, columns: int) -> Iterator[str]:
    """Yield lines with the values of very long ones cut: a parser takes many times their length.

    Only a line outside of quotes and without any is cut; it stays as wide, or too wide.
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


def explain(form: CsvForm, name: str, error: Exception) -> DataRefused:
    """Return the refusal of a file that Arrow could not read.

    Args:
        form: of the file.
        name: of the file.
        error: what Arrow raised.
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
        DataRefused: naming the first line of such bytes.
    """
    if found := _undecodable(form, name):
        raise found


def no_rows(name: str) -> DataRefused:
    """Return the refusal of a file without a rating or movie."""
    return DataRefused(
        "there is no row below the header",
        "at least one row",
        "Check the export that writes this file.",
        name,
    )


def _undecodable(form: CsvForm, name: str) -> DataRefused | None:
    """Return the refusal of a file with bytes that are not in its encoding; None: all are."""
    if "\n".encode(form.encoding) != b"\n":
        return None  # lines are not to be told apart before decoding
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
