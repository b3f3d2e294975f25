"""Training batches in which repeated users and movies are folded.

A batch of 4,096 interactions has far fewer distinct users and movies. Everything that a model
computes from one id alone (an embedding, its share of a dense layer, a row or column of the
in-batch logits) is computed once per id, not once per interaction. The objective does not change; a
retrieval step of the notebook becomes 14 times smaller on MovieLens.

Shapes: S steps per epoch, B interactions per step, Q users and C movies a step at most (padded).
"""

from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

#: Log count of a padding movie: its exp() is zero, without NaN.
_NEVER = np.float32(-1e30)


class Batch(TypedDict):
    """Input of a training step; `stack_batches` returns it with a leading step axis."""

    users: NDArray[np.int32]  # [Q] rows of the user table, padded with 0
    movies: NDArray[np.int32]  # [C] rows of the movie table, padded with 0
    movie_log_count: NDArray[np.float32]  # [C] log of occurrences in the batch
    user_slot: NDArray[np.int32]  # [B] position in `users`
    movie_slot: NDArray[np.int32]  # [B] position in `movies`
    weight: NDArray[np.float32]  # [B] of an interaction, usually 1; 0 for padding
    rating: NDArray[np.float32]  # [B] value


class _Folded(NamedTuple):
    users: NDArray[np.int32]
    user_slot: NDArray[np.int64]
    movies: NDArray[np.int32]
    movie_slot: NDArray[np.int64]
    movie_count: NDArray[np.int64]


def stack_batches(
    user_rows: NDArray[np.int32],
    movie_rows: NDArray[np.int32],
    ratings: NDArray[np.float32] | None,
    *,
    batch_size: int,
    weights: NDArray[np.float32] | None = None,
) -> Batch:
    """Split interactions into steps, in order, and fold each step.

    Args:
        user_rows: [N] rows of the user embedding table.
        movie_rows: [N] rows of the movie embedding table.
        ratings: [N] values; None for zeros, for a model that ignores them.
        weights: [N] how much each interaction counts; None: all alike.
        batch_size: B; the last step is padded with interactions of weight zero.

    Returns:
        Batch whose arrays have a leading axis of S steps, all of the same shape.

    Cost:
        O(N log B) time; about 28 bytes per interaction.
    """
    starts = range(0, len(user_rows), batch_size)
    folded = [_fold(user_rows[s : s + batch_size], movie_rows[s : s + batch_size]) for s in starts]
    steps = len(folded)
    stacked = Batch(
        users=np.zeros((steps, max(len(f.users) for f in folded)), np.int32),
        movies=np.zeros((steps, max(len(f.movies) for f in folded)), np.int32),
        movie_log_count=np.full((steps, max(len(f.movies) for f in folded)), _NEVER, np.float32),
        user_slot=np.zeros((steps, batch_size), np.int32),
        movie_slot=np.zeros((steps, batch_size), np.int32),
        weight=np.zeros((steps, batch_size), np.float32),
        rating=np.zeros((steps, batch_size), np.float32),
    )
    for step, (start, f) in enumerate(zip(starts, folded, strict=True)):
        size = len(f.user_slot)
        stacked["users"][step, : len(f.users)] = f.users
        stacked["movies"][step, : len(f.movies)] = f.movies
        stacked["movie_log_count"][step, : len(f.movies)] = np.log(f.movie_count)
        stacked["user_slot"][step, :size] = f.user_slot
        stacked["movie_slot"][step, :size] = f.movie_slot
        stacked["weight"][step, :size] = 1 if weights is None else weights[start : start + size]
        if ratings is not None:
            stacked["rating"][step, :size] = ratings[start : start + size]
    return stacked


def _fold(user_rows: NDArray[np.int32], movie_rows: NDArray[np.int32]) -> _Folded:
    users, user_slot = np.unique(user_rows, return_inverse=True)
    movies, movie_slot, movie_count = np.unique(movie_rows, return_inverse=True, return_counts=True)
    return _Folded(users, user_slot, movies, movie_slot, movie_count)
