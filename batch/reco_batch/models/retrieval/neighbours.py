"""Item-item half of the hybrid: a sparse matrix of weights from rated movies to candidates.

`choose` selects the kind of weights on the validation part:

- `ordered`: SLIM on co-occurrence in the order of rating (`cooccurrence`) with a share of plain
  co-rating; requires timestamps.
- `slim`: SLIM on co-rating.
- `walk`: RP3beta, a random walk from movie to user to movie; for long-tailed catalogues, where two
  movies have few common users.

Co-ratings of a user with n ratings have the weight n ** -user_exponent, of mean 1 over the ratings.

Shapes: U users, I movies, R movies that may have a weight, T candidates of a block.

Source:
    RP3beta: Paudel et al., ACM TiiS 2016, doi:10.1145/2955101.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.retrieval.cooccurrence import cooccurrence_counts
from reco_batch.models.retrieval.history_weights import as_matrix, evidence
from reco_batch.models.retrieval.slim import Products, screened, solved
from reco_batch.scoring.sparse_term import Rated
from reco_batch.settings.hyperparameters import NeighbourKind, NeighbourParameters
from reco_batch.settings.processors import processors
from reco_store.prefetch import prefetch_map

_T = TypeVar("_T")

#: Candidates whose products with all rated movies are computed at a time by each thread.
_CANDIDATES_AT_ONCE: Final = 1_000

#: Rated movies, candidates and weights, [W] each.
_Entries: TypeAlias = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.floating]]


class RatedPairs(NamedTuple):
    """Statistics of pairs of movies to which the weights are fitted."""

    interactions: sp.csr_matrix
    """[U, I], 1 where the user rated the movie, or the square root of the strength of events."""
    cooccurrence: sp.csr_matrix  # [I, I] from `cooccurrence_counts`; empty without order

    @classmethod
    def of(
        cls,
        ratings: Ratings,
        rated: Rated,
        *,
        movie_count: int,
        parameters: NeighbourParameters,
    ) -> "RatedPairs":
        """Return the pairs of some ratings, within the budget of the parameters.

        Args:
            ratings: ratings to fit.
            rated: their strengths, newest first, [U] rows.
            movie_count: I.
            parameters: hyper-parameters with the budget.
        """
        longest = longest_history(np.diff(rated.history.offsets), parameters)
        return cls(
            _interactions(rated, ratings, longest, movie_count=movie_count),
            cooccurrence_counts(ratings, movie_count=movie_count, window=parameters.window),
        )

    @property
    def kinds(self) -> tuple[NeighbourKind, ...]:
        """Kinds of weights that these data allow."""
        return tuple(
            kind
            for kind in NeighbourKind
            if self.cooccurrence.nnz or kind is not NeighbourKind.ORDERED
        )


def _interactions(
    rated: Rated, ratings: Ratings, longest: int, *, movie_count: int
) -> sp.csr_matrix:
    """Return `RatedPairs.interactions` of the first ratings of each history."""
    first, strength = rated.history.first(longest), evidence(rated, ratings)
    if strength is None:
        return as_matrix(first, None, movie_count=movie_count)
    counts = np.diff(rated.history.offsets)
    place = np.arange(len(strength)) - np.repeat(rated.history.offsets[:-1], counts)
    roots = np.sqrt(strength[place < longest])
    matrix = as_matrix(first, roots, movie_count=movie_count).copy()
    matrix.eliminate_zeros()
    return matrix


def fit_neighbours(pairs: RatedPairs, parameters: NeighbourParameters) -> sp.csr_matrix:
    """Return the weights from rated movies (rows) to candidates (columns), [I, I].

    Args:
        pairs: ratings and co-occurrence. Without co-occurrence, `ordered` is the same as `slim`.
        parameters: hyper-parameters of the weights.

    Returns:
        At most `parameters.most_neighbours` weights a column, float32, non-negative, with a zero
        diagonal. Only the `parameters.most_movies` most rated movies have rows.

    Cost:
        O(sum over users of n^2 + I * (R + K^2)) time; 4 * R^2 bytes, except for `walk`.
    """
    if parameters.kind == NeighbourKind.WALK:
        return _walk(pairs.interactions, parameters)
    penalty = parameters.l1, parameters.l2
    return SlimProblem.of(pairs, parameters).weights([penalty])[0]


def most_rated(counts: NDArray[np.int64], parameters: NeighbourParameters) -> NDArray[np.int64]:
    """Return the indices of the movies that may have a weight, [R], ascending.

    Args:
        counts: [I] ratings of each movie.
        parameters: hyper-parameters with the budget of movies.
    """
    order = np.lexsort((np.arange(len(counts)), -counts))[: parameters.most_movies]
    return np.sort(order[counts[order] > 0])


def longest_history(counts: NDArray[np.integer], parameters: NeighbourParameters) -> int:
    """Return the ratings of a history that count, so that all pairs are within the budget.

    One automated account may have rated the whole catalogue, and its pairs outnumber all others.

    Args:
        counts: [U] ratings of each user.
        parameters: hyper-parameters with the budget of pairs.

    Returns:
        The largest L with a sum of min(n, L)^2 over users within the budget; at least 1.
    """
    ascending = np.sort(counts).astype(np.float64)
    whole = np.cumsum(ascending**2)
    if not len(counts) or whole[-1] <= parameters.most_products:
        return int(ascending.max(initial=1))
    # If the users from place p on are cut to the length of the one at p.
    longer = np.arange(len(counts), 0, -1)
    pairs = whole - ascending**2 + longer * ascending**2
    place = int(np.searchsorted(pairs, parameters.most_products, "right"))
    before = whole[place - 1] if place else 0.0
    return max(1, int(np.sqrt((parameters.most_products - before) / longer[place])))


def _user_weights(interactions: sp.csr_matrix, exponent: float) -> NDArray[np.float32]:
    """Return the weight of each user's ratings, [U], whose mean over the ratings is 1."""
    counts = np.diff(interactions.indptr)
    weights = np.maximum(counts, 1.0) ** -exponent
    mean = (weights * counts).sum() / max(counts.sum(), 1)
    scaled: NDArray[np.float32] = (weights / max(mean, 1e-12)).astype(np.float32)
    return scaled


class SlimProblem(NamedTuple):
    """Normal equations of SLIM, which do not depend on its penalties."""

    movie_count: int
    rows: NDArray[np.int64]  # [R] movies that may have a weight
    candidates: NDArray[np.int64]  # [T]
    near: NDArray[np.int64]  # [T, K] from `screened`
    wanted: NDArray[np.float32]  # [T, K] products of each candidate with its neighbours
    system: NDArray[np.float32]  # [R, R]

    @classmethod
    def of(cls, pairs: RatedPairs, parameters: NeighbourParameters) -> "SlimProblem":
        """Return the problem of `ordered` or `slim` weights."""
        counts = np.bincount(pairs.interactions.indices, minlength=pairs.interactions.shape[1])
        rows, candidates = most_rated(counts, parameters), np.flatnonzero(counts)
        products = _products(pairs, rows, parameters)
        system = np.empty((len(rows), len(rows)), np.float32)
        near = np.empty((len(candidates), parameters.most_neighbours), np.int64)
        wanted = np.empty(near.shape, np.float32)

        def fill(block: slice) -> None:
            near[block], wanted[block] = screened(
                products, candidates[block], system, most=parameters.most_neighbours
            )

        for _ in _by_block(fill, len(candidates)):
            pass
        return cls(len(counts), rows, candidates, near, wanted, system)

    def weights(self, penalties: Sequence[tuple[float, float]]) -> list[sp.csr_matrix]:
        """Return the weights, [I, I], for each pair of an L1 and an L2 penalty."""

        def entries(block: slice) -> list[_Entries]:
            near, candidates = self.near[block], self.candidates[block]
            found: list[_Entries] = []
            for weights in solved(self.system, self.wanted[block], near, penalties):
                candidate, neighbour = np.nonzero(weights)
                rated = self.rows[near[candidate, neighbour]].astype(np.int32)
                own = candidates[candidate].astype(np.int32)
                found.append((rated, own, weights[candidate, neighbour]))
            return found

        of_blocks = list(_by_block(entries, len(self.candidates)))
        # Each block gives up the entries of a pair, or all would be in memory twice.
        return [_sparse([found.pop(0) for found in of_blocks], self.movie_count) for _ in penalties]


def _products(
    pairs: RatedPairs, rows: NDArray[np.int64], parameters: NeighbourParameters
) -> Products:
    """Return the factors of the products of all movies with those that may have a weight, [R]."""
    interactions, counts = pairs.interactions, pairs.cooccurrence
    movies, diagonal = interactions.shape[1], np.zeros(len(rows), np.float32)
    share = np.float32(1)
    if parameters.kind == NeighbourKind.ORDERED and counts.nnz:
        share = np.float32(parameters.together_weight)
        sizes = _sums(interactions, of_movies=True, power=2)
        diagonal = (parameters.own_weight * sizes[rows]).astype(np.float32)  # the counts have none
    else:
        counts = sp.csr_matrix((movies, movies), dtype=np.float32)
    own = interactions[:, rows]
    rated = (sp.diags(share * _user_weights(interactions, parameters.user_exponent)) @ own).tocsr()
    totals = np.asarray(rated.multiply(own).sum(axis=0)).ravel()
    places = np.full(movies, -1)
    places[rows] = np.arange(len(rows))
    return Products(interactions.T.tocsr(), rated, counts, places, diagonal, totals)


def _walk(interactions: sp.csr_matrix, parameters: NeighbourParameters) -> sp.csr_matrix:
    """Return the probabilities of a walk from movie to user to movie, less for popular movies."""
    counts = np.bincount(interactions.indices, minlength=interactions.shape[1])
    rows, candidates = most_rated(counts, parameters), np.flatnonzero(counts)
    columns_of = interactions.tocsc()
    by_user, by_movie = (_sums(interactions, of_movies=one) for one in (False, True))
    of_user = sp.diags(1 / by_user.astype(np.float32))
    of_movie = sp.diags((1 / by_movie[rows]).astype(np.float32))
    steps = (of_movie @ columns_of[:, rows].T.tocsr() @ of_user).tocsr()  # [R, U]
    scale = by_movie.astype(np.float32) ** -parameters.popularity
    entries: list[_Entries] = []
    for block in _blocks(len(candidates)):
        reached = (steps @ columns_of[:, candidates[block]]).tocsc()  # [R, T]
        for place, movie in enumerate(candidates[block]):
            column = slice(reached.indptr[place], reached.indptr[place + 1])
            near, own = rows[reached.indices[column]], reached.data[column]
            near, own = _largest(near, np.where(near == movie, 0, own), parameters.most_neighbours)
            entries.append((near, np.full(len(near), movie), own * scale[movie]))
    return _sparse(entries, len(counts))


def _sums(interactions: sp.csr_matrix, *, of_movies: bool, power: int = 1) -> NDArray[np.float64]:
    """Return the sum of the powers of the interactions of each user, [U], or movie, [I].

    1 for a user or movie without any, so that dividing by the sum is safe.
    """
    shape, counts = interactions.shape, np.diff(interactions.indptr)
    row = interactions.indices if of_movies else np.repeat(np.arange(shape[0]), counts)
    sums = np.bincount(row, interactions.data**power, minlength=shape[of_movies])
    return np.where(sums > 0, sums, 1)


def _largest(
    movies: NDArray[np.int64], weights: NDArray[np.float32], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the movies with the largest weights above zero, and the weights."""
    if len(weights) > most:
        chosen = np.argpartition(-weights, most - 1)[:most]
        movies, weights = movies[chosen], weights[chosen]
    kept = weights > 0
    return movies[kept], weights[kept]


def _sparse(entries: Sequence[_Entries], movie_count: int) -> sp.csr_matrix:
    """Return weights as a matrix, [I, I]."""
    shape = (movie_count, movie_count)
    if not entries:
        return sp.csr_matrix(shape, dtype=np.float32)
    rated, candidate, weight = map(np.concatenate, zip(*entries, strict=True))
    weights = sp.csr_matrix((weight.astype(np.float32), (rated, candidate)), shape)
    weights.sort_indices()
    return weights


def _by_block(work: Callable[[slice], _T], count: int) -> Iterator[_T]:
    """Yield the results of work on each block of candidates, in order, by all processors."""
    return prefetch_map(work, _blocks(count), threads=processors())


def _blocks(count: int) -> Iterator[slice]:
    return (
        slice(start, start + _CANDIDATES_AT_ONCE) for start in range(0, count, _CANDIDATES_AT_ONCE)
    )
