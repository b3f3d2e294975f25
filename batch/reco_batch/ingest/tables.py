"""The two tables of the input: their columns, the names of these in the files, and their kinds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from reco_batch.data import columns as c
from reco_batch.ingest.formats.table_file import TextForm
from reco_batch.settings.input_keys import NOT, ColumnKeys
from reco_store import UsageError

#: Column -> its key in [input.columns].
KEYS: Final[Mapping[str, str]] = {
    c.USER_ID: "user",
    c.MOVIE_ID: "item",
    c.RATING: "rating",
    c.TIMESTAMP: "time",
    c.EVENT: "event",
    c.WEIGHT: "weight",
    c.TITLE: "title",
    c.GENRES: "tags",
    c.RELEASED: "released",
    c.AVAILABLE: "available",
}


class Table(NamedTuple):
    """One of the two tables of a data set."""

    stem: str
    """Name of its file in a folder, without the ending."""
    columns: Mapping[str, c.Kind]
    """Columns to read, by their name in the program; further tags are not among them."""
    names: Mapping[str, str]
    """Name of each column in the files."""
    mapped: frozenset[str] = frozenset()
    """Columns that [input.columns] names."""
    more_tags: Mapping[str, str] = {}
    """Further columns of tags: name in the program -> name in the files."""
    is_inverted: bool = False
    """True if the column of available items is true for those that are not."""
    keeps_others: bool = False
    """True if all other columns are kept, as attributes."""

    def key(self, column: str) -> str:
        """Return the key of a column in [input.columns]."""
        if column in self.more_tags:
            return "tags"
        return "id" if column == c.MOVIE_ID and self.keeps_others else KEYS[column]

    def required(self) -> list[str]:
        """Return the columns without which the table is refused."""
        return [one for one in self.columns if one in self.mapped or one not in c.OPTIONAL]

    def places(self, found: Sequence[str]) -> dict[str, list[int]]:
        """Return the positions of the columns in a file; columns that it lacks are left out."""
        at = c.matched(found, tuple(self.names.values()))
        return {column: at[name] for column, name in self.names.items() if name in at}

    def others(self, found: Sequence[str]) -> list[str]:
        """Return the names of a file that are no column of the table."""
        known = {at for places in self.places(found).values() for at in places}
        return [name for at, name in enumerate(found) if at not in known]

    def own_names(self, columns: Iterable[str]) -> list[str]:
        """Return the names of columns in the files."""
        return [self.names[column] for column in columns]


def tables_of(keys: ColumnKeys) -> tuple[Table, Table]:
    """Return the ratings table and the items table, with the names of the columns.

    Without any key the names are those of MovieLens.

    Raises:
        UsageError: two keys have the same name.
    """
    ratings = _named(
        {c.USER_ID: keys.user, c.MOVIE_ID: keys.item, c.RATING: keys.rating}
        | {c.TIMESTAMP: keys.time, c.EVENT: keys.event, c.WEIGHT: keys.weight}
    )
    usual = c.RATINGS
    if keys.event or keys.weight:  # events have no stars, whatever another column is called
        usual = {name: kind for name, kind in usual.items() if name != c.RATING}
    available = keys.available and keys.available.removeprefix(NOT).strip()
    first, *more = keys.tags or (None,)
    movies = _named(
        {c.MOVIE_ID: keys.id or keys.item, c.TITLE: keys.title, c.GENRES: first}
        | {c.RELEASED: keys.released, c.AVAILABLE: available}
    )
    tags = {f"{c.GENRES}/{number}": name for number, name in enumerate(more, 2) if name}
    tables = (
        _table("ratings", usual, c.MAPPED_RATINGS, ratings),
        _table("movies", c.MOVIES, c.MAPPED_MOVIES, movies)._replace(
            more_tags=tags,
            is_inverted=(keys.available or "").startswith(NOT),
            keeps_others=True,
        ),
    )
    for table in tables:
        _require_own_names(table)
    return tables


def _require_own_names(table: Table) -> None:
    keys: dict[str, str] = {}
    for column, name in {**table.names, **table.more_tags}.items():
        plain, key = c.plain(name).lower(), table.key(column)
        if plain in keys:
            raise UsageError(
                f"input.columns has {name!r} as {keys[plain]} and as {key}; expected a column of "
                "its own for each key. Correct one of them, or select it twice in a query."
            )
        keys[plain] = key


def text_form(encoding: str, tables: Sequence[Table]) -> TextForm:
    """Return what the text files of the two tables have in common."""
    ratings, movies = tables
    plain = tuple(ratings.names.values())
    return TextForm(encoding, (*plain, *movies.names.values(), *movies.more_tags.values()), plain)


def _named(keys: Mapping[str, str | None]) -> dict[str, str]:
    return {column: name for column, name in keys.items() if name}


def _table(
    stem: str,
    usual: Mapping[str, c.Kind],
    only_mapped: Mapping[str, c.Kind],
    mapped: Mapping[str, str],
) -> Table:
    columns = {**usual, **{name: kind for name, kind in only_mapped.items() if name in mapped}}
    return Table(
        stem,
        columns,
        {column: mapped.get(column, column) for column in columns},
        frozenset(mapped),
    )
