"""Item-item half of the hybrid: a sparse matrix of weights from rated movies to candidates.

Kinds of weights, of which the validation part selects one (`choose`):

- `ordered`: SLIM whose system is mostly the co-occurrence in the order of rating (`cooccurrence`);
  only with timestamps.
- `slim`: SLIM on co-rating alone.
- `walk`: RP3beta, a random walk from movie to user to movie; for long tails, where two movies have
  few common users.

A rating of a user with n ratings counts n ** -user_exponent in all of them, relative to the mean.

Shapes: U users, I movies, R movies that may have a weight, T candidates of a block.

Source:
    RP3beta: Paudel et al., ACM TiiS 2016, doi:10.1145/2955101.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.models.retrieval.slim import screened, solved
from reco_batch.settings.hyperparameters import NeighbourKind, NeighbourParameters

#: Candidates whose products with all rated movies are computed at a time.
_CANDIDATES_AT_ONCE: Final = 2_000


class RatedPairs(NamedTuple):
    """Everything about pairs of movies that the weights are fitted to."""

    interactions: sp.csr_matrix  # [U, I], 1 where the user rated the movie
    cooccurrence: sp.csr_matrix  # [I, I] from `cooccurrence_counts`; empty without order

    @property
    def kinds(self) -> tuple[NeighbourKind, ...]:
        """Kinds of weights that these data allow."""
        return tuple(
            kind
            for kind in NeighbourKind
            if self.cooccurrence.nnz or kind is not NeighbourKind.ORDERED
        )


def fit_neighbours(pairs: RatedPairs, parameters: NeighbourParameters) -> sp.csr_matrix:
    """Return the weights from rated movies (rows) to candidates (columns), [I, I].

    Args:
        pairs: ratings and co-occurrence. Without co-occurrence, `ordered` is the same as `slim`.
        parameters: hyper-parameters of the weights.

    Returns:
        At most `parameters.most_neighbours` weights a column, float32, non-negative, with a zero
        diagonal. Only the `parameters.most_movies` most rated movies have rows.

    Cost:
        O(sum over users of n^2 + I * K^2) time; 4 * R^2 bytes, except for `walk`.
    """
    counts = np.bincount(pairs.interactions.indices, minlength=pairs.interactions.shape[1])
    rows = most_rated(counts, parameters)
    if parameters.kind == NeighbourKind.WALK:
        return _walk(pairs.interactions, rows, counts, parameters)
    return _slim(pairs, rows, counts, parameters)


def most_rated(counts: NDArray[np.int64], parameters: NeighbourParameters) -> NDArray[np.int64]:
    """Return the indices of the movies that may have a weight, [R], ascending.

    Args:
        counts: [I] ratings of each movie.
        parameters: hyper-parameters with the budget of movies.
    """
    order = np.lexsort((np.arange(len(counts)), -counts))[: parameters.most_movies]
    return np.sort(order[counts[order] > 0])


def _user_weights(interactions: sp.csr_matrix, exponent: float) -> NDArray[np.float32]:
    """Return the weight of each user's ratings, [U], whose mean over the ratings is 1."""
    counts = np.diff(interactions.indptr)
    weights = np.maximum(counts, 1.0) ** -exponent
    mean = (weights * counts).sum() / max(counts.sum(), 1)
    scaled: NDArray[np.float32] = (weights / max(mean, 1e-12)).astype(np.float32)
    return scaled


def _slim(
    pairs: RatedPairs,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    parameters: NeighbourParameters,
) -> sp.csr_matrix:
    in_order = parameters.kind == NeighbourKind.ORDERED and bool(pairs.cooccurrence.nnz)
    share = parameters.together_weight if in_order else 1.0
    users = share * _user_weights(pairs.interactions, parameters.user_exponent)
    weighted = pairs.interactions[:, rows].T.tocsr() @ sp.diags(users)  # [R, U]
    ordered = pairs.cooccurrence[rows] if in_order else None

    def products(columns: NDArray[np.int64]) -> sp.csc_matrix:
        found = weighted @ pairs.interactions[:, columns]
        return (found if ordered is None else found + ordered[:, columns]).tocsc()

    system = np.empty((len(rows), len(rows)), np.float32)
    for block in _blocks(len(rows)):
        system[:, block] = products(rows[block]).toarray()
    if in_order:  # the counts have no diagonal of their own
        system[np.diag_indices_from(system)] += parameters.own_weight * counts[rows]
    totals = np.asarray(weighted.sum(axis=1)).ravel()
    totals = np.bincount(rows, totals, minlength=len(counts))
    candidates = np.flatnonzero(counts)
    parts = [
        _solved_block(products(candidates[block]), rows, candidates[block], totals, system, parameters)
        for block in _blocks(len(candidates))
    ]
    return _joined(parts, len(counts))


class _Part(NamedTuple):
    """Weights of some candidates."""

    rated: NDArray[np.int64]  # [N]
    candidate: NDArray[np.int64]  # [N]
    weight: NDArray[np.float32]  # [N]


def _solved_block(
    products: sp.csc_matrix,
    rows: NDArray[np.int64],
    candidates: NDArray[np.int64],
    totals: NDArray[np.floating],
    system: NDArray[np.float32],
    parameters: NeighbourParameters,
) -> _Part:
    near = screened(products, rows, candidates, totals, most=parameters.most_neighbours)
    place = np.repeat(np.arange(len(candidates)), near.shape[1])
    wanted = np.asarray(products.tocsr()[near.ravel(), place], np.float32).reshape(near.shape)
    weights = solved(system, wanted, near, l1=parameters.l1, l2=parameters.l2).ravel()
    kept = np.flatnonzero(weights)
    return _Part(rows[near.ravel()[kept]], candidates[place[kept]], weights[kept])


def _walk(
    interactions: sp.csr_matrix,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    parameters: NeighbourParameters,
) -> sp.csr_matrix:
    """Return the probabilities of a walk from movie to user to movie, less for popular movies."""
    of_user = sp.diags(1 / np.maximum(np.diff(interactions.indptr), 1).astype(np.float32))
    of_movie = sp.diags((1 / np.maximum(counts[rows], 1)).astype(np.float32))
    steps = of_movie @ interactions[:, rows].T.tocsr() @ of_user  # [R, U]
    candidates = np.flatnonzero(counts)
    parts = []
    for block in _blocks(len(candidates)):
        columns = candidates[block]
        reached = (steps @ interactions[:, columns]).tocsc()  # [R, T]
        reached = reached @ sp.diags(counts[columns].astype(np.float32) ** -parameters.popularity)
        parts.append(_largest(reached.tocsc(), rows, columns, most=parameters.most_neighbours))
    return _joined(parts, len(counts))


def _largest(
    products: sp.csc_matrix, rows: NDArray[np.int64], columns: NDArray[np.int64], *, most: int
) -> _Part:
    """Return the largest entries of each column, without those of a movie with itself."""
    parts = []
    for place, candidate in enumerate(columns):
        entries = slice(products.indptr[place], products.indptr[place + 1])
        rated, weight = rows[products.indices[entries]], products.data[entries]
        others = np.flatnonzero(rated != candidate)
        if len(others) > most:
            others = others[np.argpartition(-weight[others], most - 1)[:most]]
        parts.append(_Part(rated[others], np.full(len(others), candidate), weight[others]))
    return _Part(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _joined(parts: list[_Part], movie_count: int) -> sp.csr_matrix:
    """Return the weights of all candidates as one matrix."""
    shape = (movie_count, movie_count)
    if not parts:
        return sp.csr_matrix(shape, dtype=np.float32)
    rated, candidate, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    joined = sp.csr_matrix((weight.astype(np.float32), (rated, candidate)), shape)
    joined.sort_indices()
    return joined


def _blocks(count: int) -> Iterator[slice]:
    return (
        slice(start, start + _CANDIDATES_AT_ONCE) for start in range(0, count, _CANDIDATES_AT_ONCE)
    )
