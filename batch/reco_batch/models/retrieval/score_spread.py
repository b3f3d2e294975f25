"""How far the scores of a user spread over the catalogue, without computing a score.

Shapes: U users, I movies, D width.
"""

import numpy as np
from numpy.typing import NDArray


def covariance(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [D, D] of [I, D], as `np.cov` does; zeros for one row, and a matrix for D = 1 too."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    of_columns: NDArray[np.float64] = centred.T @ centred / max(len(rows) - 1, 1)
    return of_columns


def spread(vectors: NDArray[np.float32], of_movies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of each user's scores over the movies, [U, 1].

    Args:
        vectors: [U, D] of the users.
        of_movies: [D, D], the covariance of the movies' vectors.
    """
    variance = np.einsum("ud,ud->u", vectors @ of_movies, vectors)
    deviation: NDArray[np.float64] = np.sqrt(np.maximum(variance, 1e-12))[:, np.newaxis]
    return deviation
