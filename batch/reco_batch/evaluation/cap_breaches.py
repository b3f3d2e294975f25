"""Lists that show more movies of one value than a cap allows, although others were left.

A cap gives way where no eligible movie is left that it allows. That is decided for the lists which
exceed a cap, so it costs nothing where all caps hold.

Shapes: R lists in a tile, E movies in all its lists, I movies of the catalogue, W values of a
movie, P first places.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.evaluation.top10_diversity import Tile
from reco_batch.rules.list_rules import Cap

#: Sets of values whose allowed movies are remembered.
_REMEMBERED: Final = 1000


class CapBreaches:
    """Judge of the user lists of one artifact."""

    def __init__(self, caps: Sequence[Cap], eligible: NDArray[np.bool_]) -> None:
        """Take the rules.

        Args:
            caps: with the values of each movie, [I, W].
            eligible: movies that lists may show, [I].
        """
        self._caps, self._eligible = caps, eligible
        self._allowed: dict[tuple[frozenset[int], ...], NDArray[np.int64]] = {}

    def count(self, tile: Tile) -> int:
        """Return the number of lists that exceed a cap without need.

        Movies of the history count as left out, even if rules allow some of them again.
        """
        if not self._caps:
            return 0
        width = max(cap.first for cap in self._caps)
        position = tile.offsets[:-1, np.newaxis] + np.arange(width)
        inside = position < tile.offsets[1:, np.newaxis]
        first = np.full(position.shape, -1, np.int32)  # [R, P]
        first[inside] = tile.items[position[inside]]
        over = np.zeros(first.shape, np.bool_)
        for cap in self._caps:
            over[:, : cap.first] |= _exceeds(cap, first[:, : cap.first])
        rows = np.flatnonzero(over.any(axis=1))
        return sum(self._is_breach(tile, int(row), first[row], over[row]) for row in rows)

    def _is_breach(
        self, tile: Tile, row: int, first: NDArray[np.int32], over: NDArray[np.bool_]
    ) -> bool:
        """Return whether a movie was left for any of the places that exceed a cap."""
        gone = tile.excluded.of(row) if tile.excluded is not None else first[:0]
        return any(
            not np.isin(
                self._allowed_after(first[:place], int(place)),
                np.concatenate([gone, first[:place]]),
            ).all()
            for place in np.flatnonzero(over)
        )

    def _allowed_after(self, shown: NDArray[np.int32], place: int) -> NDArray[np.int64]:
        """Return the eligible movies that all caps allow in a place, after those shown."""
        known = shown[shown >= 0]
        full = tuple(
            frozenset(_full(cap, known)) if place < cap.first else frozenset() for cap in self._caps
        )
        if full not in self._allowed:
            if len(self._allowed) == _REMEMBERED:
                self._allowed.clear()
            allowed = self._eligible.copy()
            for cap, values in zip(self._caps, full, strict=True):
                allowed &= ~np.isin(cap.values, list(values)).any(axis=1)
            self._allowed[full] = np.flatnonzero(allowed)
        return self._allowed[full]


def _full(cap: Cap, shown: NDArray[np.int32]) -> list[int]:
    """Return the values of which as many movies are shown as a cap allows."""
    own = [np.unique(values) for values in cap.values[shown]]
    values, counts = np.unique(np.concatenate([*own, [-1]]), return_counts=True)
    return [int(one) for one in values[(counts >= cap.at_most) & (values >= 0)]]


def _exceeds(cap: Cap, first: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which movies have a value of which enough precede them, [R, P]."""
    values = np.where((first >= 0)[:, :, np.newaxis], cap.values[first], -1)  # [R, P, W]
    over = np.zeros(first.shape, np.bool_)
    for place in range(cap.at_most, first.shape[1]):
        for own in values[:, place].T:
            same = (values[:, :place] == own[:, np.newaxis, np.newaxis]).any(axis=2)
            over[:, place] |= (own >= 0) & (same.sum(axis=1) >= cap.at_most)
    return over
