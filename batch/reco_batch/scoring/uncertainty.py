"""Uncertainty of predicted ratings, which is larger for movies with few ratings.

Ordered by the predicted rating alone, movies with one or two high ratings come first. Ordered by a
lower bound of the rating, a movie needs several ratings to be recommended.

Shapes: I movies.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Two standard deviations, in stars: a good model is about one star off.
_DOUBT: Final = 2.0


class Bound(NamedTuple):
    """Lower bound of predicted ratings, used for the order only; lists contain the prediction."""

    doubt: NDArray[np.float32]  # [I] stars, subtracted from the prediction
    scale: tuple[float, float]
    """Lowest and highest rating, to which predictions are clipped first."""


def doubt_of(rating_count: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the uncertainty of each movie's rating, 2 / sqrt(ratings + 1), in stars, [I].

    A movie rated once is ordered 1.4 stars below its prediction, one rated 100 times 0.2 stars.
    """
    return (_DOUBT / np.sqrt(rating_count + 1)).astype(np.float32)
