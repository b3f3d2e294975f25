"""CSV files as `TableFile`: batches read by Arrow, and lines of rows found in a second pass."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from reco_batch.data.columns import Kind
from reco_batch.ingest.formats.csv_diagnosis import explain, is_ended, locate, require_decodable
from reco_batch.ingest.formats.csv_form import CsvForm
from reco_batch.ingest.formats.table_file import (
    ID_TYPE,
    ReadAgain,
    ReadRequest,
    RowLocation,
    TableFile,
)

_BLOCK_BYTES = 16 << 20
#: Types of columns that are not read as text. Attributes may contain bytes of any encoding.
_TYPES: Final = {Kind.ID: ID_TYPE, Kind.ATTRIBUTE: pa.binary()}
#: Types of columns that are read as text only if a value is no plain number.
_NUMBERS: Final = {Kind.STARS: pa.float64(), Kind.TIME: pa.int64()}
#: Parts of Arrow's errors for such a value.
_NO_NUMBER: Final = ("CSV conversion error to double", "CSV conversion error to int64")
#: Part of Arrow's error for a row wider or narrower than the header.
_RAGGED: Final = "CSV parse error: Expected"
#: Part of Arrow's error, among others, for a value that goes on after a line break.
_LINE_BREAK: Final = "newlines_in_values"


@dataclass(frozen=True, kw_only=True)
class CsvFile(TableFile):
    """CSV file, plain or compressed."""

    form: CsvForm

    def batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the requested columns as text, ids as dictionaries of text.

        Stars and times are numbers unless the mode asks for text.

        Raises:
            DataRefused: the content is damaged.
            ReadAgain: the file needs another mode.
        """
        if request.mode.ragged:
            require_decodable(self.form, self.name)
        ragged: list[pa_csv.InvalidRow] = []
        try:
            with self.form.open() as stream, self._open_csv(stream, request, ragged) as reader:
                for batch in reader:
                    _hand_over(ragged, request)
                    yield batch.rename_columns(list(request.columns))
        except (pa.ArrowInvalid, UnicodeError) as error:  # the latter for other encodings
            if _LINE_BREAK in str(error) and not request.mode.line_breaks:
                raise ReadAgain(request.mode._replace(line_breaks=True)) from error
            no_number = any(part in str(error) for part in _NO_NUMBER)
            if no_number and not request.mode.as_text:
                raise ReadAgain(request.mode._replace(as_text=True)) from error
            if _RAGGED in str(error) and not request.mode.ragged:
                raise ReadAgain(request.mode._replace(ragged=True)) from error
            if "Empty CSV file" not in str(error):
                raise explain(self.form, self.name, error) from error
        _hand_over(ragged, request)

    def _open_csv(
        self, stream: pa.NativeFile, request: ReadRequest, ragged: list[pa_csv.InvalidRow]
    ) -> pa_csv.CSVStreamingReader:
        columns = {str(at): name for name, at in request.columns.items()}
        types = _TYPES if request.mode.as_text else {**_TYPES, **_NUMBERS}
        return pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(
                block_size=_BLOCK_BYTES,
                column_names=[str(at) for at in range(len(self.column_names))],
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=self.delimiter,
                # Line breaks in values slow the reader down, so they are allowed only if needed.
                newlines_in_values=self.form.has_text or request.mode.line_breaks,
                # The handler accepts UTF-8 only: other bytes were refused above.
                invalid_row_handler=_collecting(ragged) if request.mode.ragged else None,
            ),
            # A missing number is an error, so that it is read as text: messages quote a missing or
            # unreadable one as it is in the file.
            convert_options=pa_csv.ConvertOptions(
                include_columns=list(columns),
                column_types={
                    at: types.get(request.kinds[name], pa.string()) for at, name in columns.items()
                },
                null_values=[],
                strings_can_be_null=False,
            ),
        )

    def locate(self, rows: Collection[int]) -> dict[int, RowLocation]:
        """Return the location of each row: numbered from 0, or -1, -2, ... if ragged."""
        return locate(self.form, self.name, rows)

    def is_ended(self) -> bool:
        """Return whether the last line ends with a line break."""
        return is_ended(self.form)


def _hand_over(ragged: list[pa_csv.InvalidRow], request: ReadRequest) -> None:
    rows = ragged.copy()
    ragged.clear()
    if rows:
        request.on_ragged(rows)


def _collecting(ragged: list[pa_csv.InvalidRow]) -> Callable[[pa_csv.InvalidRow], str]:
    def take(row: pa_csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    return take
