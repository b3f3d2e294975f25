"""Explanations: for each recommended movie, the rated movie that contributes most to its score.

Up to terms without a rating (the user's own vector, the time), a user's vector is a sum over the
history, so a score is a sum of contributions of the rated movies:

    score(u, c) = sum over rated m of  weight(u, m) * (share(u) * item(c)) . rated(m)  +  the rest

A sparse term of the scores (`sparse_term`) adds its own weight(u, m) * neighbours[m, c] to the
contribution of m.

The explanation of a movie is the rated movie with the largest contribution. For a model without
histories it is the most similar rated movie. Pure functions over arrays, user by user, without
files and TensorFlow; the bits do not depend on the shard.

Shapes: U users, B of a block, I movies, N ratings, D joined width, H parts of it, k list length.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Histories, Ratings, histories, newest_first
from reco_batch.scoring.sparse_term import Rated, SparseTerm
from reco_batch.scoring.topk import TILE_ROWS, TopK

#: Ratings of a user processed together, which bounds memory to [k, 1024] numbers.
_RATINGS_AT_ONCE: Final = 1024
#: Tolerance: the mean of equal stars may be off by the last bit of a sum.
_ROUNDING: Final = 1e-6


class Influence(NamedTuple):
    """Influence of ratings on scores, from a trained model."""

    vectors: NDArray[np.float32]
    """Vectors of movies as parts of a history, [I, D]."""
    widths: tuple[int, ...]
    """Widths of the H parts of a vector; their sum is D."""
    shares: NDArray[np.float32]
    """Weights of the parts for each user, [U, H]."""
    rated: Rated
    """Ratings that the model was trained on; one of weight 0 explains nothing."""

    def among(self, movie_count: int) -> "Influence":
        """Return the same, in which movies from index `movie_count` on explain nothing."""
        history, weights = self.rated
        if not (history.movie_index >= movie_count).any():
            return self
        counting = np.where(history.movie_index < movie_count, weights, np.float32(0))
        return self._replace(rated=Rated(history, counting))

    def within(self, history: Histories) -> "Influence":
        """Return the same, in which only the movies of each user's history explain anything.

        Args:
            history: [U] rows.
        """
        inside = np.isin(_pairs(self.rated.history), _pairs(history))
        return self._replace(rated=Rated(self.rated.history, self.rated.weights * inside))


def _pairs(history: Histories) -> NDArray[np.int64]:
    """Return a number for each user and movie of the histories, [N]."""
    user = np.repeat(np.arange(len(history.offsets) - 1), np.diff(history.offsets))
    return user << 32 | history.movie_index


class Explained(NamedTuple):
    """Lists with the explanation of each movie."""

    lists: TopK
    reasons: NDArray[np.int32]  # [B, k] rated movies; -1 without explanation or movie


def strengths(ratings: Ratings, *, user_count: int) -> Rated:
    """Return the rated movies, newest first, with how strongly they were liked.

    The weight is above 0 for a liked movie and below 0 for a disliked one: 1 and -1 for stars,
    by the user's mean; the strength of events; 1 for other implicit feedback.

    Args:
        ratings: ratings that the model was trained on.
        user_count: U.
    """
    order = newest_first(ratings)
    history = histories(ratings, user_count=user_count, order=order)
    if ratings.rating is not None:
        is_good = is_liked(ratings.take(order), ratings, user_count=user_count)
        return Rated(history, np.where(is_good, np.float32(1), np.float32(-1)))
    if ratings.strength is not None:
        return Rated(history, ratings.strength[order])
    return Rated(history, np.ones(len(ratings), np.float32))


def liked(ratings: Ratings, *, user_count: int) -> Rated:
    """Return the rated movies, newest first, with weight 1, or 0 for a disliked one.

    A disliked movie explains nothing.

    Args:
        ratings: ratings that the model was trained on.
        user_count: U.
    """
    history, weights = strengths(ratings, user_count=user_count)
    return Rated(history, (weights > 0).astype(np.float32))


def is_liked(ratings: Ratings, fitted: Ratings, *, user_count: int) -> NDArray[np.bool_]:
    """Return which ratings are at or above the mean of the user's training ratings, [N].

    Args:
        ratings: ratings with stars.
        fitted: training ratings with stars; a user without any likes everything.
        user_count: U.
    """
    counts = np.bincount(fitted.user_index, minlength=user_count)
    sums = np.bincount(fitted.user_index, fitted.stars, minlength=user_count)
    means = sums / np.maximum(counts, 1)
    liked: NDArray[np.bool_] = ratings.stars >= means[ratings.user_index] - _ROUNDING
    return liked


def explained(
    blocks: Iterator[TopK],
    items: NDArray[np.float32],
    influence: Influence,
    *,
    threads: int,
    sparse: SparseTerm | None = None,
    repeats: bool = False,
) -> Iterator[Explained]:
    """Add explanations to lists.

    Args:
        blocks: lists of all users, in order.
        items: vectors of the scored movies, [I, D].
        influence: influence of the ratings of these users.
        threads: number of tiles of users processed at a time; each uses one BLAS thread.
        sparse: sparse term of the scores, of the same users and items.
        repeats: lists may have movies of the history, which do not explain themselves.

    Yields:
        A block for each block. The explanation is the movie of the user's history with a weight
        above 0 and the largest contribution above 0; ties go to the lowest index.

    Cost:
        O(n * k * D) for a user with n ratings, n * k / I of the cost of scoring; with a sparse
        term also the stored weights in the rows of the history.
    """
    done = 0
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for block in blocks:
            starts = range(0, len(block.items), TILE_ROWS)

            def work(start: int, block: TopK = block, done: int = done) -> NDArray[np.int32]:
                tile = block.items[start : start + TILE_ROWS]
                return _of_tile(tile, items, influence, sparse, first=done + start, repeats=repeats)

            tiles = list(pool.map(work, starts))
            yield Explained(block, np.concatenate(tiles))
            done += len(block.items)


def _of_tile(
    lists: NDArray[np.int32],
    items: NDArray[np.float32],
    influence: Influence,
    sparse: SparseTerm | None,
    *,
    first: int,
    repeats: bool,
) -> NDArray[np.int32]:
    """Return the explanations of a tile of users, beginning with row `first`."""
    reasons = np.full(lists.shape, -1, np.int32)
    for row, listed in enumerate(lists):
        shown = listed[listed >= 0]  # the empty places are the last ones
        reasons[row, : len(shown)] = _of_user(
            first + row, shown, items, influence, sparse, repeats=repeats
        )
    return reasons


def _of_user(
    user: int,
    shown: NDArray[np.int32],
    items: NDArray[np.float32],
    influence: Influence,
    sparse: SparseTerm | None,
    *,
    repeats: bool,
) -> NDArray[np.int32]:
    """Return, for each recommended movie, the rated movie that contributes most to its score."""
    rated = influence.rated.block(user, user + 1)
    counting = np.flatnonzero(rated.weights)
    order = counting[np.argsort(rated.history.movie_index[counting])]  # ties: the lowest index
    movies, weights = rated.history.movie_index[order], rated.weights[order]
    scale = np.repeat(influence.shares[user], influence.widths)  # [D]
    wanted = items[shown] * scale
    reasons = np.full(len(shown), -1, np.int32)
    most = np.zeros(len(shown), np.float32)  # a negative contribution explains nothing
    for start in range(0, len(movies), _RATINGS_AT_ONCE):
        some = movies[start : start + _RATINGS_AT_ONCE]
        added = wanted @ influence.vectors[some].T  # [k, n]
        added *= weights[start : start + _RATINGS_AT_ONCE]
        if sparse is not None:
            added += sparse.contributions(user, some, shown)
        if repeats:
            added[shown[:, np.newaxis] == some] = 0
        best = added.argmax(axis=1)
        value = np.take_along_axis(added, best[:, np.newaxis], axis=1)[:, 0]
        better = value > most
        reasons[better], most[better] = some[best[better]], value[better]
    return reasons
