"""What a reader hands out. Plain frozen values: nothing in them is loaded later.

Items and movies are named tuples, because ten of them are built for every answer and a frozen
dataclass takes three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "Item", "Movie", "Reason", "Status"]

PERSONAL: Final = "personal"
RANKED: Final = "ranked"
SIMILAR: Final = "similar"
FOR_RATINGS: Final = "for_ratings"
MOST_RATED: Final = "most_rated"
HIGHEST_RATED: Final = "highest_rated"
MOST_RATED_IN_GENRE: Final = "most_rated_in_genre"


class Reason(NamedTuple):
    """The movie of somebody's history that speaks most for a recommended one."""

    movie_id: str
    title: str


class Item(NamedTuple):
    """One recommended movie."""

    movie_id: str
    score: float  # comparable within one source of one answer only
    source: str  # one of the names above; more may come
    title: str  # the id, where the movie has no label
    year: int | None
    genres: tuple[str, ...]
    because: Reason | None = None  # only where it was asked for, and is known


class Movie(NamedTuple):
    """A movie's label."""

    movie_id: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    rating_count: int
    mean_rating: float | None  # None: never rated


@dataclass(frozen=True, slots=True)
class Answer:
    """A list of movies, best first, from one generation."""

    generation: str
    age_seconds: float  # since the generation was computed
    items: tuple[Item, ...]

    @property
    def source(self) -> str | None:
        """Where the best item comes from; None when there is no item."""
        return self.items[0].source if self.items else None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {
            "generation": self.generation,
            "age_seconds": self.age_seconds,
            "source": self.source,
            "items": [_item_object(item) for item in self.items],
        }


def _item_object(item: Item) -> dict[str, Any]:
    because = None if item.because is None else item.because._asdict()
    return {**item._asdict(), "genres": list(item.genres), "because": because}


@dataclass(frozen=True, slots=True)
class Status:
    """What is live in a namespace."""

    namespace: str
    generation: str
    created: str  # ISO 8601, UTC
    age_seconds: float
    entries: int  # number of data keys
    size_bytes: int  # sum of all values
    counts: Mapping[str, int]  # number of keys of each family
    manifest: Mapping[str, Any]  # everything the night wrote about itself
    held_until: str | None  # ISO 8601; not None while a rollback holds back newer generations
    held_reason: str | None
    hidden: int = 0  # number of movies that no list shows

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        return {
            "namespace": self.namespace,
            "generation": self.generation,
            "created": self.created,
            "age_seconds": self.age_seconds,
            "entries": self.entries,
            "size_bytes": self.size_bytes,
            "counts": dict(self.counts),
            "manifest": dict(self.manifest),
            "held_until": self.held_until,
            "held_reason": self.held_reason,
            "hidden": self.hidden,
        }
