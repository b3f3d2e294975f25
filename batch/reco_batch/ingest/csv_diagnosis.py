"""Lines of rows, and refusals of damaged files, mostly found by a second, slow look at a file.

Arrow reports neither the line of a row nor, for most encodings, the bytes that it could not read.
Only files with something to report are looked at again.
"""

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import InvalidRow

from reco_batch.errors import DataRefused
from reco_batch.ingest.converted import TimeForm
from reco_batch.ingest.csv_form import CsvForm
from reco_batch.ingest.input_files import refusal

_SHOWN_CHARACTERS: Final = 80
_KEPT_CHARACTERS: Final = 1000
_LONG_LINE: Final = 1 << 20  # characters
#: Forms of which a part is a number again.
_NUMERIC: Final = (
    TimeForm.SECONDS,
    TimeForm.MILLISECONDS,
    TimeForm.MICROSECONDS,
    TimeForm.NANOSECONDS,
)
_CUT: Final = "Write or copy it again: it was probably cut on the way."


class Place(NamedTuple):
    """Location of a row: file and line, with its text for messages."""

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


def whole_rows(width: int) -> str:
    """Return the expected form of every row of a file, for messages."""
    return f"{width} values, as in the header, and quotes closed"


def ragged(row: InvalidRow) -> str:
    """Return a row wider or narrower than the header in words, for messages."""
    return f"{row.actual_columns} values in {row.text[:_SHOWN_CHARACTERS]!r}"


def require_one_line(row: InvalidRow, wanted: str, find: Callable[[], Place]) -> None:
    """Refuse a file with a row of another width that no export writes.

    Args:
        row: the row, wider or narrower than the header.
        wanted: the expected form of every row, for the message.
        find: returns the place of the row.

    Raises:
        DataRefused: the row is NUL bytes, or goes on over several lines.
    """
    if not row.text.strip("\0\r\n"):
        place = find()
        raise DataRefused(
            f"{len(row.text):,} NUL bytes",
            "rows only",
            "A crash or a full disk leaves such an end: write the file again.",
            place.file,
            place.line,
        )
    if "\n" in row.text.strip("\r\n"):
        place = find()
        raise DataRefused(
            ragged(row),
            wanted,
            "Close the quote that this row opens, or double it inside of a value.",
            place.file,
            place.line,
        )


def require_one_form(forms: Mapping[TimeForm, int], lines: Lines) -> None:
    """Refuse times of two forms.

    Args:
        forms: the first row of each form.
        lines: finds the lines of the rows.

    Raises:
        DataRefused: naming the first line of each.
    """
    if len(forms) < 2:
        return
    (one, first), (other, second), *_ = sorted(forms.items(), key=lambda item: item[1])
    places = lines.places([first, second])
    here, there = places[first], places[second]
    if there.is_cut:
        raise _cut_off(there)
    file = "" if here.file == there.file else f"{here.file}, "
    raise DataRefused(
        f"timestamp has {other} here, and {one} in {file}line {here.line}",
        "times of one form in all rows",
        "Write all times alike.",
        there.file,
        there.line,
    )


def require_uncut(
    form: CsvForm,
    times: Sequence[pa.ChunkedArray],
    forms: Mapping[TimeForm, int],
    find: Callable[[], Place],
) -> None:
    """Refuse a file of which the last time lost its last digits.

    Args:
        form: of the file.
        times: of its rows, in seconds; no part is empty.
        forms: the forms of the times.
        find: returns the place of the last row.

    Raises:
        DataRefused: the last line has no end, and a time far before all others.
    """
    if not times or forms.keys() - set(_NUMERIC):
        return
    others = [pc.min(array).as_py() for array in [*times[:-1], times[-1][:-1]] if len(array)]
    if others and _lacks_digits(times[-1][-1].as_py(), min(others)) and not is_ended(form):
        raise _cut_off(find())


def _lacks_digits(time: int, earliest: int) -> bool:
    """Return whether a time may have lost its last digits, by the earliest of all others."""
    return 0 <= 3 * time < earliest and len(str(time)) < len(str(earliest))


def _cut_off(place: Place) -> DataRefused:
    return DataRefused(
        "the time of the last line is far before all others, and no line break follows it",
        "a whole file",
        "It was cut in the middle of that line: write it again.",
        place.file,
        place.line,
    )


@contextmanager
def reading(path: Path, name: str) -> Iterator[None]:
    """Turn the errors of the libraries that read a file into refusals.

    Raises:
        DataRefused: the file cannot be read.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataRefused(
            f"the file cannot be decompressed to its end ({error})",
            "a whole gzip file",
            _CUT,
            name,
        ) from error
    except pa.ArrowException as error:
        raise no_parquet(name, str(error).splitlines()[0][:200]) from error
    except OSError as error:
        if error.errno is None:  # of Arrow, about the content
            raise no_parquet(name, str(error).splitlines()[0][:200]) from error
        raise refusal(path, error) from error


def no_parquet(name: str, reason: str) -> DataRefused:
    """Return the refusal of a file that is no Parquet although its name, or its start, is."""
    return DataRefused(
        f"the file is not readable Parquet ({reason})",
        "a whole Parquet file",
        "Write or copy it again, or name it .csv if it is CSV.",
        name,
    )


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
