"""Factor model: predicted ratings as biases and a dot product, so one product rates all pairs.

Every member of the default rating model has this form, and so has their weighted sum.

Shapes: U users, I movies, D width, N pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings

_CHUNK_PAIRS = 65_536


class LinearRating(NamedTuple):
    """Rating = mean + user_bias[u] + movie_bias[i] + users[u] . movies[i], clipped to the scale."""

    mean: float
    user_bias: NDArray[np.float32]  # [U]
    movie_bias: NDArray[np.float32]  # [I]
    users: NDArray[np.float32]  # [U, D]
    movies: NDArray[np.float32]  # [I, D]
    scale: tuple[float, float]
    """Lowest and highest possible rating, in stars."""

    def folded(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return [U, D + 2] and [I, D + 2], whose dot product is the unclipped rating."""
        return self.folded_users(0, len(self.users)), self.folded_movies()

    def folded_users(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the folded rows of users `start` to `stop`."""
        bias = self.user_bias[start:stop]
        return np.column_stack(
            [self.users[start:stop], bias + np.float32(self.mean), np.ones_like(bias)]
        )

    def folded_movies(self) -> NDArray[np.float32]:
        """Return the folded rows of all movies."""
        return np.column_stack([self.movies, np.ones_like(self.movie_bias), self.movie_bias])

    def predict(
        self, user_index: NDArray[np.int32], movie_index: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return the predicted ratings of pairs, in stars, [N]."""
        stars = np.empty(len(user_index), np.float32)
        for start in range(0, len(stars), _CHUNK_PAIRS):
            rows = slice(start, start + _CHUNK_PAIRS)
            u, i = user_index[rows], movie_index[rows]
            stars[rows] = np.einsum("nd,nd->n", self.users[u], self.movies[i])
            stars[rows] += np.float32(self.mean) + self.user_bias[u] + self.movie_bias[i]
        return np.clip(stars, *self.scale)


def weighted_sum(members: Sequence[LinearRating], shares: Sequence[float]) -> LinearRating:
    """Return one model that predicts the weighted sum of its members, before clipping.

    Args:
        members: models of the same users and movies.
        shares: weights of the members.
    """
    weights = np.asarray(shares, np.float32)
    return LinearRating(
        mean=float(sum(w * m.mean for w, m in zip(weights, members, strict=True))),
        user_bias=np.einsum("m,mu->u", weights, np.stack([m.user_bias for m in members])),
        movie_bias=np.einsum("m,mi->i", weights, np.stack([m.movie_bias for m in members])),
        users=np.hstack([w * m.users for w, m in zip(weights, members, strict=True)]),
        movies=np.hstack([m.movies for m in members]),
        scale=members[0].scale,
    )


def fit_biases(
    ratings: Ratings, residual: NDArray[np.float32], *, counts: tuple[int, int], shrinkage: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return shrunken biases of users and movies, fitted to residuals.

    Args:
        ratings: ratings with the users and movies of the residuals.
        residual: residual of each rating, in stars, [N].
        counts: U and I.
        shrinkage: number of ratings of value 0 added to each user and movie.
    """
    user, movie = ratings.user_index, ratings.movie_index
    of_user = np.bincount(user, minlength=counts[0]) + shrinkage
    of_movie = np.bincount(movie, minlength=counts[1]) + shrinkage
    user_bias = np.zeros(counts[0])
    movie_bias = np.zeros(counts[1])
    for _ in range(6):  # alternating least squares; settles to the third decimal
        movie_bias = np.bincount(movie, residual - user_bias[user], counts[1]) / of_movie
        user_bias = np.bincount(user, residual - movie_bias[movie], counts[0]) / of_user
    return user_bias.astype(np.float32), movie_bias.astype(np.float32)
