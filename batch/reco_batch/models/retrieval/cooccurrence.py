"""Co-occurrence of movies in the order in which users rated them.

Two movies that a user rates in one session, a few ratings apart, are more closely related than two
that the same user rates a year apart; plain co-rating counts lose that. Each pair of one user's
ratings up to `window` apart counts 1 / sqrt(distance), and less the more time lies between them.

Pure functions over arrays. Without timestamps there is no order and the counts are empty.

Shapes: N ratings, U users, I movies, M some of them, D factors.
"""

import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from reco_batch.data.dataset import Ratings
from reco_batch.data.ordering import user_by_user, whole_users

SITTING_SECONDS: Final = 7200.0
"""Time between two ratings, in seconds, after which a pair counts 1/e."""
#: Budget of pairs to visit; with more the window shrinks. A stored pair takes up to 16 bytes.
_MOST_PAIRS: Final = 240_000_000
#: Pairs counted at a time, 24 bytes each; small data are counted at once.
_PAIRS_AT_ONCE: Final = 16_000_000
#: Counting takes more memory than any other part of a training, and two trainings run in parallel.
_ONE_AT_A_TIME: Final = threading.Lock()
#: Time factor below which a pair is not counted.
_LEAST_TIME_SHARE: Final = 1e-3
#: Largest share of rated movies without ordered counts that are represented by content alone.
_FEW_WITHOUT_ORDER: Final = 0.1
#: Singular values below this part of the largest are rounding errors.
_NO_VALUE: Final = 1e-5
#: Users folded in at a time: 8 MB of directions.
_USERS_AT_ONCE: Final = 16_384
#: Movies whose pairs are counted where ratings have no order; others are folded in.
_MOST_MOVIES: Final = 8_000
#: Added to every movie's total before scaling by it, so that rare pairs do not dominate.
_SHRINKAGE: Final = 20.0


class OrderedRatings(NamedTuple):
    """Ratings of some users, by user and, within a user, by time."""

    user_index: NDArray[np.int32]  # [N], ascending
    movie_index: NDArray[np.int32]  # [N]
    timestamp: NDArray[np.int64]  # [N], ascending within a user
    evidence: NDArray[np.float32] | None = None
    """[N] square root of the strength of events; None: all ratings count alike."""

    def rows(self, rows: slice | NDArray[np.generic]) -> "OrderedRatings":
        """Return some of the ratings."""
        return OrderedRatings(
            self.user_index[rows],
            self.movie_index[rows],
            self.timestamp[rows],
            None if self.evidence is None else self.evidence[rows],
        )


def in_order(ratings: Ratings, *, at_once: int | None = None) -> Iterator[OrderedRatings]:
    """Yield the ratings sorted by user and time, with ties in a pseudo-random order.

    Events with a strength that is not above 0 are left out.

    The order of ties is a hash of user and movie, so the same data have the same order. The order
    of the catalogue would relate movies that are adjacent there.

    Args:
        ratings: ratings to sort.
        at_once: ratings to yield at a time, of whole users, as in `whole_users`; None: all.

    Raises:
        ValueError: the ratings have no timestamps.
    """
    users, movies, times = ratings.user_index, ratings.movie_index, ratings.timestamp
    if times is None:
        raise ValueError("ratings without timestamps have no order")
    order = user_by_user(users, lambda rows: (times[rows], _hash(users[rows], movies[rows])))
    for part in whole_users(users, at_once=at_once or len(users)):
        rows, evidence = order[part], None
        if ratings.strength is not None:
            rows = rows[ratings.strength[rows] > 0]
            evidence = np.sqrt(ratings.strength[rows])
        yield OrderedRatings(users[rows], movies[rows], times[rows], evidence)


def _hash(user: NDArray[np.int32], movie: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return a hash of each pair, [N].

    Source:
        Mixing function of SplitMix64, Steele et al., OOPSLA 2014, doi:10.1145/2660193.2660195.
    """
    mixed = user.astype(np.uint64) << np.uint64(32) | movie.astype(np.uint64)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    hashed: NDArray[np.uint64] = mixed ^ mixed >> np.uint64(31)
    return hashed


def cooccurrence_counts(ratings: Ratings, *, movie_count: int, window: int) -> sp.csr_matrix:
    """Return the weighted co-occurrence counts of all pairs of movies, summed over users.

    A pair of events counts by the geometric mean of their strengths.

    Args:
        ratings: ratings to count.
        movie_count: I.
        window: largest distance of a pair, in ratings.

    Returns:
        [I, I] sparse, symmetric, float32, zero diagonal; empty if no user has ratings at two
        different times.

    Cost:
        O(N * window) time; memory grows with the number of distinct pairs. Both are bounded, since
        the window shrinks with N.
    """
    one_way = sp.csr_matrix((movie_count, movie_count), dtype=np.float32)
    if ratings.timestamp is None or not len(ratings):
        return one_way
    widest = affordable_window(window, len(ratings))
    at_once = max(1, _PAIRS_AT_ONCE // widest)
    with _ONE_AT_A_TIME:
        for part in in_order(ratings, at_once=at_once):
            sequence = _with_order(part)
            one_way = one_way + _one_way(sequence, movie_count=movie_count, window=widest)
        both_ways = (one_way + one_way.T).tocsr()
        both_ways.sort_indices()
    return both_ways


def has_order(ratings: Ratings) -> bool:
    """Return True if any user has ratings at two different times."""
    if ratings.timestamp is None or not len(ratings):
        return False
    users = int(ratings.user_index.max()) + 1
    first = np.full(users, np.iinfo(np.int64).max)
    last = np.full(users, np.iinfo(np.int64).min)
    np.minimum.at(first, ratings.user_index, ratings.timestamp)
    np.maximum.at(last, ratings.user_index, ratings.timestamp)
    return bool((first < last).any())


def _with_order(sequence: OrderedRatings) -> OrderedRatings:
    """Leave out users whose ratings all have the same time, such as that of an import."""
    user, timestamp = sequence.user_index, sequence.timestamp
    if not len(user):
        return sequence
    starts = np.flatnonzero(np.concatenate([[True], user[1:] != user[:-1]]))
    ends = np.concatenate([starts[1:], [len(user)]])
    ordered = timestamp[starts] < timestamp[ends - 1]
    if ordered.all():
        return sequence
    kept = np.repeat(ordered, ends - starts)
    return sequence.rows(kept)


def _one_way(sequence: OrderedRatings, *, movie_count: int, window: int) -> sp.csr_matrix:
    """Return the counts of some users as [I, I]: later movie by earlier movie."""
    user, movie, timestamp, evidence = sequence
    rows, columns, weights = [], [], []
    for apart in range(1, window + 1):
        pairs = np.flatnonzero(user[apart:] == user[:-apart])
        seconds = timestamp[pairs + apart] - timestamp[pairs]
        share = np.exp(-seconds / SITTING_SECONDS)
        near = share > _LEAST_TIME_SHARE
        rows.append(movie[pairs[near] + apart])
        columns.append(movie[pairs[near]])
        weights.append((share[near] / np.sqrt(apart)).astype(np.float32))
        if evidence is not None:
            weights[-1] *= evidence[pairs[near] + apart] * evidence[pairs[near]]
    places = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_matrix((np.concatenate(weights), places), (movie_count, movie_count))


def affordable_window(window: int, rating_count: int) -> int:
    """Return the window, reduced to the budget of pairs; at least 1."""
    return int(np.clip(_MOST_PAIRS // max(rating_count, 1), 1, window))


def planned_window(window: int, ratings: Ratings) -> int | None:
    """Return the window that the counts use, for a training plan; None without timestamps."""
    return None if ratings.timestamp is None else affordable_window(window, len(ratings))


def narrower_window(model: str, planned: int | None, wanted: int) -> list[str]:
    """Return a note if the planned window is narrower than the hyper-parameter."""
    if planned is None or planned >= wanted:
        return []
    return [f"{model} counts co-occurrence up to {planned} ratings apart, not {wanted}"]


def cooccurrence_factors(
    counts: sp.csr_matrix,
    interactions: sp.csr_matrix,
    *,
    dim: int,
    seed: int,
    folded_in: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return the leading factors of the co-occurrence counts, [I, D].

    Args:
        counts: [I, I] from `cooccurrence_counts`; if empty, plain co-rating counts are used.
        interactions: [U, I], 1 where the user rated the movie.
        dim: D; less if there are fewer movies.
        seed: random seed of the decomposition.
        folded_in: [I] mask of movies to fold in by co-rating if they have no counts; None for none,
            unless all counts are empty.

    Returns:
        Singular vectors times singular values of the counts, scaled by both movies' totals. Movies
        without counts have folded-in factors, or zeros.

    Source:
        Randomised SVD, Halko et al., SIAM Review 2011, doi:10.1137/090771806.
    """
    if not counts.nnz:
        counts = _co_rating_counts(interactions)
        folded_in = np.ones(counts.shape[0], np.bool_)
    if not counts.nnz:
        return np.zeros((counts.shape[0], dim), np.float32)
    width = min(dim, counts.shape[0])
    # More iterations take longer, and their lists are not better.
    left, values, right = randomized_svd(
        _scaled(counts), width, n_iter=1, power_iteration_normalizer="LU", random_state=seed
    )
    factors: NDArray[np.float32] = (left * values).astype(np.float32)
    if folded_in is not None:
        without = np.flatnonzero(folded_in & (np.diff(counts.indptr) == 0))
        counted = np.diff(counts.indptr) > 0
        # The factors of a movie with counts are its scaled row times these. A direction whose
        # singular value is zero is arbitrary.
        directions = (right.T * _scale(counts)[:, np.newaxis]).astype(np.float32)
        directions[:, values <= _NO_VALUE * values[0]] = 0
        directions[~counted] = 0
        factors[without] = _folded_in(without, directions, interactions, counted)
    return factors


def without_order(counts: sp.csr_matrix, interactions: sp.csr_matrix) -> NDArray[np.bool_] | None:
    """Return a mask of rated movies without ordered counts, [I]; None if these are few.

    Where nearly all movies have ordered counts, as with films rated in sessions, the few others are
    represented by their content. Where users buy one item a week, hardly any item has such counts.
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
    """Return factors of movies from their co-ratings with movies that have counts, [M, D].

    Args:
        movies: [M].
        directions: [I, D], zeros for movies without counts.
        interactions: [U, I].
        counted: [I], True for movies with counts.

    Cost:
        O(N * D) time; memory grows with M, not with the number of pairs.
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
    """Return the counts divided by both movies' totals; shares the index arrays of `counts`."""
    scale = _scale(counts)
    values = np.repeat(scale, np.diff(counts.indptr))
    values *= counts.data
    for start in range(0, len(values), _PAIRS_AT_ONCE):  # or the factors would take as much memory
        part = slice(start, start + _PAIRS_AT_ONCE)
        values[part] *= scale[counts.indices[part]]
    return sp.csr_matrix((values, counts.indices, counts.indptr), counts.shape)


def _co_rating_counts(interactions: sp.csr_matrix) -> sp.csr_matrix:
    """Return the number of users who rated both movies, [I, I], with a zero diagonal.

    Only the most rated movies of a larger catalogue count: nearly every pair of them has a common
    user, so memory grows with the square of their number.
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
