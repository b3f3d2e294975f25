"""Arrays of a trained history encoder, and the vectors that it gives users.

Computing with them needs no TensorFlow, so that a refresh does not load it.

Shapes: U users, I movies, D width, B users of a block, T knots of time.
"""

from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

#: Added to a history's sum of squares, which avoids division by zero for an empty history.
NO_WEIGHT: Final = 1e-9
_SECONDS_PER_YEAR: Final = 365.25 * 86400


class EncoderWeights(NamedTuple):
    """Arrays of a trained history encoder."""

    history: NDArray[np.float32]  # [I, D] each movie as part of a history
    movies: NDArray[np.float32]  # [I, D + 1] each movie as a candidate, and its bias
    users: NDArray[np.float32]  # [U, D] own vectors of the trained users
    times: NDArray[np.float32]  # [T, D]

    def user_vectors(
        self,
        histories: sp.csr_matrix,
        times: NDArray[np.float32],
        own: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the vectors of users from their histories, [B, D + 1]; the last column is 1.

        Args:
            histories: [B, I] weight of each rating.
            times: [B, T] time of the latest rating, from `time_features`.
            own: [B, D] own vectors; None for users who were not trained on.
        """
        summed = histories @ self.history * unit_weights(histories)[:, np.newaxis]
        summed += times @ self.times
        if own is not None:
            summed += own
        return np.column_stack([summed, np.ones(len(times), np.float32)])


def unit_weights(histories: sp.csr_matrix) -> NDArray[np.float32]:
    """Return the factor that scales the weights of each history to length 1, [B]."""
    users = len(histories.indptr) - 1
    row = np.repeat(np.arange(users), np.diff(histories.indptr))
    # Not scipy's power(), which sorts the entries of the caller's histories by movie.
    squares = np.bincount(row, histories.data**2, minlength=users)
    unit: NDArray[np.float32] = (1 / np.sqrt(squares + NO_WEIGHT)).astype(np.float32)
    return unit


def time_features(latest: NDArray[np.int64], *, years: tuple[int, int]) -> NDArray[np.float32]:
    """Return the time of the latest rating as shares of the two nearest knots, [U, T].

    Args:
        latest: [U] seconds since 1970; 0 for unknown, which gives zeros.
        years: first and last knot; there is a knot at the start of each year.
    """
    first, last = years
    knots = np.arange(first, last + 1)
    year = np.clip(1970 + latest / _SECONDS_PER_YEAR, first, last)
    shares = np.maximum(1 - np.abs(year[:, np.newaxis] - knots), 0)
    shares[latest == 0] = 0
    features: NDArray[np.float32] = shares.astype(np.float32)
    return features
