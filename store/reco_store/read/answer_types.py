"""Answers of a reader: plain frozen values, complete when they are returned.

Items and movies are named tuples: every answer builds ten of them, and a frozen dataclass takes
three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from reco_store.contract.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "Item", "Movie", "Reason", "Status", "StoredGeneration"]

PERSONAL: Final = "personal"
RANKED: Final = "ranked"
SIMILAR: Final = "similar"
FOR_RATINGS: Final = "for_ratings"
#: From the list of a recent movie.
NEXT: Final = "next"
#: After the kind of a popular list (`keys.POPULAR_KINDS`): the list of a requested genre.
IN_GENRE: Final = "_in_genre"

#: Note: the answer is short because no further published movie passes the filters.
USED_UP: Final = "used_up"
#: Note: the answer is empty because the user has rated all movies that could be shown.
ALL_SEEN: Final = "all_seen"
#: Note: the set of available movies does not exist, or is empty.
AVAILABLE_MISSING: Final = "available_missing"
#: Note: the answer is short because the store lost its fallback lists.
DATA_LOST: Final = "data_lost"


class Reason(NamedTuple):
    """Explanation of a recommended movie: the rated or recent movie that adds most to its score."""

    movie_id: str
    title: str


class Item(NamedTuple):
    """One recommended movie."""

    movie_id: str
    score: float
    """Score, comparable only within one source of one answer."""
    source: str
    """Source of the movie: one of the names above, or the kind of a popular list."""
    title: str
    """Title; the id of a movie without a label."""
    year: int | None
    genres: tuple[str, ...]
    because: Reason | None = None
    """Explanation, if requested and known."""


class Movie(NamedTuple):
    """Label of a movie: title, year, genres and rating statistics."""

    movie_id: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    rating_count: int
    mean_rating: float | None
    """Mean rating in stars; None for a movie without ratings."""


@dataclass(frozen=True, slots=True)
class Answer:
    """List of movies, best first, from one generation."""

    generation: str
    age_seconds: float
    """Seconds since the generation was computed."""
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """Notes on the answer: names from above; later versions may add names."""
    words: Words = DEFAULT_WORDS
    """Words of the catalogue, for texts."""

    @property
    def source(self) -> str | None:
        """Source of the best item; None if there is no item."""
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


#: State of a stored generation: newer than the live one, and never live.
STAGED: Final = "staged"


class StoredGeneration(NamedTuple):
    """Generation that is complete in the store, so that a reader may name it."""

    generation: str
    state: str
    """live, staged (newer than the live one, and never live), ready (kept for a rollback), refused
    (by the gate) or quarantined (withdrawn by a rollback); the next run deletes the last two."""
    created: str
    """Time at which the generation was computed, ISO 8601, UTC."""
    live_since: str
    """Time at which it last became live, ISO 8601; empty if it never was."""
    entries: int
    """Number of data keys."""
    size_bytes: int
    """Size of all values in bytes."""
    note: str


@dataclass(frozen=True, slots=True)
class Status:
    """Live generation of a namespace, or the one that the reader names."""

    namespace: str
    generation: str
    created: str
    """Time at which the generation was computed, ISO 8601, UTC."""
    age_seconds: float
    """Seconds since the generation was computed."""
    entries: int
    """Number of data keys."""
    size_bytes: int
    """Size of all values in bytes."""
    counts: Mapping[str, int]
    """Number of keys of each family."""
    manifest: Mapping[str, Any]
    """Manifest of the generation."""
    held_until: str | None
    """End of the hold of a rollback, ISO 8601: until then no newer generation goes live."""
    held_reason: str | None
    hidden: int = 0
    """Number of hidden movies."""
    sampled: int = 0
    """Number of data keys checked for existence."""
    missing: int = 0
    """Number of those keys that do not exist; above 0 if the store lost data."""
    is_live: bool = True
    """False for a named generation that is not live."""

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
            "is_live": self.is_live,
        }
