"""Registry of the file formats of input and simulated tables: one record a format.

A new format is a subclass of `TableFile`, a function that opens a file, a function that writes one,
and a record in `FORMATS`. Files are recognised by their first bytes; all others are CSV.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.csv_file import CsvFile
from reco_batch.ingest.formats.csv_form import csv_form, read_head
from reco_batch.ingest.formats.path_checks import damaged, reading
from reco_batch.ingest.formats.table_file import ReadRequest, TableFile

Write = Callable[[pa.RecordBatch], None]


class Format(NamedTuple):
    """File format: how its files are recognised, read and written."""

    name: str
    """Name in messages."""
    endings: tuple[str, ...]
    """Endings of the file names that are read."""
    magic: bytes
    """First bytes of every file; empty for CSV, which has none."""
    misnamed: Mapping[str, str]
    """Other endings in use for the format -> the ending to rename to."""
    open: Callable[[Path, str, str], TableFile]
    """Read the header of a file, given its path, its name in messages and the encoding of text."""
    write: Callable[[Path, pa.Schema], AbstractContextManager[Write]]
    """Open a file for writing and yield a function that appends a batch."""


@dataclass(frozen=True, kw_only=True)
class _ParquetFile(TableFile):
    """Parquet file."""

    def batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        names = [self.column_names[at] for at in request.columns.values()]
        # Not buffered ahead: that would keep the whole file in memory next to its arrays.
        with pq.ParquetFile(self.path, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(columns=names):
                yield batch.select(names).rename_columns(list(request.columns))


def _open_parquet(path: Path, name: str, _encoding: str) -> TableFile:
    with pq.ParquetFile(path) as parquet:
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


def _open_csv(path: Path, name: str, encoding: str) -> TableFile:
    head = read_head(path)
    _require_text(head.content, name)
    form, notes = csv_form(path, name, encoding, head)
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


#: Formats by the name that `batch simulate --format` takes, which is the ending it writes.
FORMATS: Final[Mapping[str, Format]] = {
    "csv": Format(
        "CSV",
        (".csv", ".csv.gz"),
        b"",
        {
            **dict.fromkeys(("csv", "tsv", "txt", "dat", "data"), ".csv"),
            "gz": ".csv.gz",
        },
        _open_csv,
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
}
ENDINGS: Final = tuple(ending for one in FORMATS.values() for ending in one.endings)
#: Names of all formats, for messages.
FORMAT_NAMES: Final = " or ".join(one.name for one in FORMATS.values())

#: First bytes of kinds of files that are not read, the name of the kind, and the next step.
_NOT_READ: Final = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Unpack it, or save it as CSV."),
    (b"BZh", "compressed with bzip2", "Decompress it with bunzip2."),
    (b"\xfd7zXZ", "compressed with xz", "Decompress it with unxz."),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Decompress it with unzstd."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it."),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "Save it as CSV."),
    (b"ORC", "an ORC file", "Write it as Parquet."),
    (b"Obj\x01", "an Avro file", "Write it as Parquet."),
    (b"ARROW1", "an Arrow or Feather file", "Write it as Parquet."),
    (b"SQLite format 3", "an SQLite database", "Export its tables as CSV."),
    (b"\x1f\x8b", "compressed with gzip twice", "Decompress it once."),
)


def open_file(path: Path, name: str, encoding: str) -> TableFile:
    """Recognise the format of a file and read its header.

    Args:
        path: a regular file.
        name: its name in messages.
        encoding: encoding of text formats.

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
        return found.open(path, name, encoding)


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
                f"it is a gzipped {one.name} file", FORMAT_NAMES, "Decompress it.", name
            )
    start = head.lstrip(b" \t\r\n\xef\xbb\xbf")[:1]
    if start in (b"{", b"["):
        raise DataRefused("it is JSON", FORMAT_NAMES, f"Write it as {FORMAT_NAMES}.", name)
    if start == b"<":
        raise DataRefused("it is HTML or XML", FORMAT_NAMES, "Export the data again.", name)
    if not head.strip(b"\x00"):
        raise DataRefused(
            "it has nothing but NUL bytes",
            "a header and at least one row",
            "Write it again: a crash or a full disk leaves such a file.",
            name,
        )
