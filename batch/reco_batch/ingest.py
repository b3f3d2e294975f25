"""From files to tables of text and numbers: CSV, gzipped CSV or Parquet, read in a stream.

What a file *says* is settled here: encoding, header, rows of the right width, numbers that are
numbers. Whether the values make sense is for `validate`. Every refusal names the file, and the
line and the value where there is one.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reco_batch import columns as c
from reco_batch.damage import explain, no_rows
from reco_batch.errors import DataRefused

#: Tried in this order; the first that exists is read.
_ENDINGS = (".csv", ".csv.gz", ".parquet")
_BLOCK_BYTES = 16 << 20
_CODED = pa.dictionary(pa.int32(), pa.string())
_NUMBERS = {c.RATING: pa.float64(), c.TIMESTAMP: pa.int64()}
_EXPECTED = {c.RATING: "a number", c.TIMESTAMP: "whole seconds since 1970"}


class RawTables(NamedTuple):
    """What the two files hold; the index of each frame is the line number in its file."""

    ratings: pd.DataFrame  # userId, movieId: category of str; rating: float64; timestamp: int64
    # (either of the last two may be missing)
    movies: pd.DataFrame  # movieId, title, genres: str
    ratings_file: str
    movies_file: str


def read_folder(folder: Path, *, encoding: str = "utf-8") -> RawTables:
    """Read the ratings and the movies of a folder.

    Args:
        folder: holds ratings and movies, each as .csv, .csv.gz or .parquet.
        encoding: of the CSV files.

    Returns:
        The two tables; the ratings without `rating`, if the file has the columns of a user, an item
        and perhaps a time, and no others.

    Raises:
        DataRefused: a file is missing, empty, damaged or lacks a column, or a number is none.

    Cost:
        One pass over each file; ids are dictionary-encoded as they are read.
    """
    if not folder.is_dir():
        raise DataRefused(
            f"there is no folder {str(folder)!r}",
            "a folder with ratings.csv and movies.csv",
            "Give its path to --data, or the name of a known data set such as `demo`.",
        )
    ratings_path, movies_path = _find(folder, "ratings"), _find(folder, "movies")
    ratings = _read(
        ratings_path,
        required=c.RATINGS_REQUIRED,
        optional=c.RATINGS_OPTIONAL,
        categories=(c.USER_ID, c.MOVIE_ID),
        encoding=encoding,
    )
    movies = _read(movies_path, required=c.MOVIES_REQUIRED, encoding=encoding)
    return RawTables(ratings, movies, ratings_path.name, movies_path.name)


def _find(folder: Path, stem: str) -> Path:
    for ending in _ENDINGS:
        path = folder / f"{stem}{ending}"
        if path.is_file():
            return path
    names = sorted(p.name for p in folder.iterdir())
    shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "nothing"
    raise DataRefused(
        f"the folder {str(folder)!r} holds {shown}",
        " or ".join(f"{stem}{ending}" for ending in _ENDINGS),
        "Put the file there or give another folder to --data.",
    )


def _read(
    path: Path,
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    categories: Sequence[str] = (),
    encoding: str,
) -> pd.DataFrame:
    """Read one file as a frame whose index is the line number of each row."""
    wanted = (*required, *optional)
    batches = _parquet_batches if path.suffix == ".parquet" else _csv_batches
    tables: list[pa.Table] = []
    rows = 0
    try:
        for batch in batches(path, required, wanted, categories, encoding):
            table = _typed(batch, path.name, rows, categories)
            rows += table.num_rows
            tables.append(table)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise DataRefused(
            f"the file cannot be read to its end ({error})",
            "a whole file",
            "Copy it again; it was probably cut while it was written or moved.",
            path.name,
        ) from error
    if rows == 0:
        raise no_rows(path.name)
    table = pa.concat_tables(tables).unify_dictionaries()
    del tables, batch  # so that each column is let go of as soon as pandas has it
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    frame.index = _line_numbers(frame)
    return frame


def _line_numbers(frame: pd.DataFrame) -> pd.Index:
    """Number the rows as an editor does: the header is line 1, a quoted newline counts."""
    if c.TITLE not in frame:
        return pd.RangeIndex(2, len(frame) + 2)
    extra = frame[c.TITLE].fillna("").astype(str).str.count("\n").cumsum().shift(fill_value=0)
    return pd.Index(range(2, len(frame) + 2)) + extra.astype("int64")


def _csv_batches(
    path: Path,
    required: Sequence[str],
    wanted: Sequence[str],
    categories: Sequence[str],
    encoding: str,
) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".csv" and path.stat().st_size == 0:
        raise DataRefused(
            "the file is empty",
            "a header and at least one row",
            "Check the export that writes this file.",
            path.name,
        )
    try:
        with (
            pa.input_stream(str(path), compression="detect") as stream,
            pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, encoding=encoding),
                # Only a title may hold a quoted newline; allowing it slows the big file down.
                parse_options=pa_csv.ParseOptions(newlines_in_values=c.TITLE in wanted),
                # Numbers are text at first: what is none shall be named as it stands there.
                convert_options=pa_csv.ConvertOptions(
                    column_types={
                        name: _CODED if name in categories else pa.string() for name in wanted
                    },
                    strings_can_be_null=False,
                ),
            ) as reader,
        ):
            _check_header(path.name, reader.schema.names, required)
            names = [name for name in wanted if name in reader.schema.names]
            for batch in reader:
                yield batch.select(names)
    except (pa.ArrowInvalid, UnicodeError) as error:  # the latter for other encodings than UTF-8
        raise explain(path, error, encoding) from error


def _parquet_batches(
    path: Path,
    required: Sequence[str],
    wanted: Sequence[str],
    _categories: Sequence[str],
    _encoding: str,
) -> Iterator[pa.RecordBatch]:
    try:
        # Not buffered ahead: that would keep the whole file beside what is made of it.
        with pq.ParquetFile(path, pre_buffer=False) as parquet:
            _check_header(path.name, parquet.schema_arrow.names, required)
            names = [name for name in wanted if name in parquet.schema_arrow.names]
            for field in map(parquet.schema_arrow.field, names):
                if pa.types.is_nested(field.type):
                    raise DataRefused(
                        f"the column {field.name!r} holds {field.type}",
                        "one value in each row",
                        "Write the column as numbers or text.",
                        path.name,
                    )
            yield from parquet.iter_batches(columns=names)
    except pa.ArrowInvalid as error:
        raise DataRefused(
            f"the file is not readable Parquet ({error})",
            "a whole Parquet file",
            "Write or copy it again.",
            path.name,
        ) from error


def _check_header(name: str, found: Sequence[str], required: Sequence[str]) -> None:
    missing = [column for column in required if column not in found]
    others = [column for column in found if column not in c.INTERACTIONS]
    if missing and (missing != [c.RATING] or others):
        leave_out = f", or leave out {', '.join(map(repr, others))} if nobody gives stars"
        raise DataRefused(
            f"the columns are {', '.join(map(repr, found))}",
            f"also {', '.join(map(repr, missing))}",
            f"Rename the file's columns{leave_out if missing == [c.RATING] else ''}.",
            name,
            None if name.endswith(".parquet") else 1,
        )
    for column in (*required, *c.RATINGS_OPTIONAL):
        if found.count(column) > 1:
            raise DataRefused(
                f"{found.count(column)} columns are named {column!r}",
                "one of each name",
                "Remove or rename the others.",
                name,
                None if name.endswith(".parquet") else 1,
            )


def _typed(
    batch: pa.RecordBatch, name: str, rows_before: int, categories: Sequence[str]
) -> pa.Table:
    """Turn each column into the type that the rest of the job works with."""
    arrays = []
    for column, array in zip(batch.schema.names, batch.columns, strict=True):
        if column in _NUMBERS:
            arrays.append(_numbers(array, column, name, rows_before))
        else:
            arrays.append(_coded(array) if column in categories else pc.cast(array, pa.string()))
    return pa.Table.from_arrays(arrays, names=batch.schema.names)


def _coded(ids: pa.Array) -> pa.DictionaryArray:
    """Return ids as text, each different one once, and which it is in each row."""
    if ids.type == _CODED:
        return ids
    if not pa.types.is_integer(ids.type):
        return pc.cast(ids, pa.string()).dictionary_encode()
    coded = ids.dictionary_encode()  # first: far fewer numbers are then written as text
    return pa.DictionaryArray.from_arrays(coded.indices, pc.cast(coded.dictionary, pa.string()))


def _numbers(array: pa.Array, column: str, name: str, rows_before: int) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        array = pc.cast(array, pa.timestamp("s"), safe=False)
    try:
        return pc.cast(array, _NUMBERS[column])
    except pa.ArrowInvalid:
        row = _first_uncastable(array, _NUMBERS[column])
    raise DataRefused(
        f"{column} {array[row].as_py()!r} is not a number",
        _EXPECTED[column],
        "Correct or remove that row.",
        name,
        rows_before + row + 2,
    )


def _first_uncastable(array: pa.Array, target: pa.DataType) -> int:
    """Find the first value that does not convert, by halving: the cast names no row."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(array[low:middle], target)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
