"""Ranked lists by predicted stars: every user against every movie through the rating network.

The first dense layer is split (`rating.RatingWeights`), so a pair costs one addition of two
precomputed vectors, a small matrix product and a dot product. Pure functions over arrays.

Shapes: U users, I movies, H and G hidden widths, M movies in a chunk.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reco_batch.dataset import Histories
from reco_batch.errors import NotFinite
from reco_batch.rating import RatingWeights
from reco_batch.topk import Scratch, TopK, select_blocks

#: A chunk's [M, H] activations stay in the second-level cache.
_CHUNK_MOVIES = 512


def ranked_blocks(
    weights: RatingWeights, seen: Histories | None, *, k: int, threads: int
) -> Iterator[TopK]:
    """Yield each user's k movies of highest predicted rating, a block of users at a time.

    Args:
        weights: of the trained network.
        seen: for each user the movies to leave out.
        k: list length.
        threads: users worked on at a time.

    Yields:
        Blocks in the order of the users; scores are stars as the network predicts them.

    Raises:
        ValueError: k is out of range.
        NotFinite: a weight is.

    Cost:
        O(U * I * H * G) time, nearly all of it one matrix product.
    """
    for name, array in weights._asdict().items():
        if not np.isfinite(array).all():
            raise NotFinite(
                f"the {name} hold a value that is not finite: training diverged. "
                "Lower the learning rate, or look at the ratings, and run again."
            )

    def score(start: int, stop: int, scratch: Scratch) -> None:
        for row, user_index in enumerate(range(start, stop)):
            _predict_user(weights, user_index, out=scratch.scores[row])

    yield from select_blocks(
        score, seen, len(weights.users), len(weights.movies), k=k, threads=threads
    )


def predict(
    weights: RatingWeights, user_index: NDArray[np.int32], movie_index: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return the predicted stars of given pairs, [N]."""
    stars = np.empty(len(user_index), np.float32)
    for start in range(0, len(stars), _CHUNK_MOVIES):
        rows = slice(start, start + _CHUNK_MOVIES)
        first = weights.users[user_index[rows]] + weights.movies[movie_index[rows]]
        stars[rows] = _head(weights, first)
    return stars


def _predict_user(weights: RatingWeights, user_index: int, *, out: NDArray[np.float32]) -> None:
    """Write one user's predicted stars of every movie into the first I places of `out`."""
    for start in range(0, len(weights.movies), _CHUNK_MOVIES):
        rows = slice(start, min(start + _CHUNK_MOVIES, len(weights.movies)))
        out[rows] = _head(weights, weights.movies[rows] + weights.users[user_index])


def _head(weights: RatingWeights, first: NDArray[np.float32]) -> NDArray[np.float32]:
    """Finish the network from [M, H] sums of the first layer, which are overwritten."""
    np.maximum(first, 0, out=first)
    second = first @ weights.hidden  # [M, G]
    second += weights.hidden_bias
    np.maximum(second, 0, out=second)
    stars = np.empty(len(first), np.float32)
    np.matmul(second, weights.output, out=stars)
    stars += weights.output_bias
    return stars
