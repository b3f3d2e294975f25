"""Which movies go with which, solved in closed form, as factors of a dot product.

Every movie is predicted from all others at once (EASE), so that a movie is recommended for what
it adds and not for what another of the history says already. What is new here is the matrix that
the solution is taken from: mostly how closely movies were rated one after the other (`sessions`),
and only a little who rated both. The solution, movies by movies, is then cut down to factors, and
so answers by a dot product: a history's vector against each movie's.

Source:
    EASE: Steck, WWW 2019, doi:10.1145/3308558.3313710.

Shapes: U users, I movies, M movies that take part, D factors.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.settings.hyperparameters import NeighbourParameters

_ITERATIONS = 3


class Neighbours(NamedTuple):
    """A user's vector is history @ into, its score of every movie that @ out.T."""

    into: NDArray[np.float32]  # [I, D]; zeros for movies that take no part
    out: NDArray[np.float32]  # [I, D]


def fit_neighbours(
    interactions: sp.csr_matrix,
    co_ratings: sp.csr_matrix,
    parameters: NeighbourParameters,
    *,
    seed: int,
) -> Neighbours:
    """Solve for the weights between movies and factorise them.

    Args:
        interactions: [U, I], 1 where the user rated the movie.
        co_ratings: [I, I] from `sessions.co_ratings`; when empty, who rated both is all there is.
        parameters: of the solution.
        seed: of the factorisation.

    Returns:
        The factors; zeros if no two movies go together.

    Cost:
        O(M^3) time, 3 * 4 * M^2 bytes; M is bounded by `parameters.most_movies`, the most rated
        ones. Movies beyond it are left to the tower.
    """
    rated_by = np.bincount(interactions.indices, minlength=interactions.shape[1])
    chosen = taking_part(rated_by, parameters)
    rated = interactions[:, chosen]
    together = np.asarray((rated.T @ rated).todense(), np.float32)  # [M, M]
    count = np.diag(together).copy()
    system = parameters.who_weight * together
    if co_ratings.nnz:
        system += co_ratings[chosen][:, chosen].toarray()
        system[np.diag_indices_from(system)] += parameters.own_weight * count
    system[np.diag_indices_from(system)] += parameters.l2
    precision = scipy.linalg.inv(system, overwrite_a=True, check_finite=False)
    weights = precision / -np.diag(precision)
    weights[np.diag_indices_from(weights)] = 0  # [M, M]: from the history's movie to the scored

    directions = _main_directions(together, weights, dim=parameters.factors, seed=seed)  # [M, D]
    shape = (interactions.shape[1], directions.shape[1])
    into, out = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    into[chosen] = weights @ directions
    out[chosen] = directions
    return Neighbours(into, out)


def taking_part(count: NDArray[np.int64], parameters: NeighbourParameters) -> NDArray[np.int64]:
    """Return the movies with enough ratings, or the most rated of them, in ascending order.

    Args:
        count: [I] ratings of each movie.
        parameters: how many are enough, and how many movies there may be.
    """
    order = np.lexsort((np.arange(len(count)), -count))[: parameters.most_movies]
    enough = order[count[order] >= parameters.least_ratings]
    return np.sort(enough if len(enough) else order)


def _main_directions(
    together: NDArray[np.float32], weights: NDArray[np.float32], *, dim: int, seed: int
) -> NDArray[np.float32]:
    """Return orthonormal [M, D] that keep most of the scores of all users' histories.

    These are the leading eigenvectors of weights.T @ together @ weights, which is scores.T @ scores
    without ever holding the scores, found by subspace iteration.
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
    """Return an orthonormal basis of the columns' span; twice, as once is not quite enough."""
    for _ in range(2):  # a QR decomposition would be ten times slower here
        columns = columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-30)
        gram = (columns.T @ columns).astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        # The largest is at least 1, unless no movie goes with any other and every column is zero.
        scaled = vectors / np.sqrt(np.maximum(values, 1e-7 * max(values[-1], 1)))
        columns = columns @ scaled.astype(np.float32)
    return columns
