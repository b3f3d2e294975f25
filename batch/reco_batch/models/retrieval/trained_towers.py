"""The history towers once they are trained: arrays, and what they make of a history.

    user  = sum of the vectors of the rated movies / length + own vector + vector of the time
    score = user . movie + movie's bias

`history_retrieval` trains them, in TensorFlow; nothing here needs it.

Shapes: U users, B of some of them, I movies, D width, T knots of time.
"""

from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

#: Added to a history's sum of squares, so that one without ratings has a length, too.
NO_WEIGHT: Final = 1e-9
_SECONDS_PER_YEAR: Final = 365.25 * 86400


class HistoryTowers(NamedTuple):
    """Both towers' vectors."""

    history: NDArray[np.float32]  # [I, D] each movie as part of a history
    movies: NDArray[np.float32]  # [I, D + 1] each movie as what is scored, and its bias
    users: NDArray[np.float32]  # [U, D] the own vectors of those trained on
    times: NDArray[np.float32]  # [T, D]

    def user_vectors(
        self,
        histories: sp.csr_matrix,
        times: NDArray[np.float32],
        own: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the vectors of users from their histories, [B, D + 1]; the last column is 1.

        Args:
            histories: [B, I] what each rating of theirs counts.
            times: [B, T] when they rated last, from `time_features`.
            own: [B, D] their own vectors; None for users never trained on.
        """
        summed = histories @ self.history * unit_weights(histories)[:, np.newaxis]
        summed += times @ self.times
        if own is not None:
            summed += own
        return np.column_stack([summed, np.ones(len(times), np.float32)])


def unit_weights(histories: sp.csr_matrix) -> NDArray[np.float32]:
    """Return what a weight of 1 becomes in each history as the towers see it, [B]."""
    users = len(histories.indptr) - 1
    row = np.repeat(np.arange(users), np.diff(histories.indptr))
    # Not scipy's power(), which sorts the entries of the caller's histories by movie.
    squares = np.bincount(row, histories.data**2, minlength=users)
    unit: NDArray[np.float32] = (1 / np.sqrt(squares + NO_WEIGHT)).astype(np.float32)
    return unit


def time_features(latest: NDArray[np.int64], *, years: tuple[int, int]) -> NDArray[np.float32]:
    """Return when users rated last, as shares of the two nearest turns of a year, [U, T].

    Args:
        latest: [U] seconds since 1970; 0 where unknown, which gives zeros.
        years: of the first and the last knot.
    """
    first, last = years
    knots = np.arange(first, last + 1)
    year = np.clip(1970 + latest / _SECONDS_PER_YEAR, first, last)
    shares = np.maximum(1 - np.abs(year[:, np.newaxis] - knots), 0)
    shares[latest == 0] = 0
    features: NDArray[np.float32] = shares.astype(np.float32)
    return features
