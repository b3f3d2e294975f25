"""Reader of one table: batches of its files become columns of the right kind.

Unusable rows are set aside (`bad_rows`). A file that is damaged, or whose values are ambiguous, is
refused.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.csv import InvalidRow

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows, Fault, describe_value, no_rows, value_fault
from reco_batch.ingest.conversion.converted_column import Converted, TimeForm
from reco_batch.ingest.conversion.type_matrix import convert
from reco_batch.ingest.formats.csv_diagnosis import (
    ragged,
    require_one_line,
    whole_rows,
)
from reco_batch.ingest.formats.path_checks import reading
from reco_batch.ingest.formats.table_file import (
    ID_TYPE,
    Part,
    ReadMode,
    ReadRequest,
    RowLocation,
    RowLocator,
)
from reco_batch.ingest.input_files import InputFile
from reco_batch.ingest.tables import Table
from reco_store.prefetch import prefetch

#: Arrow types of the columns of a table, by kind.
_TYPES: Final = {
    c.Kind.ID: ID_TYPE,
    c.Kind.STARS: pa.float64(),
    c.Kind.TIME: pa.int64(),
    c.Kind.TITLE: pa.string(),
    c.Kind.GENRES: pa.string(),
    c.Kind.FLAG: pa.bool_(),
    c.Kind.ATTRIBUTE: pa.string(),
}

#: Forms whose prefix is a valid time again.
_NUMERIC: Final = (
    TimeForm.SECONDS,
    TimeForm.MILLISECONDS,
    TimeForm.MICROSECONDS,
    TimeForm.NANOSECONDS,
)


class OpenTable(NamedTuple):
    """Table whose headers have been read and checked."""

    table: Table
    file: InputFile
    parts: list[Part]
    notes: list[str]
    kinds: Mapping[str, c.Kind]
    """Kind of each column that is read, attributes among them."""


class TableReader:
    """Reader of one table, batch by batch."""

    def __init__(self, opened: OpenTable, bad: BadRows, mode: ReadMode) -> None:
        self.name = opened.file.name
        self.lines = RowLocator(opened.parts)
        self.notes = list(opened.notes)
        self._parts = opened.parts
        self._kinds = opened.kinds
        self._labels = opened.table.names
        self._bad = bad
        self._mode = mode
        self._tables: list[pa.Table] = []
        self._indices: list[NDArray[np.int64] | range] = []
        self._rows = 0  # as wide as the header, over all parts
        self._dropped = 0
        self._headers = 0
        self._blank = 0
        self._forms: dict[TimeForm, int] = {}
        for part in opened.parts:
            part.rows = part.ragged = 0

    def read(self) -> pd.DataFrame:
        """Return the table.

        Raises:
            DataRefused: a part is damaged, there is no row, or times are of two forms.
        """
        for part in self._parts:
            first = len(self._tables)
            with reading(part.file.path, part.file.name, part.file.format_name):
                request = ReadRequest(
                    part.columns, self._kinds, self._mode, partial(self._take_ragged, part)
                )
                batches = part.file.batches(request)
                # Ragged rows are handed over between batches, so these wait for each other.
                for batch in batches if self._mode.ragged else prefetch(batches):
                    self._take(part, batch)
            self._require_one_form()
            if c.TIMESTAMP in part.columns:
                times = [table[c.TIMESTAMP] for table in self._tables[first:] if table.num_rows]
                _require_uncut(
                    times, self._forms, part.file.is_ended, lambda: self._locate(self._rows - 1)
                )
        kept = sum(table.num_rows for table in self._tables)
        if not kept and not self._bad.counts:
            raise no_rows(self.name)
        self._note_dropped()
        return self._frame(kept)

    def _frame(self, kept: int) -> pd.DataFrame:
        schema = pa.schema([(name, _TYPES[self._kinds[name]]) for name in self._columns])
        tables = _alike(self._tables) or [schema.empty_table()]
        table = pa.concat_tables(tables).unify_dictionaries()
        del tables
        self._tables.clear()  # so that each column is freed as soon as pandas has copied it
        frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        if self._dropped:
            frame = used_only(frame)
        frame.index = (
            pd.Index(np.concatenate([np.asarray(one) for one in self._indices]) + 2)
            if self._dropped
            else pd.RangeIndex(2, kept + 2)
        )
        return frame

    @property
    def _columns(self) -> Sequence[str]:
        return list(self._parts[0].columns)

    def _take_ragged(self, part: Part, rows: Sequence[InvalidRow]) -> None:
        """Count rows of another width than the header's.

        Raises:
            DataRefused: such a row shows that the file is damaged.
        """
        before = sum(other.ragged for other in self._parts)
        part.ragged += len(rows)
        numbers = [-1 - before - i for i in range(len(rows))]
        wanted = whole_rows(len(part.file.column_names))
        for number, row in zip(numbers, rows, strict=True):
            require_one_line(row, wanted, partial(self._locate, number))
        self._bad.add(Fault(self.name, "", wanted), numbers, lambda at: ragged(rows[at]))

    def _locate(self, number: int) -> RowLocation:
        return self.lines.locate([number])[number]

    def _take(self, part: Part, batch: pa.RecordBatch) -> None:
        """Convert a batch and keep its good rows."""
        first, self._rows = self._rows, self._rows + batch.num_rows
        part.rows += batch.num_rows
        numbers = np.arange(first, self._rows)
        if part.file.is_text:
            repeated = _repeated_header(batch, part)
            if repeated is not None:
                self._headers += int(repeated.sum())
                batch, numbers = batch.filter(pa.array(~repeated)), numbers[~repeated]
        found = {
            column: convert(self._kinds[column], array, coded=part.file.is_text)
            for column, array in zip(batch.schema.names, batch.columns, strict=True)
        }
        for one_column in found.values():
            for form, row in one_column.forms.items():
                self._forms.setdefault(form, int(numbers[row]))
        bad = self._take_bad(batch, found, numbers, is_text=part.file.is_text)
        table = pa.Table.from_arrays([one.array for one in found.values()], names=list(found))
        if bad is not None:
            table, numbers = table.filter(pa.array(~bad)), numbers[~bad]
        self._dropped += self._rows - first - table.num_rows
        is_whole = len(numbers) == self._rows - first
        self._indices.append(range(first, self._rows) if is_whole else numbers)
        self._tables.append(table)

    def _take_bad(
        self,
        batch: pa.RecordBatch,
        found: Mapping[str, Converted],
        numbers: NDArray[np.int64],
        *,
        is_text: bool,
    ) -> NDArray[np.bool_] | None:
        """Return flags of the rows without a usable value, [N]; None if there are none."""
        lacking = [
            column
            for column, one in found.items()
            if one.unreadable is not None or (one.array.null_count and not self._may_lack(column))
        ]
        if not lacking:
            return None
        bad = self._blank_rows(batch) if is_text else np.zeros(len(batch), bool)
        self._blank += int(bad.sum())
        for column in lacking:
            array, unreadable, _ = found[column]
            if unreadable is not None:
                bad |= self._add_bad(batch, column, unreadable & ~bad, numbers, is_missing=False)
            missing = np.asarray(array.is_null())
            if missing.any() and not self._may_lack(column):
                if unreadable is not None:
                    missing &= ~unreadable
                bad |= self._add_bad(batch, column, missing & ~bad, numbers, is_missing=True)
        return bad

    def _may_lack(self, column: str) -> bool:
        """Return whether a row without a value in a column is usable."""
        return column == c.RELEASED or self._kinds[column] in c.MAY_LACK

    def _blank_rows(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return flags of the rows whose values are all empty, but for attributes."""
        read = [name for name in batch.schema.names if self._kinds[name] is not c.Kind.ATTRIBUTE]
        return _blank(batch.select(read))

    def _require_one_form(self) -> None:
        """Refuse times of two forms."""
        column = next((one for one, kind in self._kinds.items() if kind is c.Kind.TIME), "")
        _require_one_form(self._labels.get(column, column), self._forms, self.lines)

    def _add_bad(
        self,
        batch: pa.RecordBatch,
        column: str,
        rows: NDArray[np.bool_],
        numbers: NDArray[np.int64],
        *,
        is_missing: bool,
    ) -> NDArray[np.bool_]:
        label = self._labels.get(column, column)
        fault = value_fault(self.name, label, self._kinds[column], is_missing=is_missing)
        at = np.flatnonzero(rows)
        values = batch.column(column)

        def found(position: int) -> str:
            value = values[int(at[position])].as_py()
            return describe_value(value, label, self._kinds[column], is_missing=is_missing)

        self._bad.add(fault, numbers[at], found)
        return rows

    def _note_dropped(self) -> None:
        for count, what in ((self._headers, "a repetition of the header"), (self._blank, "empty")):
            if count == 1:
                self.notes.append(f"{self.name}: one row is {what}, and is skipped")
            elif count:
                plural = what.replace("a repetition", "repetitions")
                self.notes.append(f"{self.name}: {count:,} rows are {plural}, and are skipped")


def used_only(frame: pd.DataFrame) -> pd.DataFrame:
    """Remove the ids that only left-out rows have."""
    coded = frame.select_dtypes("category").columns
    return frame.assign(**{name: frame[name].cat.remove_unused_categories() for name in coded})


def _repeated_header(batch: pa.RecordBatch, part: Part) -> NDArray[np.bool_] | None:
    """Return the rows that repeat the header, as after `cat` of several files; None: none."""
    names = [part.file.column_names[at].strip(" \t\ufeff") for at in part.columns.values()]
    first = batch.column(0).dictionary
    if not pc.any(pc.equal(_stripped(first), names[0])).as_py():
        return None
    same = np.ones(len(batch), bool)
    for array, name in zip(batch.columns, names, strict=True):
        equal = pc.equal(_stripped(pc.cast(array, pa.string())), name)
        same &= equal.to_numpy(zero_copy_only=False)
    return same if same.any() else None


def _stripped(texts: pa.Array) -> pa.Array:
    return pc.utf8_trim(texts, " \t\ufeff")


def _alike(tables: Sequence[pa.Table]) -> Sequence[pa.Table]:
    """Return tables with columns of the same types: attributes may be numbers in one part only."""
    if len({tuple(table.schema.types) for table in tables}) < 2:
        return tables
    schemas: dict[str, pa.DataType] = {}
    for table in tables:
        for field in table.schema:
            first = schemas.setdefault(field.name, field.type)
            if field.type != first:
                schemas[field.name] = pa.string()
    return [table.cast(pa.schema(schemas)) for table in tables]


def _blank(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Return flags of the rows whose values are all empty, which spreadsheets write at the end."""
    blank = np.ones(len(batch), bool)
    for array in batch.columns:
        blank &= pc.equal(pc.cast(array, pa.string()), "").to_numpy(zero_copy_only=False)
    return blank


def _require_one_form(column: str, forms: Mapping[TimeForm, int], rows: RowLocator) -> None:
    """Refuse times of two forms.

    Args:
        column: name of the column in the files.
        forms: form -> first row.
        rows: locations of the rows.

    Raises:
        DataRefused: with the first line of both forms.
    """
    if len(forms) < 2:
        return
    (one, first), (other, second), *_ = sorted(forms.items(), key=lambda item: item[1])
    locations = rows.locate([first, second])
    here, there = locations[first], locations[second]
    if there.is_cut:
        raise _cut_off(there)
    file = "" if here.file == there.file else f"{here.file}, "
    raise DataRefused(
        f"{column} has {other} here, and {one} in {file}line {here.line}",
        "times of one form in all rows",
        "Write all times alike.",
        there.file,
        there.line,
    )


def _require_uncut(
    times: Sequence[pa.ChunkedArray],
    forms: Mapping[TimeForm, int],
    is_ended: Callable[[], bool],
    find: Callable[[], RowLocation],
) -> None:
    """Refuse a file whose last time lost its last digits.

    Args:
        times: times of its rows, in seconds since 1970; no array is empty.
        forms: the forms of the times.
        is_ended: returns whether the last line ends with a line break.
        find: returns the location of the last row.

    Raises:
        DataRefused: no line break ends the last line, and its time is far before all others.
    """
    if not times or forms.keys() - set(_NUMERIC):
        return
    others = [pc.min(array).as_py() for array in [*times[:-1], times[-1][:-1]] if len(array)]
    if others and _lacks_digits(times[-1][-1].as_py(), min(others)) and not is_ended():
        raise _cut_off(find())


def _lacks_digits(time: int, earliest: int) -> bool:
    """Return whether a time may have lost its last digits, by the earliest of all others."""
    return 0 <= 3 * time < earliest and len(str(time)) < len(str(earliest))


def _cut_off(location: RowLocation) -> DataRefused:
    return DataRefused(
        "the time of the last line is far before all others, and no line break follows it",
        "a whole file",
        "It was cut in the middle of that line: write it again.",
        location.file,
        location.line,
    )
