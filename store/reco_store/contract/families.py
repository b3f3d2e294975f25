"""Families of data keys: one record each, in the order in which a generation is published.

A family is the set of keys `<name>:<id>` that hold the same kind of value, such as `user:42`. The
artifact's writer and reader, the gate, the memory forecast, the report and the tests of
docs/keys.md iterate over these records, so a new family is a record here plus the code that
computes its lists.

Key suffixes are built in `keys`. Pure values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BECAUSE",
    "FAMILIES",
    "LISTS",
    "MOVIE",
    "NEXT",
    "POPULAR",
    "RANKED",
    "SEARCH",
    "SEEN",
    "SIMILAR",
    "TITLE",
    "USER",
    "Family",
    "family_named",
]


class Family(NamedTuple):
    """One family of data keys."""

    name: str
    """First part of every key suffix, before the colon."""
    heading: str
    """Heading of the family's checks in the report."""
    per: Literal["user", "movie", "genre", "title", "word"]
    """Subject of a key: the family has one key for each."""
    value: Literal["list", "ids", "reasons", "card"]
    """Kind of value: the name of its JSON Schema in docs/schema/v1."""
    length: Literal["k", "ranked_k", ""] = ""
    """Setting that limits the number of movies in a list; empty if there is no such setting."""
    excludes: Literal["seen", "itself", ""] = ""
    """Movies that a list leaves out: those the user has rated, or the movie that the key names."""
    needs_stars: bool = False
    """True if scores are predicted stars: without ratings in the input there are no keys."""
    explains: str = ""
    """Name of the family whose lists these values explain, entry by entry; published only if the
    manifest's parameter with this family's own name is true."""
    is_later: bool = False
    """True if artifacts and generations of earlier versions lack the family."""

    @property
    def file(self) -> str:
        """Parquet file that the values are made of, relative to the artifact's folder."""
        if self.value == "card" or self.per in ("title", "word"):
            return "movies.parquet"
        return f"lists/{self.name}.parquet"


USER: Final = Family("user", "User lists", "user", "list", length="k", excludes="seen")
BECAUSE: Final = Family(
    "because", "Explanations of the user lists", "user", "reasons", explains="user", is_later=True
)
RANKED: Final = Family(
    "ranked", "Ranked lists", "user", "list", length="ranked_k", excludes="seen", needs_stars=True
)
SIMILAR: Final = Family("similar", "Similar lists", "movie", "list", length="k", excludes="itself")
NEXT: Final = Family(
    "next",
    "Next lists (from one rated movie)",
    "movie",
    "list",
    length="k",
    excludes="itself",
    is_later=True,
)
SEEN: Final = Family("seen", "Histories", "user", "ids")
POPULAR: Final = Family("popular", "Popular lists", "genre", "list")
MOVIE: Final = Family("movie", "Movie cards", "movie", "card")
TITLE: Final = Family("title", "Titles", "title", "ids")
SEARCH: Final = Family("search", "Words of titles", "word", "ids", is_later=True)

#: In the order in which they are published, hashed and listed in the inventory.
FAMILIES: Final = (USER, BECAUSE, RANKED, SIMILAR, NEXT, SEEN, POPULAR, MOVIE, TITLE, SEARCH)
#: The families with a Parquet file of their own.
LISTS: Final = tuple(family for family in FAMILIES if family.file.startswith("lists/"))

_BY_NAME: Final[Mapping[str, Family]] = {family.name: family for family in FAMILIES}


def family_named(name: str) -> Family:
    """Return the family with a name.

    Raises:
        KeyError: no family has it.
    """
    return _BY_NAME[name]
