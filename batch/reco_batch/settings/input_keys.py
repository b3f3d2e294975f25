"""Settings of the input: where each table is, and the names of its columns."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import BeforeValidator, Field, FiniteFloat

from reco_batch.settings.setting_metadata import Hint, Panel, SettingsModel, checked
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


def _weights(words: object) -> object:
    """Return the weights in `KIND=WEIGHT` words, or in a text with commas between them."""
    if isinstance(words, str):
        words = words.split(",")
    if not isinstance(words, list | tuple):
        return words
    pairs = (str(word).rpartition("=") for word in words)
    return {kind.strip(): weight for kind, _, weight in pairs}


def _are_weights(weights: Mapping[str, float]) -> bool:
    """Return whether each kind has a name and a weight other than 0, and one is above 0."""
    named = all(kind.strip() == kind and kind and weight for kind, weight in weights.items())
    return named and max(weights.values(), default=1) > 0


Kinds = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_names), Panel.INPUT
]


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
    """Users to leave out of runs; `batch forget` erases users."""
    events: Annotated[
        Mapping[str, FiniteFloat],
        BeforeValidator(_weights),
        checked(_are_weights),
        Panel.INPUT,
        Hint("a weight for each kind, a number other than 0, one of them above 0"),
        Hint("", "KIND=WEIGHT", "none", {"view": 1, "cart": 3, "purchase": 5}),
    ] = {}
    """Weight of each kind of event; below 0 for a dislike, such as a return."""
    max_strength: Annotated[
        Annotated[FiniteFloat, Field(gt=0)] | None,
        Panel.INPUT,
        Hint("a number above 0", "N"),
        Hint("", "", "the largest weight; none with a column of weights", 10),
    ] = None
    """Limit of the sum of the weights of a user's events of an item."""
    half_life: Annotated[
        Annotated[FiniteFloat, Field(gt=0)] | None,
        Panel.INPUT,
        Hint("a number of days above 0", "DAYS", "none, age does not matter", 90),
    ] = None
    """Age in days at which an event counts half."""
    seen_events: Annotated[
        Kinds, Hint("a list of kinds", "KINDS", "all with a weight above 0")
    ] = ()
    """Kinds of event after which no list shows the item to the user."""
    target_events: Annotated[
        Kinds, Hint("a list of kinds", "KINDS", "those with the largest weight")
    ] = ()
    """Kinds of event to hold out and predict; popularity counts them."""
    columns: ColumnKeys = ColumnKeys()

    @property
    def is_set(self) -> bool:
        """True if a table has a place, or a column another name."""
        return any(self.places.values()) or self.columns != ColumnKeys()

    @property
    def counting(self) -> "Counting | None":
        """Rules by which events become interactions; None without a column of events or weights."""
        weights, largest = dict(self.events), max(self.events.values(), default=math.inf)
        if not (self.columns.event or self.columns.weight):
            return None
        most = math.inf if self.columns.weight else largest
        return Counting(
            weights,
            self.max_strength or most,
            self.half_life,
            self.seen_events or tuple(kind for kind, weight in weights.items() if weight > 0),
            self.target_events
            or tuple(kind for kind, weight in weights.items() if weight == largest),
        )

    @property
    def places(self) -> dict[str, str | tuple[str, ...] | None]:
        """Places and queries of both tables, by their key."""
        names = ("ratings", "ratings_query", "items", "items_query")
        return {name: getattr(self, name) for name in names}


class Counting(NamedTuple):
    """Rules by which the events of a user and an item become one interaction."""

    weights: Mapping[str, float]
    """Weight of each kind; empty if the table has weights only."""
    most: float
    """Largest strength of an interaction, and with a minus sign the smallest."""
    half_life: float | None
    """Age in days at which an event counts half; None: age does not matter."""
    seen: tuple[str, ...]
    """Kinds after which lists leave out the item."""
    target: tuple[str, ...]
    """Kinds that are to be predicted."""


def events_refusal(places: InputKeys) -> UsageError | None:
    """Return the error of settings of events that contradict each other; None: they fit."""
    fault = next(_faults_of_events(places), None)
    return None if fault is None else UsageError(fault)


def _faults_of_events(places: InputKeys) -> Iterator[str]:
    columns, weights = places.columns, places.events
    has_events = bool(columns.event or columns.weight)
    if columns.event and not weights:
        yield (
            f"input.columns.event is {columns.event!r}, and no kind of event has a weight; "
            "expected [input.events] with a weight for each kind, or no such column"
        )
    if weights and not columns.event:
        yield (
            f"input.events has weights of {_quoted(weights)}, and no column has the kind of an "
            "event; expected event in [input.columns], or no [input.events]"
        )
    if columns.rating and has_events:
        yield (
            f"input.columns.rating is {columns.rating!r}, and events have no stars; expected "
            "rating without event and weight, or these without rating"
        )
    for name in ("max_strength", "half_life"):
        if getattr(places, name) is not None and not has_events:
            yield (
                f"input.{name} is {getattr(places, name):g}, and the ratings have no events; "
                "expected event or weight in [input.columns] too"
            )
    for name in ("seen_events", "target_events"):
        for kind in set(getattr(places, name)).difference(weights):
            yield (
                f"input.{name} has {kind!r}; expected kinds of [input.events], which has "
                f"{_quoted(weights)}"
            )
    for kind in places.target_events:
        if weights[kind] < 0:
            yield (
                f"input.target_events has {kind!r}, whose weight is {weights[kind]:g}; expected "
                "kinds with a weight above 0"
            )


def _quoted(kinds: Iterable[str]) -> str:
    return ", ".join(map(repr, kinds)) or "none"
