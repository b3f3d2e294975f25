"""The closed-form member of the rating model: each user's tastes by ridge regression.

    stars = mean + b_u + b_i + features_i . (w + w_u)

b and w are fitted in turns; w_u is each user's own regression of what the others leave over. It is
the strongest single member, takes about a second, and errs elsewhere than the trained ones.

Shapes: N ratings, U users, I movies, F features.
"""

import numpy as np
from numpy.typing import NDArray

from reco_batch.dataset import Ratings
from reco_batch.linear_rating import LinearRating, fit_biases

_ROUNDS = 3


def fit_ridge(
    ratings: Ratings,
    features: NDArray[np.float32],
    *,
    user_count: int,
    scale: tuple[float, float],
    l2: float,
    shrinkage: float,
) -> LinearRating:
    """Fit biases and tastes.

    Args:
        ratings: the training part.
        features: [I, F].
        user_count: U.
        scale: lowest and highest stars.
        l2: pull of the tastes towards zero.
        shrinkage: ratings that a bias must outweigh.

    Returns:
        The model, of width F.

    Cost:
        O(N F^2 + U F^3) time.
    """
    stars, mean = ratings.stars, float(ratings.stars.mean())
    tastes = np.zeros((user_count, features.shape[1]), np.float32)
    explained = np.zeros(len(stars), np.float32)
    counts = (user_count, len(features))
    for _ in range(_ROUNDS):
        biases = fit_biases(ratings, stars - mean - explained, counts=counts, shrinkage=shrinkage)
        left = stars - mean - biases[0][ratings.user_index] - biases[1][ratings.movie_index]
        tastes = _tastes(ratings, features, left, user_count=user_count, l2=l2)
        explained = np.einsum("nf,nf->n", features[ratings.movie_index], tastes[ratings.user_index])
    biases = fit_biases(ratings, stars - mean - explained, counts=counts, shrinkage=shrinkage)
    return LinearRating(mean, *biases, tastes, features, scale)


def _tastes(
    ratings: Ratings,
    features: NDArray[np.float32],
    target: NDArray[np.float32],
    *,
    user_count: int,
    l2: float,
) -> NDArray[np.float32]:
    """Return everybody's tastes plus each user's own, [U, F]."""
    rows = features[ratings.movie_index]  # [N, F]
    ridge = l2 * np.eye(features.shape[1], dtype=np.float32)
    shared = np.linalg.solve(rows.T @ rows + ridge, rows.T @ target)
    left = target - rows @ shared
    tastes = np.tile(shared, (user_count, 1))
    order = np.argsort(ratings.user_index, kind="stable")
    ends = np.cumsum(np.bincount(ratings.user_index, minlength=user_count))
    for user, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end > start:
            own = rows[order[start:end]]
            tastes[user] += np.linalg.solve(own.T @ own + ridge, own.T @ left[order[start:end]])
    return tastes
