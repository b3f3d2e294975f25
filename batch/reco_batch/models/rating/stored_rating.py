"""Rating model without its users, as it is stored for refreshes.

The vector x of a user follows from the ratings r and the vectors q of the rated movies, by the
ridge regression with the trained users' vectors as its prior:

    x = usual + (Q^T Q + penalty)^-1 Q^T (r - mean - movie_bias - Q usual),   rows of Q: (1, q)
    penalty = variance of the residuals * (covariance of the trained vectors)^-1

Shapes: U users, I movies, D width of a vector, W = D + 1 with the bias, N ratings.

Source:
    Maximum a posteriori estimate with a normal prior estimated from the data (empirical Bayes).
"""

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.retrieval.stored_hybrid import places, taken
from reco_batch.scoring.factor_model import LinearRating

#: Added to the variance of each direction, relative to the mean of all: some are collinear.
_LEAST_VARIANCE: Final = 1e-6
#: Smallest variance of the residuals, in stars squared.
_LEAST_NOISE: Final = 1e-3


class StoredRating(NamedTuple):
    """Rating model without users, and the prior of a user's vector."""

    mean: float
    movie_bias: NDArray[np.float32]  # [I]
    movies: NDArray[np.float32]  # [I, D]
    scale: tuple[float, float]
    usual: NDArray[np.float64]  # [W] mean of the trained users' biases and vectors
    penalty: NDArray[np.float64]  # [W, W]
    counts: NDArray[np.int64]  # [I] ratings of each movie in training, also of unlisted movies
    movie_ids: tuple[str, ...]

    @classmethod
    def of(
        cls, model: LinearRating, ratings: Ratings, movie_ids: tuple[str, ...]
    ) -> "StoredRating":
        """Return a trained model without its users.

        Args:
            model: trained model.
            ratings: ratings that it was trained on; their residuals are the noise.
            movie_ids: I ids.
        """
        vectors = np.column_stack([model.user_bias, model.users]).astype(np.float64)
        usual = vectors.mean(axis=0)
        centred = vectors - usual
        covariance = centred.T @ centred / max(len(vectors) - 1, 1)
        least = _LEAST_VARIANCE * (np.trace(covariance) / len(usual) or 1.0)
        residual = ratings.stars - model.predict(ratings.user_index, ratings.movie_index)
        noise = max(float(np.mean(np.square(residual, dtype=np.float64))), _LEAST_NOISE)
        penalty = noise * np.linalg.inv(covariance + least * np.eye(len(usual)))
        counts = np.bincount(ratings.movie_index, minlength=len(movie_ids))
        movies = (model.mean, model.movie_bias, model.movies)
        return cls(*movies, model.scale, usual, penalty, counts, movie_ids)

    def arranged(self, movie_ids: tuple[str, ...]) -> "StoredRating":
        """Return the model for other movies, in their order; an unknown one is a usual movie."""
        if movie_ids == self.movie_ids:
            return self
        rows = places(self.movie_ids, movie_ids)
        return self._replace(
            movie_bias=taken(self.movie_bias, rows),
            movies=taken(self.movies, rows),
            counts=taken(self.counts, rows),
            movie_ids=movie_ids,
        )

    def with_users(self, ratings: Ratings, *, user_count: int) -> LinearRating:
        """Return the model of these users, whose vectors follow from their ratings.

        Args:
            ratings: ratings with stars; a user without any has the usual vector.
            user_count: U.

        Cost:
            O(N W^2 + U W^3) time.
        """
        order = np.argsort(ratings.user_index, kind="stable")
        movies = ratings.movie_index[order]
        rated = np.column_stack([np.ones(len(self.movies)), self.movies])
        left = ratings.stars[order] - self.mean - (self.movie_bias + rated @ self.usual)[movies]
        counts = np.bincount(ratings.user_index, minlength=user_count)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        vectors = np.tile(self.usual, (user_count, 1))
        for user, (start, stop) in enumerate(pairwise(offsets)):
            own = rated[movies[start:stop]]
            vectors[user] += np.linalg.solve(own.T @ own + self.penalty, own.T @ left[start:stop])
        found = vectors.astype(np.float32)
        return LinearRating(
            self.mean, found[:, 0], self.movie_bias, found[:, 1:], self.movies, self.scale
        )
