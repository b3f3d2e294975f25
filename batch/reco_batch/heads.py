"""The first ten of all users together: how many are different, and how many movies they show.

Shapes: R lists in a tile, E movies in all its lists, I movies of the catalogue.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.dataset import Histories

#: What a person looks at: the length of the list's beginning that is compared.
HEAD: Final = 10
#: Somebody with a smaller choice has no first ten of their own to speak of.
_CHOICE: Final = 3 * HEAD
#: Odd, so that a list's hash depends on every bit of every movie in it and on their order.
_MULTIPLIERS: Final = 2 * np.random.default_rng(0).integers(2**62, 2**63, HEAD, np.uint64) + 1


class Tile(NamedTuple):
    """Lists that are measured together."""

    items: NDArray[np.int32]  # [E] index; -1: not in the catalogue
    offsets: NDArray[np.int64]  # [R + 1]
    row: NDArray[np.int64]  # [E]
    scores: NDArray[np.floating] | None  # [E]
    excluded: Histories | None


class HeadFigures(NamedTuple):
    """Of the first ten of all users together."""

    lists: int  # that are not empty
    distinct: int
    covered: int  # different movies
    coverable: int  # as many as could be
    most_first: int  # users who see the most frequent first movie first
    pairs: int  # of neighbours who both have a choice
    alike: float  # mean share that the neighbours have in common; 0 without a pair


class Heads:
    """Collects the first ten of all users."""

    def __init__(self, movie_count: int) -> None:
        self._movie_count = movie_count
        self._hashes: list[NDArray[np.uint64]] = []
        self._covered = np.zeros(movie_count, np.bool_)
        self._first = np.zeros(movie_count, np.int64)
        self._last = np.zeros((0, HEAD), np.int32)  # of the tile before
        self._pairs = 0
        self._common = 0.0

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
        seen = 0 if tile.excluded is None else np.diff(tile.excluded.offsets)
        chose = heads[whole & (self._movie_count - seen >= _CHOICE)]
        chose = np.concatenate([self._last, chose])
        self._last = chose[-1:]
        common = (chose[:-1, :, np.newaxis] == chose[1:, np.newaxis, :]).any(axis=2)
        self._common += float(common.mean(axis=1).sum())
        self._pairs += len(common)

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
            alike=self._common / max(1, self._pairs),
        )
