"""Ranked lists by predicted stars: every user against every movie.

The default model is one matrix product (`linear_rating`). Of the notebook's network the first dense
layer is split (`RatingWeights`), so a pair costs one addition of two
precomputed vectors, a small matrix product and a dot product. Pure functions over arrays.

Shapes: U users, I movies, H and G hidden widths, M movies in a chunk.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reco_batch.confidence import Bound
from reco_batch.dataset import Histories
from reco_batch.errors import NotFinite
from reco_batch.linear_rating import LinearRating
from reco_batch.rating_weights import RatingWeights
from reco_batch.topk import Scratch, TopK, select_blocks

if TYPE_CHECKING:
    from reco_batch.rating import RatingModel  # loads TensorFlow, which scoring does not need

#: A chunk's [M, H] activations stay in the second-level cache.
_CHUNK_MOVIES = 512


def ranked_blocks(
    weights: RatingWeights | LinearRating,
    seen: Histories | None,
    *,
    k: int,
    threads: int,
    bound: Bound | None = None,
) -> Iterator[TopK]:
    """Yield each user's k movies of highest predicted rating, a block of users at a time.

    Args:
        weights: of the trained model.
        seen: for each user the movies to leave out.
        k: list length.
        threads: users worked on at a time.
        bound: order by what the stars are at least; None orders by the prediction.

    Yields:
        Blocks in the order of the users; scores are stars as predicted, with a bound held to
        its scale.

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

    movie_count = len(weights.movies)
    fill = _fill_of(weights)

    def score(start: int, stop: int, scratch: Scratch) -> None:
        fill(start, stop, scratch)
        if bound is not None:
            stars = scratch.scores[: stop - start, :movie_count]
            np.clip(stars, *bound.scale, out=stars)
            stars -= bound.doubt

    for block in select_blocks(score, seen, len(weights.users), movie_count, k=k, threads=threads):
        # An empty place, -1, stays at -inf whatever is added.
        shown = block.scores if bound is None else block.scores + bound.doubt[block.items]
        yield TopK(block.items, shown)


def _fill_of(weights: RatingWeights | LinearRating) -> Callable[[int, int, Scratch], None]:
    """Return what writes the stars of a tile of users against all movies."""
    if isinstance(weights, LinearRating):
        users, movies = weights.folded()

        def dot_products(start: int, stop: int, scratch: Scratch) -> None:
            tile = scratch.scores[: stop - start, : len(movies)]
            np.matmul(users[start:stop], movies.T, out=tile)

        return dot_products

    def network(start: int, stop: int, scratch: Scratch) -> None:
        for row, user_index in enumerate(range(start, stop)):
            _predict_user(weights, user_index, out=scratch.scores[row])

    return network


def weights_of(model: "RatingModel | LinearRating") -> RatingWeights | LinearRating:
    """Return what the lists of a trained model are computed from."""
    return model if isinstance(model, LinearRating) else model.split_weights()


def predict(
    weights: RatingWeights | LinearRating,
    user_index: NDArray[np.int32],
    movie_index: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Return the predicted stars of given pairs, [N]."""
    if isinstance(weights, LinearRating):
        return weights.predict(user_index, movie_index)
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
