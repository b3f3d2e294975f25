"""EASE: item-item weights in closed form, factorised for a dot product.

Every movie is predicted from all others at once, so that a movie is recommended for the information
that it adds to the rest of the history. Unlike in the original, the matrix to solve is mostly the
ordered co-occurrence (`cooccurrence`) and only a little the plain co-rating counts. The [M, M]
solution is factorised, so that scores are dot products of a history's vector and each movie's.

Source:
    EASE: Steck, WWW 2019, doi:10.1145/3308558.3313710.

Shapes: U users, I movies, M movies with neighbours, D factors.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.settings.hyperparameters import EaseParameters

#: Subspace iterations.
_ITERATIONS = 3


class EaseFactors(NamedTuple):
    """Factorised weights: the scores of a history are history @ into @ out.T."""

    into: NDArray[np.float32]  # [I, D]; zeros for movies without neighbours
    out: NDArray[np.float32]  # [I, D]


def fit_ease(
    interactions: sp.csr_matrix,
    cooccurrence: sp.csr_matrix,
    parameters: EaseParameters,
    *,
    seed: int,
) -> EaseFactors:
    """Solve for the weights between movies and factorise them.

    Args:
        interactions: [U, I], 1 where the user rated the movie.
        cooccurrence: [I, I] from `cooccurrence_counts`; if empty, plain co-rating is used.
        parameters: hyper-parameters of the solution.
        seed: random seed of the factorisation.

    Returns:
        Factors, or zeros if no two movies are related.

    Cost:
        O(M^3) time, 3 * 4 * M^2 bytes; `parameters.most_movies` bounds M.
    """
    rated_by = np.bincount(interactions.indices, minlength=interactions.shape[1])
    chosen = movies_with_neighbours(rated_by, parameters)
    rated = interactions[:, chosen]
    together = np.asarray((rated.T @ rated).todense(), np.float32)  # [M, M]
    count = np.diag(together).copy()
    system = parameters.who_weight * together
    if cooccurrence.nnz:
        system += cooccurrence[chosen][:, chosen].toarray()
        system[np.diag_indices_from(system)] += parameters.own_weight * count
    system[np.diag_indices_from(system)] += parameters.l2
    precision = scipy.linalg.inv(system, overwrite_a=True, check_finite=False)
    weights = precision / -np.diag(precision)
    weights[np.diag_indices_from(weights)] = 0  # [M, M]: from rated movie to scored movie

    directions = _main_directions(together, weights, dim=parameters.factors, seed=seed)  # [M, D]
    shape = (interactions.shape[1], directions.shape[1])
    into, out = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    into[chosen] = weights @ directions
    out[chosen] = directions
    return EaseFactors(into, out)


def movies_with_neighbours(
    count: NDArray[np.int64], parameters: EaseParameters
) -> NDArray[np.int64]:
    """Return the indices of movies that take part, [M], ascending.

    These are the most rated movies with enough ratings, or the most rated ones if none has enough.

    Args:
        count: [I] ratings of each movie.
        parameters: hyper-parameters with the least ratings and the budget of movies.
    """
    order = np.lexsort((np.arange(len(count)), -count))[: parameters.most_movies]
    enough = order[count[order] >= parameters.least_ratings]
    return np.sort(enough if len(enough) else order)


def _main_directions(
    together: NDArray[np.float32], weights: NDArray[np.float32], *, dim: int, seed: int
) -> NDArray[np.float32]:
    """Return orthonormal directions [M, D] that preserve the scores of all histories best.

    These are the leading eigenvectors of weights.T @ together @ weights, that is scores.T @ scores
    without materialising the scores, by subspace iteration.
    """
    width = min(dim, len(together))
    extra = min(width + 16, len(together))
    basis = np.random.default_rng(seed).standard_normal((len(together), extra), np.float32)
    for _ in range(_ITERATIONS):
        basis = _orthonormal(weights.T @ (together @ (weights @ basis)))
    small = basis.T @ (weights.T @ (together @ (weights @ basis)))
    vectors = np.linalg.eigh((small + small.T) / 2)[1][:, ::-1]
    directions: NDArray[np.float32] = basis @ vectors[:, :width]
    return directions


def _orthonormal(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an orthonormal basis of the columns' span."""
    for _ in range(2):  # once is not exact enough; a QR decomposition is ten times slower
        columns = columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-30)
        gram = (columns.T @ columns).astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        # The largest is at least 1, unless all movies are unrelated and every column is zero.
        scaled = vectors / np.sqrt(np.maximum(values, 1e-7 * max(values[-1], 1)))
        columns = columns @ scaled.astype(np.float32)
    return columns
