"""Synthetic factors and histories of a shape, with the properties that determine scoring speed.

Movies differ in popularity and in the length of their vectors. Histories are as long as in
MovieLens (at least 20, median 72, mean about 149, at most 2,700) and contain popular movies more
often. All draws are seeded.

Shapes: U users, I movies, D width.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories

WIDTH = 64
SHORTEST, LONGEST = 20, 2_700
#: Standard deviation of the logarithm of a history's length above the shortest.
_MIDDLE, _SPREAD = np.log(52.0), 1.35


class Factors(NamedTuple):
    """Vectors whose dot product is a score."""

    users: NDArray[np.float32]  # [U, D]
    movies: NDArray[np.float32]  # [I, D]


def factors(users: int, movies: int, *, seed: int) -> Factors:
    """Draw vectors; the first movies are popular, as the first component shows."""
    rng = np.random.default_rng(seed)
    user = rng.standard_normal((users, WIDTH), np.float32) / np.float32(np.sqrt(WIDTH))
    movie = rng.standard_normal((movies, WIDTH), np.float32)
    movie *= np.exp(0.3 * rng.standard_normal((movies, 1), np.float32))
    user[:, 0] = 1
    movie[:, 0] = -0.5 * np.log1p(np.arange(movies) / 50)
    return Factors(user, movie)


def histories(users: int, movies: int, *, seed: int) -> Histories:
    """Draw rated movies; a few users have fewer than drawn, as no movie occurs twice."""
    rng = np.random.default_rng(seed)
    longest = min(LONGEST, movies // 2)
    drawn = SHORTEST + np.exp(_MIDDLE + _SPREAD * rng.standard_normal(users))
    lengths = np.minimum(drawn, longest).astype(np.int64)
    user = np.repeat(np.arange(users), lengths)
    movie = (movies * rng.random(len(user)) ** 3).astype(np.int64)  # the first movies more often
    pairs = np.sort(user * movies + movie)  # for tens of millions, much faster than np.unique
    user, movie = np.divmod(pairs[np.diff(pairs, prepend=-1) > 0], movies)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=users))])
    return Histories(offsets, movie.astype(np.int32))
