"""Pages: the answer of a command, before a form of output is chosen.

A `Page` is built from the store's answers by the pure functions of `list_pages` and `status_pages`,
and written by `output` as a table, as tab-separated lines or as one JSON object, so the three never
disagree. The fields of the JSON object are documented in `document`.

Named tuples: a frozen dataclass takes ten times as long to define, and every command would wait.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from reco_store import ListFilters, RecoError


class ListOptions(NamedTuple):
    """Options that every listing shares."""

    namespace: str
    """Namespace to read."""
    n: int
    """Number of movies to show."""
    exclude: tuple[str, ...] = ()
    """Ids to leave out."""
    genres: tuple[str, ...] = ()
    """Genres, at least one of which a movie must have; empty for all."""
    year_from: int | None = None
    """First year; None for no limit."""
    year_to: int | None = None
    """Last year; None for no limit."""
    available: str | None = None
    """Name of the set of available movies, empty for the namespace's own; None for no filter."""
    available_missing: Literal["all", "none"] = "all"
    """Movies to show if that set does not exist."""

    @property
    def filtered(self) -> bool:
        """True if any filter is set."""
        filters = (self.year_from, self.year_to, self.available)
        return bool(self.genres) or any(value is not None for value in filters)

    @property
    def choice(self) -> ListFilters:
        """The options as arguments of the reader."""
        return {
            "n": self.n,
            "exclude": self.exclude,
            "genres": self.genres,
            "year_from": self.year_from,
            "year_to": self.year_to,
            "available": False if self.available is None else self.available or True,
            "available_missing": self.available_missing,
        }

    @property
    def query(self) -> dict[str, Any]:
        """The options as fields of the JSON object."""
        return {
            "n": self.n,
            "exclude": list(self.exclude),
            "genres": list(self.genres),
            "from_year": self.year_from,
            "to_year": self.year_to,
            "available": self.available,
            "available_missing": self.available_missing,
        }


class Row(NamedTuple):
    """One line of a listing."""

    rank: int
    """Position, from 1."""
    movie_id: str
    score: str
    source: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    source_words: str = ""
    """The source, for people."""
    because: str = ""
    """Title of the rated movie that explains this one; empty if there is none."""


class Page(NamedTuple):
    """Answer of one command. Texts are as the store has them: writers escape them."""

    heading: str
    """Subject of the page, in one line."""
    document: Mapping[str, Any]
    """The JSON object."""
    footer: str
    """Last line of a table: generation and age; for `status`, the option that shows more."""
    rows: tuple[Row, ...] = ()
    """The listing, which may be empty."""
    facts: tuple[tuple[str, ...], ...] = ()
    """Names, each with a value, or with one for each namespace: `status`, the card of a movie."""
    value_names: frozenset[str] | None = None
    """Dotted names of the values that `status` writes in a pipe; None for all."""
    notes: tuple[str, ...] = ()
    """Sentences about the answer, such as that it is a fallback."""
    show_ids: bool = False
    """True if the table needs ids to distinguish the movies."""
    listing: bool = True
    """True if the answer is `rows`, False for a page of facts."""
    error: RecoError | None = None
    """Raised after the page is written, if a part of the answer is missing."""
