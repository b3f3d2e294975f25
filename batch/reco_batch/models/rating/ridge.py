"""Ridge regression of each user's ratings on movie features, the closed-form ensemble member.

    rating = mean + b_u + b_i + features_i . (w + w_u)

Biases b and shared weights w are fitted in turns; w_u is a ridge regression of each user's
residuals. The ensemble fits it to the residuals of the Bayesian factors.

A user's regression reads the features of each rated movie once per round. The shared regression
needs only the number of ratings and the sum of residuals of each movie.

Shapes: N ratings, U users, I movies, F features.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.scoring.factor_model import LinearRating, fit_biases

#: Rounds of fitting biases and weights in turns.
_ROUNDS: Final = 3


def fit_ridge(
    ratings: Ratings,
    features: NDArray[np.float32],
    *,
    user_count: int,
    scale: tuple[float, float],
    l2: float,
    shrinkage: float,
) -> LinearRating:
    """Fit biases and weights.

    Args:
        ratings: training ratings, in the order of the users.
        features: [I, F].
        user_count: U.
        scale: lowest and highest rating.
        l2: L2 penalty of the weights.
        shrinkage: ratings at which a bias counts half.

    Returns:
        Model of width F.

    Cost:
        O(N F^2 + U F^3) time; 35 N bytes in addition to ratings and result.
    """
    mean = float(ratings.stars.mean())
    stars = ratings.stars
    ridge = l2 * np.eye(features.shape[1], dtype=np.float32)
    rated = np.bincount(ratings.movie_index, minlength=len(features)).astype(np.float32)
    of_all = features.T @ (features * rated[:, None]) + ridge
    explained = np.zeros(len(stars), np.float32)
    counts = (user_count, len(features))
    for _ in range(_ROUNDS):
        biases = fit_biases(ratings, stars - mean - explained, counts=counts, shrinkage=shrinkage)
        left = stars - mean - biases[0][ratings.user_index] - biases[1][ratings.movie_index]
        sums = np.bincount(ratings.movie_index, left, len(features)).astype(np.float32)
        shared = np.linalg.solve(of_all, features.T @ sums)
        left -= (features @ shared)[ratings.movie_index]
        tastes = np.tile(shared, (user_count, 1))
        explained = _add_own(tastes, ratings, features, left, ridge=ridge)
    biases = fit_biases(ratings, stars - mean - explained, counts=counts, shrinkage=shrinkage)
    return LinearRating(mean, *biases, tastes, features, scale)


def _add_own(
    tastes: NDArray[np.float32],
    ratings: Ratings,
    features: NDArray[np.float32],
    left: NDArray[np.float32],
    *,
    ridge: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Add each user's own weights to the shared ones; return the explained part of ratings, [N].

    Args:
        tastes: [U, F] shared weights in each row; rows of users without ratings do not change.
        ratings: ratings sorted by user.
        features: [I, F].
        left: [N] residuals of the shared weights.
        ridge: [F, F] penalty.
    """
    explained = np.empty(len(ratings), np.float32)
    ends = np.cumsum(np.bincount(ratings.user_index, minlength=len(tastes)))
    for user, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end > start:
            rows = slice(start, end)
            own = features[ratings.movie_index[rows]]
            tastes[user] += np.linalg.solve(own.T @ own + ridge, own.T @ left[rows])
            explained[rows] = own @ tastes[user]
    return explained
