"""Reader of the input: files and queries become two tables of text and numbers, in a stream.

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
from reco_batch.data.words import words_for
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows
from reco_batch.ingest.conversion.tags import joined
from reco_batch.ingest.conversion.times import are_years, start_of_years
from reco_batch.ingest.conversion.type_matrix import cell_of
from reco_batch.ingest.formats.path_checks import require_folder
from reco_batch.ingest.formats.registry import open_file
from reco_batch.ingest.formats.sql_table import SqlQuery, open_query
from reco_batch.ingest.formats.storage import Place
from reco_batch.ingest.formats.table_file import (
    Part,
    ReadAgain,
    ReadMode,
    RowLocator,
    TableFile,
    TextForm,
)
from reco_batch.ingest.headers import header_notes, header_refusals, merged
from reco_batch.ingest.input_files import (
    InputFile,
    find_place,
    find_stored_table,
    find_table,
)
from reco_batch.ingest.ordering import in_order
from reco_batch.ingest.table_reader import OpenTable, TableReader
from reco_batch.ingest.tables import Table, tables_of, text_form
from reco_batch.settings.input_keys import InputKeys
from reco_store import UsageError
from reco_store.contract.words import DEFAULT_WORDS, Words

_NUMBER: Final = r"^-?(0|[1-9]\d*)(\.\d+)?$"
_WHOLE: Final = r"^-?\d+(\.0+)?$"


class RawTables(NamedTuple):
    """Ratings and movies as they are in the files.

    The index of each frame is the line number in a file without line breaks in values and without
    empty lines; `lines` finds the actual one.
    """

    ratings: pd.DataFrame  # userId, movieId: category of str; rating: float64; timestamp: int64
    # (either of the last two may be missing); with [input.columns] also event: category of str,
    # weight: float64
    movies: pd.DataFrame  # movieId, title, genres: str; with [input.columns] also released: Int64
    # seconds since 1970, or missing; available: bool. All other columns are attributes under their
    # own names: str or float64, either with missing values.
    ratings_file: str
    movies_file: str
    bad: BadRows | None = None
    """Rows that could not be read; None if there are none."""
    lines: Mapping[str, RowLocator] = {}
    """File name -> locations of its rows; empty for tables that were not read from files."""
    notes: tuple[str, ...] = ()
    """Notes on unusual forms of the files, and how each was read."""
    words: Words = DEFAULT_WORDS
    """Words for movies and ratings in texts."""
    labels: Mapping[str, Mapping[str, str]] = {}
    """File name -> name in the file of each column, where it differs."""

    def label(self, file: str, column: str) -> str:
        """Return the name of a column in a file."""
        return self.labels.get(file, {}).get(column, column)


def read_folder(folder: Path, *, encoding: str = "utf-8", max_bad_rows: int = 0) -> RawTables:
    """Read the ratings and the movies of a folder; see `open_tables` and `read_tables`."""
    opened = open_tables(folder, InputKeys(), encoding=encoding).whole()
    return read_tables(opened, max_bad_rows=max_bad_rows)


class OpenedTables(NamedTuple):
    """Result of opening the ratings table and the items table."""

    tables: tuple[OpenTable, ...]
    """Tables whose headers have no fault."""
    refused: tuple[DataRefused, ...]
    """A refusal for each of the others."""
    files: tuple[TableFile | None, ...]
    """The first file of each table, whatever its columns are; None if it cannot be opened."""

    def whole(self) -> tuple[OpenTable, ...]:
        """Return both tables.

        Raises:
            DataRefused: one of them was refused; the message contains all refusals.
        """
        if self.refused:
            raise merged(self.refused)
        return self.tables


def open_tables(folder: Path | str | None, places: InputKeys, *, encoding: str) -> OpenedTables:
    """Find both tables and read their headers.

    Args:
        folder: path or address of a folder with the tables that have no place, each as a file of
            one of `formats.ENDINGS` or as a folder of part files.
        places: places of tables, and names of their columns.
        encoding: encoding of the text files.

    Raises:
        UsageError: a table has no place, its place and query contradict each other, or two keys
            name the same column.
        NotInstalled: the driver of a database is missing.
        DataRefused: the folder cannot be read.
    """
    if isinstance(folder, Path):
        require_folder(folder)
    tables = tables_of(places.columns)
    named = (
        ("ratings", places.ratings, places.ratings_query),
        ("items", places.items, places.items_query),
    )
    opened: list[OpenTable] = []
    refused: list[DataRefused] = []
    files: list[TableFile | None] = []
    text = text_form(encoding, tables)
    for table, (key, place, query) in zip(tables, named, strict=True):
        try:
            file = _find(folder, table.stem, key, place, query)
            parts = [_open_part(part, file.name_of(part), text) for part in file.parts]
            files.append(parts[0])
        except DataRefused as error:
            refused.append(error)
            files.append(None)
            continue
        try:
            opened.append(open_table(table, file, parts))
        except DataRefused as error:
            refused.append(error)
    return OpenedTables(tuple(opened), tuple(refused), tuple(files))


def _find(
    folder: Path | str | None,
    stem: str,
    key: str,
    place: str | tuple[str, ...] | None,
    query: str | None,
) -> InputFile:
    if place is not None:
        return find_place(place, query, key)
    if folder is None:
        raise UsageError(f"input.{key} is missing; expected its place, or a folder in --data")
    if isinstance(folder, str):
        return find_stored_table(folder, stem)
    return find_table(folder, stem)


def open_table(table: Table, file: InputFile, files: Sequence[TableFile]) -> OpenTable:
    """Check the headers of a table.

    Args:
        table: the columns to read.
        file: a file, part files, or a query.
        files: its parts, opened.

    Raises:
        DataRefused: a header has faults; the message lists all of them.
    """
    notes: list[str] = []
    for one in files:
        if refused := header_refusals(one, table):
            raise merged(refused)
        notes += [*one.notes, *header_notes(one, table)]
        mine, others = table.places(one.column_names), table.places(files[0].column_names)
        if mine.keys() != others.keys():
            raise DataRefused(
                f"the columns are {', '.join(table.own_names(mine))}, those of {files[0].name} are "
                f"{', '.join(table.own_names(others))}",
                "the same columns in all parts",
                "Check the export that writes this folder.",
                one.name,
            )
    if len(files) > 1:
        notes = [f"{file.name}: {len(files):,} files", *dict.fromkeys(notes[:3])]
    attributes = _attributes(table, files, notes)
    parts = [Part(one, _positions(table, one, attributes)) for one in files]
    kinds = {
        **table.columns,
        **dict.fromkeys(table.more_tags, c.Kind.GENRES),
        **dict.fromkeys(attributes, c.Kind.ATTRIBUTE),
    }
    return OpenTable(table, file, parts, notes, kinds)


def _open_part(part: Place | SqlQuery, name: str, text: TextForm) -> TableFile:
    return open_query(part, name) if isinstance(part, SqlQuery) else open_file(part, name, text)


def _positions(table: Table, file: TableFile, attributes: Sequence[str]) -> dict[str, int]:
    """Return the position of each column to read."""
    places = {column: at[0] for column, at in table.places(file.column_names).items()}
    more = c.matched(file.column_names, list(table.more_tags.values()))
    places |= {column: more[name][0] for column, name in table.more_tags.items()}
    names = [c.plain(name) for name in file.column_names]
    return places | {name: names.index(name) for name in attributes}


def _attributes(table: Table, files: Sequence[TableFile], notes: list[str]) -> list[str]:
    """Return the names of the attributes: the other columns of all files of the items table."""
    if not table.keeps_others:
        return []
    names = [[c.plain(name) for name in one.column_names] for one in files]
    tags = [c.plain(name).lower() for name in table.more_tags.values()]
    reserved = {*c.MOVIES, *c.MAPPED_MOVIES}
    found = []
    for name in dict.fromkeys(c.plain(name) for name in table.others(files[0].column_names)):
        if c.is_index(name) or name.lower() in tags:
            continue
        if name in reserved or any(own.count(name) != 1 for own in names):
            notes.append(f"{files[0].name}: the column {name!r} is not read")
            continue
        types = [
            one.column_types and one.column_types[own.index(name)]
            for one, own in zip(files, names, strict=True)
        ]
        if all(type_ is None or cell_of(c.Kind.ATTRIBUTE, type_).convert for type_ in types):
            found.append(name)
    return found


def read_tables(
    opened: Sequence[OpenTable], *, max_bad_rows: int = 0, noun: str | None = None
) -> RawTables:
    """Read the ratings and the movies.

    Args:
        opened: the ratings table and the movies table.
        max_bad_rows: number of rows that may be left out, including those that `validate` finds.
        noun: what an item is called; None to choose by the name of its column.

    Returns:
        The two tables. The ratings have no column `rating` if the file has only the columns of a
        user, an item and perhaps a time (implicit feedback).

    Raises:
        DataRefused: a file is empty or damaged, or has times of two forms.

    Cost:
        One pass over each file; ids are dictionary-encoded as they are read.
    """
    mode = ReadMode()
    while True:
        try:
            return _named(_read(opened, max_bad_rows, mode), opened[0].table, noun)
        except ReadAgain as again:
            mode = again.mode


def _named(raw: RawTables, table: Table, noun: str | None) -> RawTables:
    """Return the tables with the words for their items and interactions."""
    words = words_for(
        noun,
        item_column=table.names[c.MOVIE_ID],
        has_stars=c.RATING in raw.ratings,
        has_events=c.EVENT in raw.ratings,
    )
    return raw._replace(words=words)


def _read(opened: Sequence[OpenTable], max_bad_rows: int, mode: ReadMode) -> RawTables:
    bad = BadRows(max_bad_rows)
    readers = [TableReader(one, bad, mode) for one in opened]
    ratings, movies = (reader.read() for reader in readers)
    _settle_ids(ratings, movies)
    notes = [note for reader in readers for note in reader.notes]
    movies = _settle_items(movies, opened[1], notes)
    return RawTables(
        _ordered(ratings, opened[0]),
        _ordered(movies, opened[1]),
        opened[0].file.name,
        opened[1].file.name,
        bad,
        {reader.name: reader.lines for reader in readers},
        tuple(notes),
        labels={one.file.name: one.table.names for one in opened},
    )


def _ordered(frame: pd.DataFrame, opened: OpenTable) -> pd.DataFrame:
    return frame if all(part.file.is_ordered for part in opened.parts) else in_order(frame)


def _settle_items(movies: pd.DataFrame, opened: OpenTable, notes: list[str]) -> pd.DataFrame:
    """Join columns of tags, and settle the types of mapped columns and of attributes.

    Args:
        movies: the items table.
        opened: its columns.
        notes: receives a note about years.
    """
    table = opened.table
    if table.more_tags or table.names[c.GENRES] != c.GENRES:
        tags = {table.names[c.GENRES]: movies[c.GENRES]}
        tags |= {name: movies[column] for column, name in table.more_tags.items()}
        together = joined(list(tags.values()))
        movies = movies.drop(columns=list(table.more_tags))
        movies = movies.assign(**{name: own.replace("", None) for name, own in tags.items()})
        movies = movies.assign(**{c.GENRES: together})
    if c.RELEASED in movies:
        times = movies[c.RELEASED].astype("Int64")
        if are_years(times):
            times = start_of_years(times)
            notes.append(
                f"{opened.file.name}: {table.names[c.RELEASED]} has years, each of which counts "
                "from its first day"
            )
        movies = movies.assign(**{c.RELEASED: times})
    if c.AVAILABLE in movies:
        flags = movies[c.AVAILABLE].astype("boolean")
        flags = (~flags if table.is_inverted else flags).fillna(True)  # noqa: FBT003
        movies = movies.assign(**{c.AVAILABLE: flags.astype(bool)})
    if opened.parts[0].file.is_text:
        attributes = [one for one, kind in opened.kinds.items() if kind is c.Kind.ATTRIBUTE]
        numbers = {name: _as_numbers(movies[name]) for name in attributes if name in movies}
        movies = movies.assign(**{name: own for name, own in numbers.items() if own is not None})
    return movies


def _as_numbers(texts: "pd.Series[str]") -> "pd.Series[float] | None":
    """Return texts as numbers; None if any is not a number, or has leading zeros as codes do."""
    there = pa.array(texts.dropna(), pa.string())
    if not len(there) or not pc.all(pc.match_substring_regex(there, _NUMBER)).as_py():
        return None
    return texts.astype("float64")


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
