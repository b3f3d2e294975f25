"""How much the order of ranked lists trusts a prediction: less, the fewer ratings a movie has.

By predicted stars alone, movies that one or two people loved stand first; nobody knows whether they
deserve it. Ordered by what the stars are at least, a movie has to be known to be recommended.

Shapes: I movies.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Ratings are about one star apart from what a good model predicts; a bound of two deviations.
_DOUBT: Final = 2.0


class Bound(NamedTuple):
    """What is taken off the predicted stars, in the order only; what is shown are the stars."""

    doubt: NDArray[np.float32]  # [I] stars
    scale: tuple[float, float]
    """Lowest and highest stars, to which predictions are held first."""


def doubt_of(rating_count: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how many stars few ratings leave open, [I]: 2 / sqrt(ratings + 1).

    A movie rated once stands 1.4 stars lower than its prediction, one rated 100 times 0.2.
    """
    return (_DOUBT / np.sqrt(rating_count + 1)).astype(np.float32)
