"""Rules as arrays, which a scoring task shares between all of its shards.

Shapes: R rows of a tile, I movies, W values of a movie, S similarity dimensions.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import saxpy

#: Places that diversity decides; the places after them follow the scores.
VARIED_PLACES: Final = 20
#: Candidates with the best scores, among which diversity chooses.
VARIED_AMONG: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class Cap:
    """Largest number of movies with the same value in the first places."""

    values: NDArray[np.int32]  # [I, W] numbers of a movie's values; -1: no further value
    at_most: int
    first: int


@dataclass(frozen=True, slots=True, eq=False)
class NewMovies:
    """Movies for which a share of the places is kept."""

    movie_index: NDArray[np.int32]  # ascending
    share: float

    def due(self, place: int) -> int:
        """Return the least number of new movies in the places from 0 to `place`."""
        # Shares such as 0.2 are rounded in binary: the fifth place is due, not the sixth.
        return int(np.floor(self.share * (place + 1) + 1e-9))


@dataclass(frozen=True, slots=True, eq=False)
class ListRules:
    """Rules for the lists of one family."""

    eligible: NDArray[np.bool_] | None = None  # [I]
    """Movies that may be shown; None: all."""
    boost: NDArray[np.float32] | None = None  # [I]
    """Standard deviations of a row's scores that are added; None: nothing."""
    caps: tuple[Cap, ...] = ()
    new: NewMovies | None = None
    diversity: float = 0.0
    """Weight of similarity to earlier places against the score, 0 to 1."""
    vectors: NDArray[np.float32] | None = None  # [I, S]
    """Unit vectors, or zeros, whose dot product is the similarity; needed for diversity."""
    repeats: bool = False
    """True if lists may show a movie of the user's history, which then does not explain itself."""

    @property
    def reorders(self) -> bool:
        """True if places depend on more than the scores."""
        return bool(self.caps or self.new or self.diversity)

    @property
    def changes_lists(self) -> bool:
        """True if lists may differ from those without rules."""
        return self.eligible is not None or self.boost is not None or self.repeats or self.reorders

    def candidates(self, k: int) -> int:
        """Return the number of best movies from which lists of length k are made at first."""
        return max(k, VARIED_AMONG) if self.diversity else k

    def with_vectors(self, vectors: NDArray[np.float32]) -> "ListRules":
        """Return the same rules with similarities, if any rule needs them.

        Args:
            vectors: [I, S] similarity vectors of any length.
        """
        if not self.diversity:
            return self
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        return replace(self, vectors=unit)

    def adjust(self, scores: NDArray[np.float32]) -> None:
        """Add boosts to the scores of a tile, and set those of ineligible movies to -inf.

        Args:
            scores: [R, I], changed in place.
        """
        if self.boost is not None:
            self._add_boosts(scores, self.boost)
        elif self.eligible is not None:
            scores += np.where(self.eligible, np.float32(0), np.float32(-np.inf))

    def _add_boosts(self, scores: NDArray[np.float32], boost: NDArray[np.float32]) -> None:
        added = boost if self.eligible is None else np.where(self.eligible, boost, -np.inf)
        added = added.astype(np.float32, copy=False)
        # Row by row, since a row stays in the processor's cache for all of its passes.
        ones, centred = np.ones_like(boost), np.empty_like(boost)
        for row in scores:
            np.subtract(row, (ones @ row) / len(row), out=centred)
            deviation = np.sqrt(centred @ centred / len(row))
            if deviation > 0:
                saxpy(added, row, a=deviation)  # row += deviation * added, in one pass
            else:  # nothing to boost, and 0 times minus infinity is no number
                row[np.isneginf(added)] = -np.inf


#: Rules that change nothing.
NO_RULES: Final = ListRules()
