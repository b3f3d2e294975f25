"""Reader of one table: batches of CSV or Parquet become columns of the right kind.

Unusable rows are set aside (`bad_rows`). A file that is damaged, or whose values are ambiguous, is
refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco_batch.data import columns as c
from reco_batch.ingest.bad_rows import BadRows, Fault, describe_value, value_fault
from reco_batch.ingest.conversions import convert
from reco_batch.ingest.converted import Converted, TimeForm
from reco_batch.ingest.csv_diagnosis import (
    Lines,
    Part,
    Place,
    explain,
    no_rows,
    ragged,
    reading,
    require_decodable,
    require_one_form,
    require_one_line,
    require_uncut,
    whole_rows,
)
from reco_batch.ingest.csv_form import CsvForm
from reco_batch.ingest.input_files import InputFile

_BLOCK_BYTES = 16 << 20
_CODED: Final = pa.dictionary(pa.int32(), pa.string())
#: Part of Arrow's error for a row wider or narrower than the header.
_RAGGED: Final = "CSV parse error: Expected"
#: Part of Arrow's error, among others, for a value that goes on after a line break.
_LINE_BREAK: Final = "newlines_in_values"
#: Types of the columns that are returned.
_TYPES: Final = {
    c.Kind.ID: _CODED,
    c.Kind.STARS: pa.float64(),
    c.Kind.TIME: pa.int64(),
    c.Kind.TITLE: pa.string(),
    c.Kind.GENRES: pa.string(),
}


class Table(NamedTuple):
    """One of the two tables that a data set has."""

    stem: str
    columns: Mapping[str, c.Kind]


class OpenPart(NamedTuple):
    """A file of which the header was read."""

    path: Path
    part: Part
    columns: Mapping[str, str]
    """Name in the file (CSV: position) by the name of the column."""


class OpenTable(NamedTuple):
    """A table whose headers were read and are good."""

    table: Table
    file: InputFile
    parts: list[OpenPart]
    notes: list[str]


class ReadMode(NamedTuple):
    """Irregularities that the CSV reader accepts; both cost time, and most files need neither."""

    line_breaks: bool = False
    """A value of a file without free text may go on after a line break."""
    ragged: bool = False
    """Rows may be wider or narrower than the header."""


class ReadAgain(Exception):
    """A file has to be read in another mode."""

    def __init__(self, mode: ReadMode) -> None:
        """Keep the mode."""
        super().__init__(mode)
        self.mode = mode


class TableReader:
    """Reads one table, batch by batch."""

    def __init__(self, opened: OpenTable, bad: BadRows, mode: ReadMode) -> None:
        self.name = opened.file.name
        self.lines = Lines([one.part for one in opened.parts])
        self.notes = list(opened.notes)
        self._opened = opened
        self._kinds = opened.table.columns
        self._bad = bad
        self._mode = mode
        self._tables: list[pa.Table] = []
        self._indices: list[NDArray[np.int64] | range] = []
        self._rows = 0  # as wide as the header, over all parts
        self._dropped = 0
        self._headers = 0
        self._blank = 0
        self._forms: dict[TimeForm, int] = {}
        for one in opened.parts:
            one.part.rows = one.part.ragged = 0

    def read(self) -> pd.DataFrame:
        """Return the table.

        Raises:
            DataRefused: a part is damaged, there is no row, or times are of two forms.
        """
        for one in self._opened.parts:
            with reading(one.path, one.part.name):
                first = len(self._tables)
                for batch in self._batches(one):
                    self._take(one, batch)
            require_one_form(self._forms, self.lines)
            if one.part.form is not None and c.TIMESTAMP in one.columns:
                times = [table[c.TIMESTAMP] for table in self._tables[first:] if table.num_rows]
                require_uncut(
                    one.part.form, times, self._forms, lambda: self._place(self._rows - 1)
                )
        kept = sum(table.num_rows for table in self._tables)
        if not kept and not self._bad.counts:
            raise no_rows(self.name)
        self._note_dropped()
        return self._frame(kept)

    def _frame(self, kept: int) -> pd.DataFrame:
        schema = pa.schema([(name, _TYPES[self._kinds[name]]) for name in self._columns])
        tables = self._tables or [schema.empty_table()]
        table = pa.concat_tables(tables).unify_dictionaries()
        del tables
        self._tables.clear()  # so that each column is let go of as soon as pandas has it
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
        return list(self._opened.parts[0].columns)

    def _batches(self, one: OpenPart) -> Iterator[pa.RecordBatch]:
        if one.part.form is None:
            # Not buffered ahead: that would keep the whole file in memory next to its arrays.
            with pq.ParquetFile(one.path, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(columns=list(one.columns.values())):
                    chosen = batch.select(list(one.columns.values()))
                    yield chosen.rename_columns(list(one.columns))
        else:
            yield from self._csv_batches(one, one.part.form)

    def _csv_batches(self, one: OpenPart, form: CsvForm) -> Iterator[pa.RecordBatch]:
        if self._mode.ragged:
            require_decodable(form, one.part.name)
        seen: list[pa_csv.InvalidRow] = []
        ids = [at for column, at in one.columns.items() if self._kinds[column] is c.Kind.ID]
        try:
            with (
                form.open() as stream,
                pa_csv.open_csv(
                    stream,
                    read_options=pa_csv.ReadOptions(
                        block_size=_BLOCK_BYTES,
                        column_names=[str(i) for i in range(len(form.names))],
                    ),
                    parse_options=pa_csv.ParseOptions(
                        delimiter=form.delimiter,
                        # Allowing it slows the big file down.
                        newlines_in_values=form.has_text or self._mode.line_breaks,
                        # It takes text only, so a file of other bytes must be refused before.
                        invalid_row_handler=_collecting(seen) if self._mode.ragged else None,
                    ),
                    # Numbers are text at first: messages quote an invalid one as it is in the file.
                    convert_options=pa_csv.ConvertOptions(
                        include_columns=list(one.columns.values()),
                        column_types={
                            at: _CODED if at in ids else pa.string() for at in one.columns.values()
                        },
                        strings_can_be_null=False,
                    ),
                ) as reader,
            ):
                for batch in reader:
                    self._take_ragged(one, form, seen)
                    yield batch.rename_columns(list(one.columns))
        except (pa.ArrowInvalid, UnicodeError) as error:  # the latter for other encodings
            if _LINE_BREAK in str(error) and not self._mode.line_breaks:
                raise ReadAgain(self._mode._replace(line_breaks=True)) from error
            if _RAGGED in str(error) and not self._mode.ragged:
                raise ReadAgain(self._mode._replace(ragged=True)) from error
            if "Empty CSV file" not in str(error):
                raise explain(form, one.part.name, error) from error
        self._take_ragged(one, form, seen)

    def _take_ragged(self, one: OpenPart, form: CsvForm, seen: list[pa_csv.InvalidRow]) -> None:
        """Count rows of another width than the header's.

        Raises:
            DataRefused: such a row shows that the file is damaged.
        """
        rows = seen.copy()
        seen.clear()
        if not rows:
            return
        before = sum(other.part.ragged for other in self._opened.parts)
        one.part.ragged += len(rows)
        numbers = [-1 - before - i for i in range(len(rows))]
        wanted = whole_rows(len(form.names))
        for number, row in zip(numbers, rows, strict=True):
            require_one_line(row, wanted, partial(self._place, number))
        self._bad.add(Fault(self.name, "", wanted), numbers, lambda at: ragged(rows[at]))

    def _place(self, number: int) -> Place:
        return self.lines.places([number])[number]

    def _take(self, one: OpenPart, batch: pa.RecordBatch) -> None:
        """Convert a batch, and keep its good rows."""
        first, self._rows = self._rows, self._rows + batch.num_rows
        one.part.rows += batch.num_rows
        numbers = np.arange(first, self._rows)
        if one.part.form is not None:
            repeated = _repeated_header(batch, one, one.part.form)
            if repeated is not None:
                self._headers += int(repeated.sum())
                batch, numbers = batch.filter(pa.array(~repeated)), numbers[~repeated]
        found = {
            column: convert(self._kinds[column], array, coded=one.part.form is not None)
            for column, array in zip(batch.schema.names, batch.columns, strict=True)
        }
        for one_column in found.values():
            for form, row in one_column.forms.items():
                self._forms.setdefault(form, int(numbers[row]))
        bad = self._take_bad(batch, found, numbers, is_csv=one.part.form is not None)
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
        is_csv: bool,
    ) -> NDArray[np.bool_] | None:
        """Return the rows without a value that can be used, [N]; None: there is none."""
        lacking = [
            column
            for column, one in found.items()
            if one.unreadable is not None or one.array.null_count
        ]
        if not lacking:
            return None
        bad = _blank(batch) if is_csv else np.zeros(len(batch), bool)
        self._blank += int(bad.sum())
        for column in lacking:
            array, unreadable, _ = found[column]
            if unreadable is not None:
                bad |= self._add_bad(batch, column, unreadable & ~bad, numbers, is_missing=False)
            missing = np.asarray(array.is_null())
            if missing.any():
                if unreadable is not None:
                    missing &= ~unreadable
                bad |= self._add_bad(batch, column, missing & ~bad, numbers, is_missing=True)
        return bad

    def _add_bad(
        self,
        batch: pa.RecordBatch,
        column: str,
        rows: NDArray[np.bool_],
        numbers: NDArray[np.int64],
        *,
        is_missing: bool,
    ) -> NDArray[np.bool_]:
        fault = value_fault(self.name, column, self._kinds[column], is_missing=is_missing)
        at = np.flatnonzero(rows)
        values = batch.column(column)

        def found(position: int) -> str:
            value = values[int(at[position])].as_py()
            return describe_value(value, column, self._kinds[column], is_missing=is_missing)

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
    """Forget the ids of rows that were left out."""
    coded = frame.select_dtypes("category").columns
    return frame.assign(**{name: frame[name].cat.remove_unused_categories() for name in coded})


def _collecting(seen: list[pa_csv.InvalidRow]) -> Callable[[pa_csv.InvalidRow], str]:
    def take(row: pa_csv.InvalidRow) -> str:
        seen.append(row)
        return "skip"

    return take


def _repeated_header(
    batch: pa.RecordBatch, one: OpenPart, form: CsvForm
) -> NDArray[np.bool_] | None:
    """Return the rows that are the header again, as after `cat` of several files; None: none."""
    names = [form.names[int(at)].strip(" \t\ufeff") for at in one.columns.values()]
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


def _blank(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Return the rows of which every value is empty, as spreadsheets leave them at the end."""
    blank = np.ones(len(batch), bool)
    for array in batch.columns:
        blank &= pc.equal(pc.cast(array, pa.string()), "").to_numpy(zero_copy_only=False)
    return blank
