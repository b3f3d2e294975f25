"""Diversity of all users' top-10 lists: distinct lists, coverage, and overlap between users.

Shapes: R lists in a tile, E movies in all its lists, I movies of the catalogue.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories
from reco_batch.metrics.rank_overlap import TOP

#: Unseen movies that a user needs; with fewer, every top-10 is similar to every other.
FEWEST_UNSEEN: Final = 3 * TOP
#: Ratings a user needs for a top-10 of their own; with fewer, popular movies are the best guess.
FEWEST_RATINGS: Final = 5
#: Most popular movies from which each user's popularity list is made.
_POPULAR: Final = 256
#: Odd, so that a list's hash depends on every bit of every movie in it and on their order.
_MULTIPLIERS: Final = 2 * np.random.default_rng(0).integers(2**62, 2**63, TOP, np.uint64) + 1


class Tile(NamedTuple):
    """Lists that are measured together."""

    items: NDArray[np.int32]  # [E] index; -1: not in the catalogue
    offsets: NDArray[np.int64]  # [R + 1]
    row: NDArray[np.int64]  # [E]
    scores: NDArray[np.floating] | None  # [E]
    excluded: Histories | None
    tiers: NDArray[np.int64] | None = None  # [E] parts of a list, each of them ordered
    judged: NDArray[np.bool_] | None = None  # [R] lists whose scores should differ; None: all


class Top10Figures(NamedTuple):
    """Diversity of all users' top-10 lists."""

    lists: int
    """Lists that are not empty."""
    distinct: int
    """Different lists."""
    covered: int
    """Different movies in all lists."""
    coverable: int
    """Largest possible number of different movies."""
    most_first: int
    """Users with the most frequent first movie."""
    pairs: int
    """Pairs of neighbouring users with enough ratings and enough unseen movies."""
    alike: float
    """Mean overlap of the pairs' lists, 0 to 1; 0 without pairs."""
    popular_alike: float
    """Mean overlap of the pairs' popularity lists: the most popular unseen movies of each user."""


class Top10Diversity:
    """Accumulator of all users' top-10 lists."""

    def __init__(self, rating_count: NDArray[np.int64], *, eligible: int | None = None) -> None:
        """Start without lists.

        Args:
            rating_count: [I] ratings of each movie.
            eligible: number of movies that lists may show; None: all.
        """
        self._movie_count = movie_count = len(rating_count)
        self._eligible = movie_count if eligible is None else eligible
        popular = np.argsort(-rating_count, kind="stable")[:_POPULAR]
        self._popular = np.append(popular, -1).astype(np.int32)  # last: no popular movie is left
        self._rank_of = np.full(movie_count + 1, len(popular))  # last rank for all other movies
        self._rank_of[popular] = np.arange(len(popular))
        self._hashes: list[NDArray[np.uint64]] = []
        self._covered = np.zeros(movie_count, np.bool_)
        self._first = np.zeros(movie_count, np.int64)
        self._last = np.zeros((0, 2, TOP), np.int32)  # last user of the previous tile
        self._pairs = 0
        self._common = np.zeros(2)

    def add(self, tile: Tile) -> None:
        """Add the lists of a tile."""
        position = tile.offsets[:-1, np.newaxis] + np.arange(TOP)  # [R, 10]
        inside = position < tile.offsets[1:, np.newaxis]
        tops = np.full(position.shape, -1, np.int32)
        tops[inside] = tile.items[position[inside]]
        mixed = (tops + 2).astype(np.uint64) * _MULTIPLIERS
        self._hashes.append(mixed.sum(axis=1, dtype=np.uint64)[inside[:, 0]])
        self._covered[tops[tops >= 0]] = True
        first = tops[:, 0]
        self._first += np.bincount(first[first >= 0], minlength=self._movie_count)
        self._compare_neighbours(tile, tops, inside[:, -1])

    def _compare_neighbours(
        self, tile: Tile, tops: NDArray[np.int32], is_full: NDArray[np.bool_]
    ) -> None:
        if tile.excluded is None:
            return
        seen = np.diff(tile.excluded.offsets)
        popular = self._unseen_popular(tile.excluded)
        enough = (seen >= FEWEST_RATINGS) & (self._movie_count - seen >= FEWEST_UNSEEN)
        lists = np.stack([tops, popular], axis=1)[is_full & enough & (popular[:, -1] >= 0)]
        lists = np.concatenate([self._last, lists])  # [users, 2, 10]
        self._last = lists[-1:]
        common = (lists[:-1, :, :, np.newaxis] == lists[1:, :, np.newaxis, :]).any(axis=3)
        self._common += common.mean(axis=2).sum(axis=0)
        self._pairs += len(common)

    def _unseen_popular(self, seen: Histories) -> NDArray[np.int32]:
        """Return each user's most popular unseen movies, [R, 10]; -1 where none is left."""
        rows, width = len(seen.offsets) - 1, len(self._popular)
        unseen = np.ones((rows, width), np.bool_)
        row = np.repeat(np.arange(rows), np.diff(seen.offsets))
        unseen[row, self._rank_of[seen.movie_index]] = False
        unseen[:, -1] = False
        position = np.cumsum(unseen, axis=1)  # [R, popular movies], from 1
        lists = np.full((rows, TOP), -1, np.int32)
        row, rank = np.nonzero(unseen & (position <= TOP))
        lists[row, position[row, rank] - 1] = self._popular[rank]
        return lists

    def figures(self) -> Top10Figures:
        """Return the diversity of all lists that were added."""
        hashes = np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)
        return Top10Figures(
            lists=len(hashes),
            distinct=len(np.unique(hashes)),
            covered=int(self._covered.sum()),
            coverable=min(self._eligible, TOP * len(hashes)),
            most_first=int(self._first.max(initial=0)),
            pairs=self._pairs,
            alike=float(self._common[0]) / max(1, self._pairs),
            popular_alike=float(self._common[1]) / max(1, self._pairs),
        )
