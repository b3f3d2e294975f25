"""JSON Lines as `TableFile`: one object a line, read by Arrow."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.json as pa_json

from reco_batch.data.columns import Kind
from reco_batch.ingest.formats.csv_form import opened
from reco_batch.ingest.formats.storage import Place, native
from reco_batch.ingest.formats.table_file import ReadRequest, RowLocation, TableFile

#: Largest block and longest line. The types of the columns are those of the first block.
_BLOCK_BYTES: Final = 16 << 20
_KEPT_CHARACTERS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class JsonFile(TableFile):
    """JSON Lines, plain or compressed."""

    compression: str
    """Ending of the compression, such as `.gz`; empty: not compressed."""

    def batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the requested columns, with whole numbers as floats, except ids.

        Raises:
            pa.ArrowException, OSError, EOFError: the file cannot be read.
        """
        types = self.column_types or ()
        fields = [
            (self.column_names[at], _wide(types[at], request.kinds[name]))
            for name, at in request.columns.items()
        ]
        options = pa_json.ParseOptions(
            explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore"
        )
        with open_lines(self.path, self.compression, options) as reader:
            for batch in reader:
                yield batch.select([name for name, _ in fields]).rename_columns(
                    list(request.columns)
                )

    def locate(self, rows: Collection[int]) -> dict[int, RowLocation]:
        """Return the line of each row, with its text."""
        found = {row: RowLocation(self.name, row + 1) for row in rows}
        row = -1
        with opened(self.path, self.compression) as stream:
            for number, line in enumerate(stream, 1):
                row += bool(line.strip())
                if row in found and line.strip():
                    text = line.decode("utf-8", "replace").strip()[:_KEPT_CHARACTERS]
                    found[row] = RowLocation(self.name, number, text)
        return found


def _wide(type_: pa.DataType, kind: Kind) -> pa.DataType:
    """Return a type that also accepts a fraction in a later block."""
    return pa.float64() if type_ == pa.int64() and kind is not Kind.ID else type_


def open_lines(
    path: Place, compression: str, options: pa_json.ParseOptions | None = None
) -> pa.RecordBatchReader:
    """Open JSON Lines as a stream of batches."""
    stream = pa.PythonFile(opened(path, compression), mode="r") if compression else native(path)
    return pa_json.open_json(
        stream, read_options=pa_json.ReadOptions(block_size=_BLOCK_BYTES), parse_options=options
    )
