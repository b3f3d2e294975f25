"""What one command has to say, before it is decided how it is written.

A `Page` is built from the store's answers by the pure functions of `pages`, and written by
`output` as a table, as tab-separated lines or as one JSON object, so the three never
disagree. The fields of the JSON object are documented in `document`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reco_store import ListFilters, RecoError


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that every listing shares.

    Attributes:
        namespace: the recommender that was asked.
        n: how many movies were asked for.
        exclude: ids that were not to be shown.
        genres: names, one of which a movie had to have; empty for all.
        year_from: the first year, or None.
        year_to: the last year, or None.
        available: name of the set of available movies, empty for the namespace's own; None to
            leave out nothing that is not available.
        available_missing: `all` or `none`, shown if that set does not exist.
    """

    namespace: str
    n: int
    exclude: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    available: str | None = None
    available_missing: Literal["all", "none"] = "all"

    @property
    def filtered(self) -> bool:
        """Whether only some of the movies were asked for."""
        chosen = (self.year_from, self.year_to, self.available)
        return bool(self.genres) or any(value is not None for value in chosen)

    @property
    def choice(self) -> ListFilters:
        """The options as the reader takes them."""
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
        """The options as the JSON object tells them."""
        return {
            "n": self.n,
            "exclude": list(self.exclude),
            "genres": list(self.genres),
            "from_year": self.year_from,
            "to_year": self.year_to,
            "available": self.available,
            "available_missing": self.available_missing,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a listing; `rank` starts at 1."""

    rank: int
    movie_id: str
    score: str
    source: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    because: str = ""  # title of the movie that speaks for it, where that was asked for


@dataclass(frozen=True, slots=True)
class Page:
    """One command's answer. Its texts are as the store has them: writers escape them.

    Attributes:
        heading: what is shown, in one line.
        document: the JSON object.
        footer: generation and age.
        rows: the listing, which may be empty.
        facts: names, each with a value or, side by side, several: all of `status`, the card of
            `get-movie`.
        notes: sentences for a person, such as that the answer is a fallback.
        show_ids: whether the table needs the ids to tell the movies apart.
        listing: whether the answer is `rows`; a page of facts has none.
        error: raised when the page is written: it answers less than was asked.
    """

    heading: str
    document: Mapping[str, Any]
    footer: str
    rows: tuple[Row, ...] = ()
    facts: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    show_ids: bool = False
    listing: bool = True
    error: RecoError | None = None
