"""Settings of the input: where each table is, and the names of its columns."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from reco_batch.settings.setting_metadata import Hint, Panel, SettingsModel
from reco_store import UsageError

#: One word or several, then perhaps a slash and the plural.
_NOUN: Final = r"^[^\W\d_]+([ -][^\W\d_]+)*(/[^\W\d_]+([ -][^\W\d_]+)*)?$"
Text = Annotated[str | None, Field(min_length=1)]
Column = Annotated[Text, Panel.INPUT, Hint("the name of a column", "COLUMN")]
Query = Annotated[Text, Panel.INPUT, Hint("the name of a table, or a SELECT", "SQL")]
Noun = Annotated[
    str | None,
    Field(max_length=60, pattern=_NOUN),
    Panel.INPUT,
    Hint("a word, or its singular and plural as person/people", "WORD"),
]
Place = Annotated[
    Annotated[str, Field(min_length=1)]
    | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    | None,
    Panel.INPUT,
    Hint("a file, a folder, a pattern or an address, or in reco.toml a list of them", "PLACE"),
]
#: Sign before the column of a flag that is true for items that are not available.
NOT: Final = "!"


def _names(names: object) -> object:
    return [one.strip() for one in names.split(",")] if isinstance(names, str) else names


class ColumnKeys(SettingsModel):
    """Names of the columns: the table [input.columns]."""

    user: Annotated[Column, Hint("", "", "userId", "customer_id")] = None
    """Column of the user, in the ratings table."""
    item: Annotated[Column, Hint("", "", "movieId", "sku")] = None
    """Column of the item, in both tables."""
    id: Annotated[Column, Hint("", "", "the same as item", "id")] = None
    """Column of the item in the items table, if it has another name there."""
    rating: Annotated[Column, Hint("", "", "rating", "stars")] = None
    """Column of the stars."""
    time: Annotated[Column, Hint("", "", "timestamp", "created_at")] = None
    """Column of the time of a rating."""
    event: Annotated[Column, Hint("", "", "none", "kind")] = None
    """Column of the kind of an event, such as view or purchase."""
    weight: Annotated[Column, Hint("", "", "none", "quantity")] = None
    """Column of a number by which an event counts."""
    title: Annotated[Column, Hint("", "", "title", "name")] = None
    """Column of the title."""
    tags: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        BeforeValidator(_names),
        Panel.INPUT,
        Hint('a list of columns, such as ["category", "brand"]', "COLUMNS", "genres"),
    ] = ()
    """Columns whose values become the tags of an item."""
    released: Annotated[Column, Hint("", "", "none", "launched_at")] = None
    """Column of the time at which an item came out."""
    available: Annotated[
        Column,
        Hint(f"the name of a column, after {NOT} if it is true for items that are gone", ""),
        Hint("", "", "none", f"{NOT}discontinued"),
    ] = None
    """Column that is true for items that may be recommended."""


class InputKeys(SettingsModel):
    """Places of the two tables, and users to leave out: the table [input]."""

    ratings: Annotated[Place, Hint("", "", "in the folder of --data", "s3://shop/events/")] = None
    """Ratings table: a file, a folder, a pattern of files, or an address."""
    ratings_query: Annotated[Query, Hint("", "", "none", "orders")] = None
    """Table or query of the ratings, if their place is a database."""
    items: Annotated[Place, Hint("", "", "in the folder of --data", "products.parquet")] = None
    """Items table: a file, a folder, a pattern of files, or an address."""
    items_query: Annotated[Query, Hint("", "", "none", "products")] = None
    """Table or query of the items, if their place is a database."""
    noun: Annotated[Noun, Hint("", "", "by the column of the item", "product")] = None
    """Noun for an item in texts, such as product."""
    forget: Annotated[
        Path | tuple[str, ...],
        BeforeValidator(lambda ids: tuple(map(str, ids)) if isinstance(ids, list) else ids),
        Panel.INPUT,
        Hint("a list of ids, or a file with one id a line", "FILE"),
    ] = ()
    """Users to leave out, besides those of `batch forget`."""
    columns: ColumnKeys = ColumnKeys()

    @property
    def is_set(self) -> bool:
        """True if a table has a place, or a column another name."""
        return any(self.places.values()) or self.columns != ColumnKeys()

    @property
    def places(self) -> dict[str, str | tuple[str, ...] | None]:
        """Places and queries of both tables, by their key."""
        names = ("ratings", "ratings_query", "items", "items_query")
        return {name: getattr(self, name) for name in names}


def events_refusal(places: InputKeys) -> UsageError | None:
    """Return the error of columns of events whose kinds have no weights; None: there are none."""
    mapped = {"event": places.columns.event, "weight": places.columns.weight}
    for name, column in mapped.items():
        if column:
            return UsageError(
                f"input.columns.{name} is {column!r}, and no kind of event has a weight; expected "
                "[input.events] with a weight for each kind, or no such column"
            )
    return None
