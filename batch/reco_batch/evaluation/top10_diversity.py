"""The first ten of all users together: how many are different, and how many movies they show.

Shapes: R lists in a tile, E movies in all its lists, I movies of the catalogue.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories

#: What a person looks at: the length of the list's beginning that is compared.
HEAD: Final = 10
#: Somebody with a smaller choice has no first ten of their own to speak of.
CHOICE: Final = 3 * HEAD
#: Ratings a user needs for a top-10 of their own; with fewer, popular movies are the best guess.
FEWEST_RATINGS: Final = 5
#: Most rated movies among which a user's most popular unseen ones are looked for.
_HITS: Final = 256
#: Odd, so that a list's hash depends on every bit of every movie in it and on their order.
_MULTIPLIERS: Final = 2 * np.random.default_rng(0).integers(2**62, 2**63, HEAD, np.uint64) + 1


class Tile(NamedTuple):
    """Lists that are measured together."""

    items: NDArray[np.int32]  # [E] index; -1: not in the catalogue
    offsets: NDArray[np.int64]  # [R + 1]
    row: NDArray[np.int64]  # [E]
    scores: NDArray[np.floating] | None  # [E]
    excluded: Histories | None
    tiers: NDArray[np.int64] | None = None  # [E] parts of a list, each of them ordered
    judged: NDArray[np.bool_] | None = None  # [R] whose scores should differ; None: all


class HeadFigures(NamedTuple):
    """Of the first ten of all users together."""

    lists: int  # that are not empty
    distinct: int
    covered: int  # different movies
    coverable: int  # as many as could be
    most_first: int  # users who see the most frequent first movie first
    pairs: int  # of neighbours who both have a choice
    alike: float  # mean share that the neighbours have in common; 0 without a pair
    hits_alike: float  # the same, if each of them were shown the most rated unseen movies


class Heads:
    """Collects the first ten of all users."""

    def __init__(self, rating_count: NDArray[np.int64]) -> None:
        """Begin with no lists.

        Args:
            rating_count: [I] ratings per movie; the most rated movies are the hits.
        """
        self._movie_count = movie_count = len(rating_count)
        hits = np.argsort(-rating_count, kind="stable")[:_HITS]
        self._hits = np.append(hits, -1).astype(np.int32)  # the last: no hit is left
        self._hit_of = np.full(movie_count + 1, len(hits))  # of a movie that is none: the last
        self._hit_of[hits] = np.arange(len(hits))
        self._hashes: list[NDArray[np.uint64]] = []
        self._covered = np.zeros(movie_count, np.bool_)
        self._first = np.zeros(movie_count, np.int64)
        self._last = np.zeros((0, 2, HEAD), np.int32)  # of the tile before
        self._pairs = 0
        self._common = np.zeros(2)

    def add(self, tile: Tile) -> None:
        """Add the lists of a tile."""
        place = tile.offsets[:-1, np.newaxis] + np.arange(HEAD)  # [R, 10]
        inside = place < tile.offsets[1:, np.newaxis]
        heads = np.full(place.shape, -1, np.int32)
        heads[inside] = tile.items[place[inside]]
        mixed = (heads + 2).astype(np.uint64) * _MULTIPLIERS
        self._hashes.append(mixed.sum(axis=1, dtype=np.uint64)[inside[:, 0]])
        self._covered[heads[heads >= 0]] = True
        first = heads[:, 0]
        self._first += np.bincount(first[first >= 0], minlength=self._movie_count)
        self._compare_neighbours(tile, heads, inside[:, -1])

    def _compare_neighbours(
        self, tile: Tile, heads: NDArray[np.int32], whole: NDArray[np.bool_]
    ) -> None:
        if tile.excluded is None:
            return
        seen = np.diff(tile.excluded.offsets)
        hits = self._unseen_hits(tile.excluded)
        known = (seen >= FEWEST_RATINGS) & (self._movie_count - seen >= CHOICE)
        chose = np.stack([heads, hits], axis=1)[whole & known & (hits[:, -1] >= 0)]
        chose = np.concatenate([self._last, chose])  # [users, 2, 10]
        self._last = chose[-1:]
        common = (chose[:-1, :, :, np.newaxis] == chose[1:, :, np.newaxis, :]).any(axis=3)
        self._common += common.mean(axis=2).sum(axis=0)
        self._pairs += len(common)

    def _unseen_hits(self, seen: Histories) -> NDArray[np.int32]:
        """Return each user's most rated unseen movies, [R, 10]; -1 where no hit is left."""
        rows, width = len(seen.offsets) - 1, len(self._hits)
        unseen = np.ones((rows, width), np.bool_)
        row = np.repeat(np.arange(rows), np.diff(seen.offsets))
        unseen[row, self._hit_of[seen.movie_index]] = False
        unseen[:, -1] = False
        place = np.cumsum(unseen, axis=1)  # [R, hits], from 1
        hits = np.full((rows, HEAD), -1, np.int32)
        row, hit = np.nonzero(unseen & (place <= HEAD))
        hits[row, place[row, hit] - 1] = self._hits[hit]
        return hits

    def figures(self) -> HeadFigures:
        """Return what they are like together."""
        hashes = np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)
        return HeadFigures(
            lists=len(hashes),
            distinct=len(np.unique(hashes)),
            covered=int(self._covered.sum()),
            coverable=min(self._movie_count, HEAD * len(hashes)),
            most_first=int(self._first.max(initial=0)),
            pairs=self._pairs,
            alike=float(self._common[0]) / max(1, self._pairs),
            hits_alike=float(self._common[1]) / max(1, self._pairs),
        )
