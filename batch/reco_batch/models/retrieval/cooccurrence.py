"""What people rated one after the other: which movies belong together, told by the order.

Two movies that a person rates in one sitting, a few ratings apart, have more to do with each other
than two that the same person rates a year apart; counting only *who* rated both loses that. Each
pair of one user's ratings that stand up to `window` apart counts 1 / sqrt(how far apart), and less
the more time lies between them.

Pure functions over arrays; without timestamps there is no order, and the counts are empty.

Shapes: N ratings, U users, I movies, D factors.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from reco_batch.data.dataset import Ratings
from reco_batch.data.ordering import user_by_user

SITTING_SECONDS: Final = 7200.0
"""After this long a pair counts 1/e of what it would have counted at once."""
#: Pairs looked at; beyond, the window shrinks. What is kept of a pair takes 16 bytes at most.
_MOST_PAIRS: Final = 240_000_000
#: Pairs counted at a time, 24 bytes each; small data is counted in one go.
_PAIRS_AT_ONCE: Final = 16_000_000
_LEAST_TIME_SHARE: Final = 1e-3
#: Largest share of rated movies without ordered counts that are represented by content alone.
_FEW_WITHOUT_ORDER: Final = 0.1
#: Singular values below this part of the largest are rounding.
_NO_VALUE: Final = 1e-5
#: Users whose ratings are folded in at a time: 8 MB of directions.
_USERS_AT_ONCE: Final = 16_384
#: Movies of which pairs are counted where there is no order; others are folded in.
_MOST_MOVIES: Final = 8_000
#: Added to every movie's total before scaling by it, so that rare pairs do not stand out.
_SHRINKAGE: Final = 20.0


class Sequence(NamedTuple):
    """Ratings in the order in which each user gave them, users one after the other."""

    user_index: NDArray[np.int32]  # [N], ascending
    movie_index: NDArray[np.int32]  # [N]
    timestamp: NDArray[np.int64]  # [N], ascending within a user


def in_order(ratings: Ratings) -> Sequence:
    """Sort ratings by user and time, and those of equal times as if by lot.

    The lot is of the user and the movie, so the same data have the same order. The order of the
    catalogue would make neighbours of movies that stand next to each other there.

    Raises:
        ValueError: the ratings have no timestamps.
    """
    if ratings.timestamp is None:
        raise ValueError("ratings without timestamps have no order")
    lot = _lot(ratings.user_index, ratings.movie_index)
    order = user_by_user(ratings.user_index, ratings.timestamp, ties=lot)
    return Sequence(ratings.user_index[order], ratings.movie_index[order], ratings.timestamp[order])


def _lot(user: NDArray[np.int32], movie: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return a number of each pair that looks random, [N].

    Source:
        The mixing of SplitMix64, Steele et al., OOPSLA 2014, doi:10.1145/2660193.2660195.
    """
    mixed = user.astype(np.uint64) << np.uint64(32) | movie.astype(np.uint64)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    lot: NDArray[np.uint64] = mixed ^ mixed >> np.uint64(31)
    return lot


def co_ratings(ratings: Ratings, *, movie_count: int, window: int) -> sp.csr_matrix:
    """Count how closely every two movies were rated, summed over users.

    Args:
        ratings: to count.
        movie_count: I.
        window: the furthest two ratings of a pair may stand apart.

    Returns:
        [I, I] sparse, symmetric, float32, zero diagonal; empty where nobody's ratings have two
        different times.

    Cost:
        O(N * window) time, bounded by shrinking the window; memory grows with the pairs that are
        different, and is bounded likewise.
    """
    one_way = sp.csr_matrix((movie_count, movie_count), dtype=np.float32)
    if ratings.timestamp is None or not len(ratings):
        return one_way
    sequence = _of_users_with_order(in_order(ratings))
    widest = affordable_window(window, len(ratings))
    at_once = max(1, _PAIRS_AT_ONCE // widest)
    for part in _whole_users(sequence.user_index, at_once=at_once):
        one_way = one_way + _one_way(sequence, part, movie_count=movie_count, window=widest)
    del sequence
    both_ways = (one_way + one_way.T).tocsr()
    both_ways.sort_indices()
    return both_ways


def has_order(ratings: Ratings) -> bool:
    """Tell whether anybody gave ratings at two different times."""
    if ratings.timestamp is None or not len(ratings):
        return False
    users = int(ratings.user_index.max()) + 1
    first = np.full(users, np.iinfo(np.int64).max)
    last = np.full(users, np.iinfo(np.int64).min)
    np.minimum.at(first, ratings.user_index, ratings.timestamp)
    np.maximum.at(last, ratings.user_index, ratings.timestamp)
    return bool((first < last).any())


def _of_users_with_order(sequence: Sequence) -> Sequence:
    """Leave out users whose ratings all have one time, such as that of an import."""
    user, timestamp = sequence.user_index, sequence.timestamp
    starts = np.flatnonzero(np.concatenate([[True], user[1:] != user[:-1]]))
    ends = np.concatenate([starts[1:], [len(user)]])
    ordered = timestamp[starts] < timestamp[ends - 1]
    if ordered.all():
        return sequence
    kept = np.repeat(ordered, ends - starts)
    return Sequence(*(column[kept] for column in sequence))


def _whole_users(user_index: NDArray[np.int32], *, at_once: int) -> Iterator[slice]:
    """Cut ascending users into parts of about so many rows, no user into two."""
    start = 0
    while start < len(user_index):
        last = user_index[min(start + at_once, len(user_index)) - 1]
        stop = int(np.searchsorted(user_index, last, side="right"))
        yield slice(start, stop)
        start = stop


def _one_way(sequence: Sequence, part: slice, *, movie_count: int, window: int) -> sp.csr_matrix:
    """Count the pairs of a part of the users: later movie, earlier movie; [I, I]."""
    user, movie, timestamp = (column[part] for column in sequence)
    rows, columns, weights = [], [], []
    for apart in range(1, window + 1):
        pairs = np.flatnonzero(user[apart:] == user[:-apart])
        seconds = timestamp[pairs + apart] - timestamp[pairs]
        share = np.exp(-seconds / SITTING_SECONDS)
        near = share > _LEAST_TIME_SHARE
        rows.append(movie[pairs[near] + apart])
        columns.append(movie[pairs[near]])
        weights.append((share[near] / np.sqrt(apart)).astype(np.float32))
    places = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_matrix((np.concatenate(weights), places), (movie_count, movie_count))


def affordable_window(window: int, rating_count: int) -> int:
    """Return the window, or as much of it as the stated number of pairs allows; at least 1."""
    return int(np.clip(_MOST_PAIRS // max(rating_count, 1), 1, window))


def co_rating_factors(
    counts: sp.csr_matrix,
    interactions: sp.csr_matrix,
    *,
    dim: int,
    seed: int,
    folded_in: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return the main directions in which movies are rated together, [I, D].

    Args:
        counts: [I, I] from `co_ratings`.
        interactions: [U, I], 1 where the user rated the movie: who rated both stands in for empty
            counts, which is all there is where ratings have no order.
        dim: D; less where there are fewer movies.
        seed: of the randomised decomposition.
        folded_in: [I] movies whose factors follow from who rated both if they have no counts; None:
            none, but for counts that are empty all.

    Returns:
        Singular vectors times singular values of the counts, each scaled by both movies' totals.
        Of movies without counts, what the directions of the others give for who rated both, or
        zeros.

    Source:
        Randomised SVD, Halko et al., SIAM Review 2011, doi:10.1137/090771806.
    """
    if not counts.nnz:
        counts = _rated_both(interactions)
        folded_in = np.ones(counts.shape[0], np.bool_)
    if not counts.nnz:
        return np.zeros((counts.shape[0], dim), np.float32)
    width = min(dim, counts.shape[0])
    left, values, right = randomized_svd(_scaled(counts), width, n_iter=3, random_state=seed)
    factors: NDArray[np.float32] = (left * values).astype(np.float32)
    if folded_in is not None:
        without = np.flatnonzero(folded_in & (np.diff(counts.indptr) == 0))
        counted = np.diff(counts.indptr) > 0
        # The factors of a movie with counts are its scaled row times these. A direction without a
        # value is none: it may point anywhere.
        directions = (right.T * _scale(counts)[:, np.newaxis]).astype(np.float32)
        directions[:, values <= _NO_VALUE * values[0]] = 0
        directions[~counted] = 0
        factors[without] = _folded_in(without, directions, interactions, counted)
    return factors


def without_order(counts: sp.csr_matrix, interactions: sp.csr_matrix) -> NDArray[np.bool_] | None:
    """Return a mask of the movies that need co-ratings in place of ordered counts, [I]; None: none.

    Where nearly all movies have ordered counts, as with films rated in sittings, the few others are
    represented by their content. Where people buy one thing a week, hardly any have such counts.
    """
    silent: NDArray[np.bool_] = np.diff(counts.indptr) == 0
    rated = np.bincount(interactions.indices, minlength=len(silent)) > 0
    return silent if (silent & rated).sum() > _FEW_WITHOUT_ORDER * rated.sum() else None


def _folded_in(
    movies: NDArray[np.int64],
    directions: NDArray[np.float32],
    interactions: sp.csr_matrix,
    counted: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return the factors of movies by who rated them and one that has counts, [M, D].

    Args:
        movies: [M].
        directions: [I, D], zeros for movies without counts.
        interactions: [U, I].
        counted: [I], whether a movie has counts.

    Cost:
        O(N * D) time; memory grows with M, not with the pairs.
    """
    factors = np.zeros((len(movies), directions.shape[1]), np.float32)
    total = np.zeros(len(movies), np.float32)
    for start in range(0, interactions.shape[0] if len(movies) else 0, _USERS_AT_ONCE):
        users = interactions[start : start + _USERS_AT_ONCE]
        raters = users[:, movies].T.tocsr()  # [M, users]
        factors += raters @ (users @ directions)
        total += raters @ (users @ counted.astype(np.float32))
    factors /= np.sqrt(total + _SHRINKAGE)[:, np.newaxis]
    return factors


def _scale(counts: sp.csr_matrix) -> NDArray[np.floating]:
    """Return the factor that normalises the counts of each movie, [I]."""
    scale: NDArray[np.floating] = 1 / np.sqrt(np.asarray(counts.sum(axis=1)).ravel() + _SHRINKAGE)
    return scale


def _scaled(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return the counts divided by both movies' totals; the places of its entries are shared."""
    scale = _scale(counts)
    values = counts.data * np.repeat(scale, np.diff(counts.indptr))
    values *= scale[counts.indices]
    return sp.csr_matrix((values, counts.indices, counts.indptr), counts.shape)


def _rated_both(interactions: sp.csr_matrix) -> sp.csr_matrix:
    """Return how many users rated both movies, [I, I], with a zero diagonal.

    Of a larger catalogue only the most rated movies count: nearly every two of them have somebody
    who rated both, so what there is to hold grows with the square of their number.
    """
    rated = np.bincount(interactions.indices, minlength=interactions.shape[1])
    if len(rated) > _MOST_MOVIES:
        order = np.lexsort((np.arange(len(rated)), -rated))
        kept = sp.diags(np.isin(np.arange(len(rated)), order[:_MOST_MOVIES]).astype(np.float32))
        interactions = interactions @ kept
        interactions.eliminate_zeros()
    counts = (interactions.T @ interactions).tocsr()
    counts.setdiag(0)
    counts.eliminate_zeros()
    return counts.astype(np.float32)
