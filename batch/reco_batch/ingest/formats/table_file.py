"""Input files of every format behind one class, and the locations of their rows.

A format subclasses `TableFile`; `registry` is the table of formats.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import pyarrow as pa
from pyarrow.csv import InvalidRow

from reco_batch.data.columns import Kind
from reco_batch.ingest.formats.storage import Place

#: Arrow type of a column of ids: each different id is stored once.
ID_TYPE: Final = pa.dictionary(pa.int32(), pa.string())


class RowLocation(NamedTuple):
    """Location of a row in an input file, with its text for messages."""

    file: str
    line: int
    """Line number; the header is line 1, and in Parquet the first row is line 2."""
    text: str = ""
    """Text of the row in the file, shortened; empty for binary formats."""
    is_cut: bool = False
    """True for the last row of a file that does not end with a line break."""
    order: tuple[int, int] = (0, 0)
    """Sort key: number of the part, then the line."""


class TextForm(NamedTuple):
    """Facts about text files that the files themselves do not contain."""

    encoding: str
    names: tuple[str, ...]
    """Names of the columns of both tables, by which a header is recognised."""
    plain: tuple[str, ...]
    """Names of the columns that contain neither line breaks nor quotes."""


class ReadMode(NamedTuple):
    """Irregularities that the CSV reader accepts. Each costs time, and few files need one."""

    line_breaks: bool = False
    """Values may contain line breaks although the file has no column of free text."""
    ragged: bool = False
    """Rows may be wider or narrower than the header."""
    as_text: bool = False
    """Some stars or times are no plain numbers."""


class ReadAgain(Exception):
    """Signal that a table must be read again from its start, in another mode."""

    def __init__(self, mode: ReadMode) -> None:
        """Keep the mode."""
        super().__init__(mode)
        self.mode = mode


class ReadRequest(NamedTuple):
    """Columns to read, and how to treat irregular rows."""

    columns: Mapping[str, int]
    """Name of each column to return -> its position in the file."""
    kinds: Mapping[str, Kind]
    """Kind of each column to return."""
    mode: ReadMode
    on_ragged: Callable[[Sequence[InvalidRow]], None]
    """Called with rows of another width than the header's, before the batch that follows them."""


@dataclass(frozen=True, kw_only=True)
class TableFile(ABC):
    """One input file of a table, after its header has been read."""

    path: Place
    name: str
    """File name below the folder of the data set, for messages."""
    format_name: str
    """Format in messages, such as "Parquet"."""
    column_names: Sequence[str]
    """Column names in file order, spelled as in the file."""
    column_types: Sequence[pa.DataType] | None = None
    """Arrow type of each column; None for text formats."""
    notes: Sequence[str] = ()
    """Notes on unusual properties of the file, and how each was read."""
    header_line: int | None = None
    """Line of the header; None for binary formats."""
    delimiter: str = ","
    """Separator of the columns in a text format."""

    is_ordered: ClassVar[bool] = True
    """False if the rows may be in another order each time."""

    @property
    def is_text(self) -> bool:
        """True for formats whose values are all text."""
        return self.column_types is None

    @abstractmethod
    def batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the requested columns, batch by batch, under the requested names.

        Raises:
            DataRefused: the content is damaged.
            ReadAgain: the file needs another mode.
            pa.ArrowException, OSError: the file cannot be read.
        """

    def locate(self, rows: Collection[int]) -> dict[int, RowLocation]:
        """Return the location of each row: numbered from 0, or -1, -2, ... if ragged.

        Cost:
            Nothing for binary formats; one pass over a text file, about a microsecond a row.
        """
        return {row: RowLocation(self.name, row + 2) for row in rows}

    def is_ended(self) -> bool:
        """Return whether the last row is complete, as far as the file shows it."""
        return True


@dataclass
class Part:
    """One file of a table, with the number of rows read from it so far."""

    file: TableFile
    columns: Mapping[str, int]
    """Name of each column to read -> its position in the file."""
    rows: int = 0
    """Rows as wide as the header."""
    ragged: int = 0
    """Rows wider or narrower than the header."""


class RowLocator:
    """Locations of the rows of one table.

    Rows as wide as the header are numbered from 0 over all parts, ragged rows -1, -2, ...
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def locate(self, rows: Sequence[int]) -> dict[int, RowLocation]:
        """Return the location of each of the given rows.

        Cost:
            One pass over each text file that has one of them, about a microsecond a row.
        """
        found: dict[int, RowLocation] = {}
        first = ragged = 0
        for number, part in enumerate(self._parts):
            here = {row - first: row for row in rows if first <= row < first + part.rows}
            here |= {row + ragged: row for row in rows if -ragged - part.ragged <= row < -ragged}
            located = part.file.locate(here) if here else {}
            for row, location in located.items():
                found[here[row]] = location._replace(order=(number, location.line))
            first += part.rows
            ragged += part.ragged
        return found


class RowNumbers(RowLocator):
    """Locations in a table that was not read from a file: row numbers in place of lines."""

    def __init__(self, name: str) -> None:
        super().__init__(())
        self._name = name

    def locate(self, rows: Sequence[int]) -> dict[int, RowLocation]:
        """Return the row numbers as line numbers."""
        return {row: RowLocation(self._name, row + 2, order=(0, row)) for row in rows}
