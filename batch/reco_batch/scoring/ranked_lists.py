"""Ranked lists by predicted rating: every user with every movie, or with candidates only.

The default model is one matrix product (`factor_model`). The first dense layer of the notebook's
network is split (`RatingWeights`), so a pair costs one comparison of two precomputed vectors, a
small matrix product and a dot product. Pure functions over arrays.

If all pairs are too many, ranking has two stages: retrieval proposes candidates for each user, and
only those are rated (`Candidates`).

Shapes: U users, I movies, D width, H and G hidden widths, M movies in a chunk, N candidates.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Histories
from reco_batch.rules.list_rules import NO_RULES, ListRules
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.scoring.topk import (
    TILE_ROWS,
    Scratch,
    TopK,
    require_finite,
    select_blocks,
    sorted_rows,
    top_k_blocks,
)
from reco_batch.scoring.uncertainty import Bound

#: A chunk's [M, H] activations stay in the second-level cache.
_CHUNK_MOVIES = 512


class RetrievalVectors(Protocol):
    """Interface of a trained retrieval model for choosing candidates."""

    def embeddings(self) -> Embeddings:
        """Return the vectors of all users and movies."""
        ...


class RatingNetwork(Protocol):
    """Interface of a trained rating network whose first layer can be split by user and movie."""

    def split_weights(self) -> RatingWeights:
        """Return the weights, one row per user and one per movie."""
        ...


class Candidates(NamedTuple):
    """Retrieval vectors that choose the movies to rate: those with the largest scores."""

    vectors: Embeddings
    most: int
    """Number of candidates of one user."""


def ranked_blocks(
    weights: RatingWeights | LinearRating,
    seen: Histories | None,
    *,
    k: int,
    threads: int,
    bound: Bound | None = None,
    among: Candidates | None = None,
    rules: ListRules = NO_RULES,
) -> Iterator[TopK]:
    """Yield each user's k movies of highest predicted rating, a block of users at a time.

    Args:
        weights: weights of the trained model.
        seen: movies that each user's list must leave out.
        k: list length.
        threads: number of tiles of users processed at a time.
        bound: order by a lower bound of the rating; None orders by the prediction.
        among: rate only these candidates; None rates all movies.
        rules: which movies may be shown.

    Yields:
        Blocks in the order of the users, [block, k], or narrower with fewer candidates than k.
        Scores are predicted ratings, in stars, clipped to the scale if there is a bound.

    Raises:
        ValueError: k is out of range.
        NotFinite: a weight is not finite.

    Cost:
        O(U * I * H * G) time, nearly all of it one matrix product; with candidates
        O(U * (I * D + N * H * G)).
    """
    require_finite(**weights._asdict())
    blocks = (
        _of_all(weights, seen, k=k, threads=threads, bound=bound, rules=rules)
        if among is None
        else _of_some(weights, seen, among, k=k, threads=threads, bound=bound, rules=rules)
    )
    for block in blocks:
        # An empty position, -1, stays at -inf whatever is added.
        shown = block.scores if bound is None else block.scores + bound.doubt[block.items]
        yield TopK(block.items, shown)


def _of_all(
    weights: RatingWeights | LinearRating,
    seen: Histories | None,
    *,
    k: int,
    threads: int,
    bound: Bound | None,
    rules: ListRules,
) -> Iterator[TopK]:
    """Yield the best of all movies, ordered by rating or by its bound."""
    movie_count = len(weights.movies)
    fill = _fill_of(weights)

    def score(start: int, stop: int, scratch: Scratch) -> None:
        fill(start, stop, scratch)
        if bound is not None:
            stars = scratch.scores[: stop - start, :movie_count]
            np.clip(stars, *bound.scale, out=stars)
            stars -= bound.doubt

    return select_blocks(
        score,
        seen,
        len(weights.users),
        movie_count,
        k=k,
        threads=threads,
        # The network rates a user at a time: larger tiles save nothing, and with smaller ones the
        # threads end at the same time.
        tile_rows=None if isinstance(weights, LinearRating) else TILE_ROWS,
        rules=rules,
    )


def _of_some(
    weights: RatingWeights | LinearRating,
    seen: Histories | None,
    among: Candidates,
    *,
    k: int,
    threads: int,
    bound: Bound | None,
    rules: ListRules,
) -> Iterator[TopK]:
    """Yield the best candidates, ordered by rating or by its bound."""
    count = min(among.most, len(weights.movies))
    rate = _rate_of(weights)
    users, movies, sparse = among.vectors
    first = 0  # user of a block

    def work(items: NDArray[np.int32], start: int) -> TopK:
        proposed = items >= 0  # [rows, N]
        row, item = np.nonzero(proposed)[0], items[proposed]
        stars = np.concatenate([rate(start + n, own[own >= 0]) for n, own in enumerate(items)])
        if bound is not None:
            stars = np.clip(stars, *bound.scale) - bound.doubt[item]
        return sorted_rows(row, item, stars, rows=len(items), k=min(k, count))

    # One BLAS thread a tile, as in scoring everything.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        proposals = top_k_blocks(
            users, movies, seen, k=count, threads=threads, sparse=sparse, rules=rules
        )
        for block in proposals:
            starts = range(0, len(block.items), TILE_ROWS)
            tiles = [block.items[start : start + TILE_ROWS] for start in starts]
            found = list(pool.map(work, tiles, (first + start for start in starts)))
            yield TopK.joined(found)
            first += len(block.items)


def _fill_of(weights: RatingWeights | LinearRating) -> Callable[[int, int, Scratch], None]:
    """Return a function that writes the ratings of a tile of users for all movies."""
    if isinstance(weights, LinearRating):
        movies = weights.folded_movies()

        def dot_products(start: int, stop: int, scratch: Scratch) -> None:
            tile = scratch.scores[: stop - start, : len(movies)]
            np.matmul(weights.folded_users(start, stop), movies.T, out=tile)

        return dot_products

    def network(start: int, stop: int, scratch: Scratch) -> None:
        for row, user_index in enumerate(range(start, stop)):
            _predict_user(weights, user_index, weights.movies, out=scratch.scores[row])

    return network


def _rate_of(
    weights: RatingWeights | LinearRating,
) -> Callable[[int, NDArray[np.int32]], NDArray[np.float32]]:
    """Return a function that returns the ratings of one user for some movies."""
    if isinstance(weights, LinearRating):
        movies = weights.folded_movies()

        def dot_products(user_index: int, items: NDArray[np.int32]) -> NDArray[np.float32]:
            stars: NDArray[np.float32] = (
                movies[items] @ weights.folded_users(user_index, user_index + 1)[0]
            )
            return stars

        return dot_products

    def network(user_index: int, items: NDArray[np.int32]) -> NDArray[np.float32]:
        stars = np.empty(len(items), np.float32)
        _predict_user(weights, user_index, weights.movies[items], out=stars)
        return stars

    return network


def candidates_of(
    retrieval: RetrievalVectors | None, most: int | None, movie_count: int
) -> Candidates | None:
    """Return the best `most` of the first `movie_count` movies by a retrieval model.

    Returns None, which means all movies, without a model or without `most`.
    """
    if retrieval is None or most is None:
        return None
    return Candidates(retrieval.embeddings().among(movie_count), most)


def of_first_movies(
    weights: RatingWeights | LinearRating, movie_count: int
) -> RatingWeights | LinearRating:
    """Return the weights without movies from index `movie_count` on."""
    if isinstance(weights, LinearRating):
        return weights._replace(
            movie_bias=weights.movie_bias[:movie_count], movies=weights.movies[:movie_count]
        )
    return weights._replace(movies=weights.movies[:movie_count])


def compared_by(alike: NDArray[np.float32], rating_count: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the query vectors of the similar lists, [I, D].

    A movie without informative ratings and without content has no vector, and all its scores would
    be equal. Its query is the mean vector over all ratings instead.

    Args:
        alike: movie vectors, zeros for a movie without one, [I, D].
        rating_count: number of ratings of each movie, [I].
    """
    nothing = ~alike.any(axis=1)
    if not nothing.any():
        return alike
    queries = alike.copy()
    queries[nothing] = (rating_count.astype(np.float32) @ alike) / max(1, rating_count.sum())
    return queries


def weights_of(model: RatingNetwork | LinearRating) -> RatingWeights | LinearRating:
    """Return the weights from which the lists of a trained model are computed."""
    return model if isinstance(model, LinearRating) else model.split_weights()


def predict(
    weights: RatingWeights | LinearRating,
    user_index: NDArray[np.int32],
    movie_index: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Return the predicted ratings of pairs, in stars, [N]."""
    if isinstance(weights, LinearRating):
        return weights.predict(user_index, movie_index)
    stars = np.empty(len(user_index), np.float32)
    for start in range(0, len(stars), _CHUNK_MOVIES):
        rows = slice(start, start + _CHUNK_MOVIES)
        first = weights.users[user_index[rows]] + weights.movies[movie_index[rows]]
        stars[rows] = _head(weights, first)
    return stars


def _predict_user(
    weights: RatingWeights,
    user_index: int,
    movies: NDArray[np.float32],
    *,
    out: NDArray[np.float32],
) -> None:
    """Write one user's predicted ratings of movies, [M, H], into the first elements of `out`.

    relu(a + b) is max(a, -b) + b. The added b is the same for all movies of a user and is carried
    through the next layer once, so each layer is one pass over its numbers.
    """
    user = weights.users[user_index]
    second_user = user @ weights.hidden + weights.hidden_bias  # [G]
    constant = second_user @ weights.output + weights.output_bias
    for start in range(0, len(movies), _CHUNK_MOVIES):
        chunk = movies[start : start + _CHUNK_MOVIES]
        second = np.maximum(chunk, -user) @ weights.hidden  # [M, G]
        np.maximum(second, -second_user, out=second)
        stars = out[start : start + len(chunk)]
        np.matmul(second, weights.output, out=stars)
        stars += constant


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
