"""Why a movie is in a user's list: the rating of the user's own that speaks most for it.

A user's vector is, up to what belongs to no rating (the user's own vector, the time), a sum over
the history, so a score is a sum of what each rated movie adds:

    score(u, c) = sum over rated m of  weight(u, m) * (share(u) * item(c)) . rated(m)  +  the rest

and the reason of a movie is the rated one that adds most. Of a model that knows users by an id
alone, the reason is the rated movie most like it. Pure functions over arrays, a user at a time: no
files, no TensorFlow; the same bits wherever and in whatever shard a user is explained.

Shapes: U users, B of a block, I movies, N ratings, D joined width, H parts of it, k list length.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Histories, Ratings, histories, newest_first
from reco_batch.scoring.topk import TILE_ROWS, TopK

#: Ratings of a user that are looked at together: [k, 1024] numbers, however long the history is.
_RATINGS_AT_ONCE: Final = 1024
#: A mean of equal stars may be off by the last bit of a sum, which is no reason to leave all out.
_ROUNDING: Final = 1e-6


class Rated(NamedTuple):
    """What users rated, and what of it may be a reason."""

    history: Histories  # [U] rows
    weights: NDArray[np.float32]  # [N] what a rating counts in its history; 0: it is no reason

    def block(self, start: int, stop: int) -> "Rated":
        """Return the rows of users `start` to `stop`, without copying."""
        first, last = self.history.offsets[start], self.history.offsets[stop]
        return Rated(self.history.block(start, stop), self.weights[first:last])


class Influence(NamedTuple):
    """What a trained model says about how ratings and scores hang together."""

    vectors: NDArray[np.float32]
    """[I, D] each movie as part of a history; beside the model's own [I, D] of what is scored."""
    widths: tuple[int, ...]
    """[H] of the parts that D consists of."""
    shares: NDArray[np.float32]
    """[U, H] how much each part counts for a user."""
    rated: Rated
    """Of the ratings that the model was trained on."""

    def among(self, movie_count: int) -> "Influence":
        """Return the same without movies from index `movie_count` on, which are no reason."""
        history, weights = self.rated
        if not (history.movie_index >= movie_count).any():
            return self
        counting = np.where(history.movie_index < movie_count, weights, np.float32(0))
        return self._replace(rated=Rated(history, counting))


class Explained(NamedTuple):
    """Lists, and the reason of each movie in them."""

    lists: TopK
    reasons: NDArray[np.int32]  # [B, k] rated movies; -1: none, or no movie there


def liked(ratings: Ratings, *, user_count: int) -> Rated:
    """Return who rated what, the newest first, at weight 1; 0 if it is below the user's own mean.

    Nobody is recommended a movie because of one that they disliked. Where nobody gives stars, all
    that was chosen is a reason.

    Args:
        ratings: that the model was trained on.
        user_count: U.
    """
    order = newest_first(ratings)
    history = histories(ratings, user_count=user_count, order=order)
    if ratings.rating is None:
        return Rated(history, np.ones(len(ratings), np.float32))
    counts = np.diff(history.offsets)
    sums = np.bincount(ratings.user_index, ratings.rating, minlength=user_count)
    means = sums / np.maximum(counts, 1)
    weights = ratings.rating[order] >= np.repeat(means - _ROUNDING, counts)
    return Rated(history, weights.astype(np.float32))


def explained(
    blocks: Iterator[TopK],
    items: NDArray[np.float32],
    influence: Influence,
    *,
    threads: int,
) -> Iterator[Explained]:
    """Add to each list the reasons of its movies.

    Args:
        blocks: the lists of all users in their order.
        items: [I, D] as what is scored.
        influence: of those users.
        threads: tiles of users worked on at a time; each uses one BLAS thread.

    Yields:
        A block for each block. A reason is a movie of the user's history with a weight, whose part
        in the score is above 0 and the largest; of equal ones the lowest index.

    Cost:
        O(n * k * D) for a user of n ratings: beside O(I * D) of scoring about n * k / I of it.
    """
    done = 0
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for block in blocks:
            starts = range(0, len(block.items), TILE_ROWS)

            def work(start: int, block: TopK = block, done: int = done) -> NDArray[np.int32]:
                tile = block.items[start : start + TILE_ROWS]
                return _of_tile(tile, items, influence, first=done + start)

            tiles = list(pool.map(work, starts))
            yield Explained(block, np.concatenate(tiles))
            done += len(block.items)


def _of_tile(
    lists: NDArray[np.int32], items: NDArray[np.float32], influence: Influence, *, first: int
) -> NDArray[np.int32]:
    """Return the reasons of a few users, of whom the first has the given row."""
    reasons = np.full(lists.shape, -1, np.int32)
    rated = influence.rated.block(first, first + len(lists))
    offsets = rated.history.offsets
    for row, shown in enumerate(lists):
        own = slice(offsets[row], offsets[row + 1])
        counting = np.flatnonzero(rated.weights[own])
        movies = rated.history.movie_index[own][counting]
        order = np.argsort(movies)  # so that of equal ones the lowest index comes first
        length = np.count_nonzero(shown >= 0)
        scale = np.repeat(influence.shares[first + row], influence.widths)  # [D]
        reasons[row, :length] = _of_user(
            items[shown[:length]] * scale,
            influence.vectors,
            movies[order],
            rated.weights[own][counting][order],
        )
    return reasons


def _of_user(
    wanted: NDArray[np.float32],
    vectors: NDArray[np.float32],
    movies: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> NDArray[np.int32]:
    """Return for each wanted movie the rated one that adds most to its score.

    Args:
        wanted: [k, D] what is recommended, as it counts for this user.
        vectors: [I, D] movies as part of a history.
        movies: [n] that the user rated, in ascending order.
        weights: [n] of each.
    """
    reasons = np.full(len(wanted), -1, np.int32)
    most = np.zeros(len(wanted), np.float32)  # what takes away from a score is no reason
    for start in range(0, len(movies), _RATINGS_AT_ONCE):
        some = movies[start : start + _RATINGS_AT_ONCE]
        added = wanted @ vectors[some].T  # [k, n]
        added *= weights[start : start + _RATINGS_AT_ONCE]
        best = added.argmax(axis=1)
        value = np.take_along_axis(added, best[:, np.newaxis], axis=1)[:, 0]
        better = value > most
        reasons[better], most[better] = some[best[better]], value[better]
    return reasons
