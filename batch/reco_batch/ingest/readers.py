"""Reader of a folder: its files become two tables of text and numbers, read in a stream.

This step settles the content of the files: encoding, header, rows of the right width, and values
of the right kind (`type_matrix`). `validate` checks the values themselves. Every refusal names the
file, and the line and the value where there is one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows
from reco_batch.ingest.formats.path_checks import require_folder
from reco_batch.ingest.formats.registry import open_file
from reco_batch.ingest.formats.table_file import Part, ReadAgain, ReadMode, RowLocator
from reco_batch.ingest.headers import header_notes, header_refusals, merged
from reco_batch.ingest.input_files import InputFile, find_table
from reco_batch.ingest.table_reader import OpenTable, Table, TableReader

_WHOLE: Final = r"^-?\d+(\.0+)?$"


class RawTables(NamedTuple):
    """Ratings and movies as they are in the files.

    The index of each frame is the line number in a file without line breaks in values and without
    empty lines; `lines` finds the actual one.
    """

    ratings: pd.DataFrame  # userId, movieId: category of str; rating: float64; timestamp: int64
    # (either of the last two may be missing)
    movies: pd.DataFrame  # movieId, title, genres: str
    ratings_file: str
    movies_file: str
    bad: BadRows | None = None
    """Rows that could not be read; None if there are none."""
    lines: Mapping[str, RowLocator] = {}
    """File name -> locations of its rows; empty for tables that were not read from files."""
    notes: tuple[str, ...] = ()
    """Notes on unusual forms of the files, and how each was read."""


_RATINGS: Final = Table("ratings", c.RATINGS)
_MOVIES: Final = Table("movies", c.MOVIES)


def read_folder(folder: Path, *, encoding: str = "utf-8", max_bad_rows: int = 0) -> RawTables:
    """Read the ratings and the movies of a folder.

    Args:
        folder: contains ratings and movies, each as a file of one of `formats.ENDINGS`, or as a
            folder of part files.
        encoding: encoding of the CSV files.
        max_bad_rows: number of rows that may be left out, including those that `validate` finds.

    Returns:
        The two tables. The ratings have no column `rating` if the file has only the columns of a
        user, an item and perhaps a time (implicit feedback).

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
        DataRefused: a header has faults; the message lists all of them.
    """
    parts: list[Part] = []
    notes: list[str] = []
    for path in file.parts:
        part, more = _open_part(table, path, file.name_of(path), encoding)
        parts.append(part)
        notes += more
        if part.columns.keys() != parts[0].columns.keys():
            mine, others = (", ".join(one.columns) for one in (part, parts[0]))
            raise DataRefused(
                f"the columns are {mine}, those of {parts[0].file.name} are {others}",
                "the same columns in all parts",
                "Check the export that writes this folder.",
                part.file.name,
            )
    if len(parts) > 1:
        notes = [f"{file.name}: {len(parts):,} files", *dict.fromkeys(notes[:3])]
    return OpenTable(table, file, parts, notes)


def _open_part(table: Table, path: Path, name: str, encoding: str) -> tuple[Part, list[str]]:
    """Read the header of one file, and return the file with notes on it."""
    file = open_file(path, name, encoding)
    if refused := header_refusals(file, table.columns):
        raise merged(refused)
    positions = c.matched(file.column_names, tuple(table.columns))
    columns = {column: at[0] for column, at in positions.items()}
    return Part(file, columns), [*file.notes, *header_notes(file, table.columns)]


def _settle_ids(ratings: pd.DataFrame, movies: pd.DataFrame) -> None:
    """Remove `.0` from ids where all ids of a column are whole numbers.

    Programs without a missing value for whole numbers write 7 as 7.0. An id such as 1.0 among ids
    that are not numbers stays as it is. The movie ids of both files are treated alike.
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
