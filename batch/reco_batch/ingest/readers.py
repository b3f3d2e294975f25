"""From files to tables of text and numbers: CSV or Parquet, read in a stream.

The content of a file is settled here: encoding, header, rows of the right width, and values of the
right kind (`conversions`). Whether the values make sense is for `validate`. Every refusal names the
file, and the line and the value where there is one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows
from reco_batch.ingest.csv_diagnosis import Lines, Part, no_parquet, reading
from reco_batch.ingest.csv_form import PARQUET, csv_form
from reco_batch.ingest.headers import header_notes, header_refusals, merged
from reco_batch.ingest.input_files import InputFile, find_table, require_folder
from reco_batch.ingest.table_reader import (
    OpenPart,
    OpenTable,
    ReadAgain,
    ReadMode,
    Table,
    TableReader,
)

_WHOLE: Final = r"^-?\d+(\.0+)?$"


class RawTables(NamedTuple):
    """Both tables as they are in the files.

    The index of each frame is the line number in a file without line breaks in values and without
    empty lines: `lines` finds the true one.
    """

    ratings: pd.DataFrame  # userId, movieId: category of str; rating: float64; timestamp: int64
    # (either of the last two may be missing)
    movies: pd.DataFrame  # movieId, title, genres: str
    ratings_file: str
    movies_file: str
    bad: BadRows | None = None
    """Rows that could not be read; None: none."""
    lines: Mapping[str, Lines] = {}
    """Places of rows by file name; none for tables that are not from a file."""
    notes: tuple[str, ...] = ()
    """Notes on unusual forms of the files, and how each was read."""


_RATINGS: Final = Table("ratings", c.RATINGS)
_MOVIES: Final = Table("movies", c.MOVIES)


def read_folder(folder: Path, *, encoding: str = "utf-8", max_bad_rows: int = 0) -> RawTables:
    """Read the ratings and the movies of a folder.

    Args:
        folder: contains ratings and movies, each as .csv, .csv.gz or .parquet, or as a folder of
            part files.
        encoding: of the CSV files.
        max_bad_rows: how many rows may be left out; `validate` counts its own to them.

    Returns:
        The two tables; the ratings without `rating`, if the file has the columns of a user, an item
        and perhaps a time, and no others.

    Raises:
        DataRefused: a file is missing, empty, damaged or lacks a column, or has times of two forms.

    Cost:
        One pass over each file; ids are dictionary-encoded as they are read.
    """
    require_folder(folder)
    opened: list[OpenTable] = []
    refused: list[DataRefused] = []
    for table in (_RATINGS, _MOVIES):
        try:
            opened.append(_open(table, find_table(folder, table.stem), encoding))
        except DataRefused as error:
            refused.append(error)
    if refused:
        raise merged(refused)
    mode = ReadMode()
    while True:
        try:
            return _read(opened, max_bad_rows, mode)
        except ReadAgain as again:
            mode = again.mode


def _read(opened: Sequence[OpenTable], max_bad_rows: int, mode: ReadMode) -> RawTables:
    bad = BadRows(max_bad_rows)
    readers = [TableReader(one, bad, mode) for one in opened]
    ratings, movies = (reader.read() for reader in readers)
    _settle_ids(ratings, movies)
    return RawTables(
        ratings,
        movies,
        opened[0].file.name,
        opened[1].file.name,
        bad,
        {reader.name: reader.lines for reader in readers},
        tuple(note for reader in readers for note in reader.notes),
    )


def _open(table: Table, file: InputFile, encoding: str) -> OpenTable:
    """Read the headers of a table.

    Raises:
        DataRefused: a header is not good; of all its faults.
    """
    parts: list[OpenPart] = []
    notes: list[str] = []
    for path in file.parts:
        part, columns, more = _header(table, path, file.name_of(path), encoding)
        parts.append(OpenPart(path, part, columns))
        notes += more
        if columns.keys() != parts[0].columns.keys():
            mine, others = (", ".join(one.columns) for one in (parts[-1], parts[0]))
            raise DataRefused(
                f"the columns are {mine}, those of {parts[0].part.name} are {others}",
                "the same columns in all parts",
                "Check the export that writes this folder.",
                part.name,
            )
    if len(parts) > 1:
        notes = [f"{file.name}: {len(parts):,} files", *dict.fromkeys(notes[:3])]
    return OpenTable(table, file, parts, notes)


def _header(
    table: Table, path: Path, name: str, encoding: str
) -> tuple[Part, dict[str, str], list[str]]:
    """Return a file with its columns by name, and notes."""
    with reading(path, name):
        with path.open("rb") as stream:
            is_parquet = stream.read(len(PARQUET)) == PARQUET
        if is_parquet:
            with pq.ParquetFile(path) as parquet:
                schema = parquet.schema_arrow
            names: Sequence[str] = schema.names
            form, kinds, notes = None, schema.types, []
        elif path.suffix == ".parquet":
            raise no_parquet(name, "it does not begin with PAR1")
        else:
            form = csv_form(path, name, encoding)
            names, kinds, notes = form.names, None, list(form.notes)
    refused = header_refusals(name, names, kinds, table.columns, form)
    if refused:
        raise merged(refused)
    at = {column: places[0] for column, places in c.matched(names, tuple(table.columns)).items()}
    chosen = {column: names[i] if is_parquet else str(i) for column, i in at.items()}
    return Part(name, form), chosen, [*notes, *header_notes(name, names, table.columns)]


def _settle_ids(ratings: pd.DataFrame, movies: pd.DataFrame) -> None:
    """Write ids without `.0` where all of a column are whole numbers.

    Programs that know no missing whole numbers write 7.0 for 7. An id such as 1.0 between others
    that are no numbers is a text of its own. Both files have to agree on the ids of the movies.
    """
    _settle(ratings, c.USER_ID, pa.array(ratings[c.USER_ID].cat.categories, pa.string()))
    rated = ratings[c.MOVIE_ID].cat.categories
    all_movies = pa.array([*rated, *movies[c.MOVIE_ID].dropna()], pa.string())
    _settle(ratings, c.MOVIE_ID, all_movies)
    _settle(movies, c.MOVIE_ID, all_movies)


def _settle(frame: pd.DataFrame, column: str, ids: pa.Array) -> None:
    if not pc.any(pc.match_substring_regex(ids, r"\.0+$")).as_py():
        return
    if not pc.all(pc.match_substring_regex(ids, _WHOLE)).as_py():
        return
    texts = frame[column]
    if isinstance(texts.dtype, pd.CategoricalDtype):
        whole = texts.cat.categories.str.replace(r"\.0+$", "", regex=True)
        codes, categories = pd.factorize(whole)
        taken = np.append(codes, -1)[texts.cat.codes]  # code -1: no id
        frame[column] = pd.Categorical.from_codes(taken, categories)
    else:
        frame[column] = texts.str.replace(r"\.0+$", "", regex=True)
