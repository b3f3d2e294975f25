"""Other recommenders on the arrays that our models train on.

Each takes ratings as arrays and returns scores of every user for every movie, in closed form where
possible. No held-out rating is available here.

Shapes: U users, I movies, D width.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.ridge import fit_ridge
from reco_batch.scoring.factor_model import LinearRating, fit_biases

Scores = NDArray[np.float32]


class Shape(NamedTuple):
    """Numbers of users and movies."""

    users: int
    movies: int


def interactions(ratings: Ratings, shape: Shape) -> sp.csr_matrix:
    """Return the rated pairs as ones, [U, I]."""
    ones = np.ones(len(ratings), np.float32)
    return sp.csr_matrix((ones, (ratings.user_index, ratings.movie_index)), shape)


def popularity(ratings: Ratings, shape: Shape) -> Scores:
    """Return each movie's rating count for all users, [U, I]."""
    counts = np.bincount(ratings.movie_index, minlength=shape.movies)
    return np.broadcast_to(counts.astype(np.float32), shape)


class Ease:
    """EASE (Steck, 2019): item-item weights that best reconstruct each user's history.

    B = I - P / diag(P) with P = (X'X + l2 I)^-1. Solved over users instead of movies, which is
    equal by Woodbury's identity and faster for fewer users than movies:

        P = (I - X' (X X' + l2 I)^-1 X) / l2
    """

    def __init__(self, ratings: Ratings, shape: Shape, *, l2: float) -> None:
        self._train = interactions(ratings, shape).toarray().astype(np.float64)
        gram = self._train @ self._train.T
        gram[np.diag_indices_from(gram)] += l2
        self._solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(gram), self._train)
        self._diagonal = 1 - np.einsum("ui,ui->i", self._train, self._solved)  # of l2 * P

    def scores(self, history: Ratings, shape: Shape) -> Scores:
        """Return scores [U, I] from histories, of users in the training or not."""
        x = interactions(history, shape).toarray().astype(np.float64)
        explained = x - (x @ self._train.T) @ self._solved
        return (x - explained / self._diagonal).astype(np.float32)

    def weights(self) -> Scores:
        """Return B, [I, I]: from a movie of the history to the scored one."""
        explained = self._train.T @ self._solved  # X' (X X' + l2 I)^-1 X = I - l2 P
        weights = (explained / self._diagonal).astype(np.float32)
        np.fill_diagonal(weights, 0)
        return weights


def implicit_als(
    ratings: Ratings, shape: Shape, *, factors: int, l2: float, alpha: float, seed: int
) -> Scores:
    """Return the scores of implicit's alternating least squares (Hu, Koren, Volinsky 2008)."""
    from implicit.als import AlternatingLeastSquares  # noqa: PLC0415  # an extra

    with threadpool_limits(1, "blas"):  # it has threads of its own
        model = AlternatingLeastSquares(
            factors=factors, regularization=l2, alpha=alpha, iterations=20, random_state=seed
        )
        model.fit(interactions(ratings, shape), show_progress=False)
    return np.asarray(model.user_factors @ model.item_factors.T, np.float32)


#: Candidate settings of implicit's ALS: factors, regularisation, alpha.
ALS_SETTINGS = ((64, 1.0, 5.0), (64, 5.0, 10.0), (64, 50.0, 20.0), (32, 5.0, 10.0))
EASE_SETTINGS = (100.0, 300.0, 600.0)


class Stars(NamedTuple):
    """Input of a rating predictor."""

    dataset: Dataset
    ratings: Ratings
    seed: int

    @property
    def shape(self) -> Shape:
        """U and I."""
        return Shape(len(self.dataset.user_ids), len(self.dataset.movies))


def means(stars: Stars) -> LinearRating:
    """Return shrunken means of users and movies."""
    mean = float(stars.ratings.rating.mean())
    left = stars.ratings.rating - np.float32(mean)
    biases = fit_biases(stars.ratings, left, counts=stars.shape, shrinkage=2.0)
    none = [np.zeros((count, 1), np.float32) for count in stars.shape]
    return LinearRating(mean, *biases, none[0], none[1], stars.dataset.rating_scale)


def matrix_factorisation(stars: Stars, *, factors: int, l2: float) -> LinearRating:
    """Return biases and factors by alternating ridge regressions (as SVD recommenders fit them)."""
    base, shape, ratings = means(stars), stars.shape, stars.ratings
    users, movies = ratings.user_index, ratings.movie_index
    left = ratings.rating - base.mean - base.user_bias[users] - base.movie_bias[movies]
    rng = np.random.default_rng(stars.seed)
    of_movies = rng.normal(0, 0.1, (shape.movies, factors)).astype(np.float32)
    of_users = np.zeros((shape.users, factors), np.float32)
    for _ in range(10):
        of_users = _ridge_rows(users, movies, left, of_movies, rows=shape.users, l2=l2)
        of_movies = _ridge_rows(movies, users, left, of_users, rows=shape.movies, l2=l2)
    return base._replace(users=of_users, movies=of_movies)


def _ridge_rows(
    own: NDArray[np.int32],
    other: NDArray[np.int32],
    target: NDArray[np.float32],
    factors: NDArray[np.float32],
    *,
    rows: int,
    l2: float,
) -> NDArray[np.float32]:
    """Return the regression of each row's targets on the other side's factors."""
    found = np.zeros((rows, factors.shape[1]), np.float32)
    ridge = l2 * np.eye(factors.shape[1], dtype=np.float32)
    order = np.argsort(own, kind="stable")
    ends = np.cumsum(np.bincount(own, minlength=rows))
    for row, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end > start:
            rated = factors[other[order[start:end]]]
            found[row] = np.linalg.solve(
                rated.T @ rated + ridge, rated.T @ target[order[start:end]]
            )
    return found


def content_ridge(stars: Stars, *, l2: float) -> LinearRating:
    """Return biases and each user's ridge regression on genres and year."""
    return fit_ridge(
        stars.ratings,
        content_features(stars.dataset.movies),
        user_count=stars.shape.users,
        scale=stars.dataset.rating_scale,
        l2=l2,
        shrinkage=2.0,
    )


#: Rating predictors by name, each with its candidate settings.
STAR_PEERS: Mapping[str, tuple[Callable[..., LinearRating], tuple[Mapping[str, float], ...]]] = {
    "user and movie means": (means, ({},)),
    "matrix factorisation": (
        matrix_factorisation,
        tuple({"factors": f, "l2": l2} for f in (8, 32) for l2 in (5.0, 10.0, 20.0)),
    ),
    "ridge on genres and years": (
        content_ridge,
        tuple({"l2": l2} for l2 in (5.0, 10.0, 20.0)),
    ),
}
