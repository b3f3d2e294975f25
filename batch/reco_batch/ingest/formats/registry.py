"""Registry of the file formats of input and simulated tables: one record a format.

A new format is a subclass of `TableFile`, a function that opens a file, a function that writes one,
and a record in `FORMATS`. Files are recognised by their first bytes; all others are CSV.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.csv_file import CsvFile
from reco_batch.ingest.formats.csv_form import GZIP, ZSTD, Head, csv_form, read_head
from reco_batch.ingest.formats.json_file import JsonFile, open_lines
from reco_batch.ingest.formats.path_checks import damaged, reading
from reco_batch.ingest.formats.storage import Place, StoredFile
from reco_batch.ingest.formats.table_file import ReadRequest, TableFile, TextForm

Write = Callable[[pa.RecordBatch], None]


class Format(NamedTuple):
    """File format: how its files are recognised, read and written."""

    name: str
    """Name in messages."""
    endings: tuple[str, ...]
    """Endings of the file names that are read."""
    magic: bytes
    """First bytes of every file; empty for text, which has none."""
    misnamed: Mapping[str, str]
    """Other endings in use for the format -> the ending to rename to."""
    open: Callable[[Place, str, TextForm], TableFile]
    """Read the header of a file, given its path, its name in messages and the form of text."""
    write: Callable[[Path, pa.Schema], AbstractContextManager[Write]]
    """Open a file for writing and yield a function that appends a batch."""


@dataclass(frozen=True, kw_only=True)
class _ParquetFile(TableFile):
    """Parquet file."""

    def batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        names = [self.column_names[at] for at in request.columns.values()]
        # Not buffered ahead: that would keep the whole file in memory next to its arrays.
        with _parquet(self.path) as parquet:
            for batch in parquet.iter_batches(columns=names):
                yield batch.select(names).rename_columns(list(request.columns))


def _parquet(path: Place) -> pq.ParquetFile:
    source = path.native() if isinstance(path, StoredFile) else path
    return pq.ParquetFile(source, pre_buffer=False)


def _open_parquet(path: Place, name: str, _text: TextForm) -> TableFile:
    with _parquet(path) as parquet:
        schema = parquet.schema_arrow
    return _ParquetFile(
        path=path,
        name=name,
        format_name="Parquet",
        column_names=schema.names,
        column_types=schema.types,
    )


@contextmanager
def _write_parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_batch


def _open_text(path: Place, name: str, text: TextForm) -> TableFile:
    head = read_head(path)
    _require_text(head.content, name)
    is_json = head.content.lstrip(_BLANKS)[:1] == b"{"
    return (_open_json if is_json else _open_csv)(path, name, text, head)


def _open_json(path: Place, name: str, _text: TextForm, head: Head) -> TableFile:
    with reading(path, name, _JSON), open_lines(path, head.compression) as reader:
        schema = reader.schema
    return JsonFile(
        path=path,
        name=name,
        format_name=_JSON,
        column_names=schema.names,
        column_types=schema.types,
        compression=head.compression,
    )


@contextmanager
def _write_json(path: Path, schema: pa.Schema) -> Iterator[Write]:  # noqa: ARG001  # of the batches
    with path.open("wb") as stream:
        yield lambda batch: stream.writelines(
            orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch.to_pylist()
        )


def _open_csv(path: Place, name: str, text: TextForm, head: Head) -> TableFile:
    form, notes = csv_form(path, name, text, head)
    return CsvFile(
        path=path,
        name=name,
        format_name="CSV",
        column_names=form.names,
        notes=notes,
        header_line=form.header_line,
        delimiter=form.delimiter,
        form=form,
    )


@contextmanager
def _write_csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with path.open("wb") as stream:
        stream.write(f"{','.join(schema.names)}\n".encode())  # pyarrow would put it in quotes
        options = pa_csv.WriteOptions(include_header=False)
        with pa_csv.CSVWriter(stream, schema, write_options=options) as writer:
            yield writer.write_batch


_JSON: Final = "JSON Lines"
#: Formats by the name that `batch simulate --format` takes, which is the ending it writes.
FORMATS: Final[Mapping[str, Format]] = {
    "csv": Format(
        "CSV",
        (".csv", ".csv.gz", ".csv.zst"),
        b"",
        {
            **dict.fromkeys(("csv", "tsv", "txt", "dat", "data"), ".csv"),
            "gz": ".csv.gz",
            "zst": ".csv.zst",
        },
        _open_text,
        _write_csv,
    ),
    "parquet": Format(
        "Parquet",
        (".parquet",),
        b"PAR1",
        dict.fromkeys(("parquet", "pq"), ".parquet"),
        _open_parquet,
        _write_parquet,
    ),
    "jsonl": Format(
        _JSON,
        (".jsonl", ".jsonl.gz", ".jsonl.zst"),
        b"",
        dict.fromkeys(("json", "ndjson", "jsonlines"), ".jsonl"),
        _open_text,
        _write_json,
    ),
}
ENDINGS: Final = tuple(ending for one in FORMATS.values() for ending in one.endings)
#: Names of all formats, for messages.
FORMAT_NAMES: Final = "CSV, Parquet or JSON Lines"
#: Bytes before the first character of a text.
_BLANKS: Final = b" \t\r\n\xef\xbb\xbf"

#: First bytes of kinds of files that are not read, the name of the kind, and the next step.
_NOT_READ: Final = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Unpack it, or save it as CSV."),
    (b"BZh", "compressed with bzip2", "Decompress it with bunzip2."),
    (b"\xfd7zXZ", "compressed with xz", "Decompress it with unxz."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it."),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "Save it as CSV."),
    (b"ORC", "an ORC file", "Write it as Parquet."),
    (b"Obj\x01", "an Avro file", "Write it as Parquet."),
    (b"ARROW1", "an Arrow or Feather file", "Write it as Parquet."),
    (b"SQLite format 3", "an SQLite database", "Name it in [input] as sqlite:PATH."),
    (GZIP, "compressed twice", "Decompress it once."),
    (ZSTD, "compressed twice", "Decompress it once."),
)


def open_file(path: Place, name: str, text: TextForm) -> TableFile:
    """Recognise the format of a file and read its header.

    Args:
        path: a regular file, or one in an object store.
        name: its name in messages.
        text: form of text formats.

    Raises:
        DataRefused: the file is empty, damaged, or of a format that is not read.
    """
    with reading(path, name, FORMATS["csv"].name), path.open("rb") as stream:
        head = stream.read(max(len(one.magic) for one in FORMATS.values()))
    named = next((one for one in FORMATS.values() if path.name.endswith(one.endings)), None)
    found = next(
        (one for one in FORMATS.values() if one.magic and head.startswith(one.magic)), None
    )
    if found is None and named is not None and named.magic:
        raise damaged(name, named.name, f"it does not begin with {named.magic.decode()}")
    found = found or FORMATS["csv"]
    with reading(path, name, found.name):
        return found.open(path, name, text)


def _require_text(head: bytes, name: str) -> None:
    if not head:
        raise DataRefused(
            "the file is empty",
            "a header and at least one row",
            "Check the export that writes this file.",
            name,
        )
    for magic, what, remedy in _NOT_READ:
        if head.startswith(magic):
            raise DataRefused(f"it is {what}", FORMAT_NAMES, remedy, name)
    for one in FORMATS.values():
        if one.magic and head.startswith(one.magic):
            raise DataRefused(
                f"it is a compressed {one.name} file", FORMAT_NAMES, "Decompress it.", name
            )
    start = head.lstrip(_BLANKS)[:1]
    if start == b"[":
        raise DataRefused("it is a JSON array", FORMAT_NAMES, "Write one object a line.", name)
    if start == b"<":
        raise DataRefused("it is HTML or XML", FORMAT_NAMES, "Export the data again.", name)
    if not head.strip(b"\x00"):
        raise DataRefused(
            "it has nothing but NUL bytes",
            "a header and at least one row",
            "Write it again: a crash or a full disk leaves such a file.",
            name,
        )
