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

# Notes on an answer. There are fewer movies than asked for, since no further published movie may
# be shown:
USED_UP: Final = "used_up"
# ... and there is none, since the user has rated all that could be shown.
ALL_SEEN: Final = "all_seen"
# The set of available movies does not exist, or is empty.
AVAILABLE_MISSING: Final = "available_missing"
# The list is short because the store lost the lists that would fill it.
DATA_LOST: Final = "data_lost"


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
    notes: tuple[str, ...] = ()  # names from above; more may come

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
            "notes": list(self.notes),
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
    sampled: int = 0  # number of data keys that were looked for ...
    missing: int = 0  # ... and of those that are gone: not 0 if the store lost data

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
            "sampled": self.sampled,
            "missing": self.missing,
        }
