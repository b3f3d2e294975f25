"""The closed-form member of the rating model: each user's tastes by ridge regression.

    stars = mean + b_u + b_i + features_i . (w + w_u)

b and w are fitted in turns; w_u is each user's own regression of what the others leave over. It is
the strongest single member, takes about a second, and errs elsewhere than the trained ones.

Each rating's features are looked up a part of the ratings at a time: all of them would be 4 F bytes
a rating, 10 GB of 32 million ratings.

Shapes: N ratings, U users, I movies, F features, P ratings of a part.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.dataset import Ratings
from reco_batch.linear_rating import LinearRating, fit_biases

_ROUNDS: Final = 3
#: P: 80 MB of 77 features. What fits in one part is added up as one matrix product.
_PART: Final = 262_144


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
        O(N F^2 + U F^3) time; 4 P F + 50 N bytes beside the ratings and the result.
    """
    stars, mean = ratings.stars, float(ratings.stars.mean())
    tastes = np.zeros((user_count, features.shape[1]), np.float32)
    explained = np.zeros(len(stars), np.float32)
    counts = (user_count, len(features))
    for _ in range(_ROUNDS):
        biases = fit_biases(ratings, stars - mean - explained, counts=counts, shrinkage=shrinkage)
        left = stars - mean - biases[0][ratings.user_index] - biases[1][ratings.movie_index]
        tastes = _tastes(ratings, features, left, user_count=user_count, l2=l2)
        explained = _explained(ratings, features, tastes)
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
    ridge = l2 * np.eye(features.shape[1], dtype=np.float32)
    shared, left = _everybody(ratings.movie_index, features, target, ridge)
    tastes = np.tile(shared, (user_count, 1))
    order = np.argsort(ratings.user_index, kind="stable")
    ends = np.cumsum(np.bincount(ratings.user_index, minlength=user_count))
    for user, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end > start:
            rows = order[start:end]
            own = features[ratings.movie_index[rows]]
            tastes[user] += np.linalg.solve(own.T @ own + ridge, own.T @ left[rows])
    return tastes


def _everybody(
    movie_index: NDArray[np.int32],
    features: NDArray[np.float32],
    target: NDArray[np.float32],
    ridge: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return everybody's tastes, [F], and what they leave of the target, [N]."""
    products, sums = np.zeros_like(ridge), np.zeros(len(ridge), np.float32)
    for part in _parts(len(target)):
        rows = features[movie_index[part]]  # [P, F]
        products += rows.T @ rows
        sums += rows.T @ target[part]
    shared: NDArray[np.float32] = np.linalg.solve(products + ridge, sums)
    left = np.empty_like(target)
    for part in _parts(len(target)):
        left[part] = target[part] - features[movie_index[part]] @ shared
    return shared, left


def _explained(
    ratings: Ratings, features: NDArray[np.float32], tastes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what the tastes say of each rating, [N]."""
    explained = np.empty(len(ratings), np.float32)
    for part in _parts(len(ratings)):
        movies, users = features[ratings.movie_index[part]], tastes[ratings.user_index[part]]
        np.einsum("nf,nf->n", movies, users, out=explained[part])
    return explained


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _PART) for start in range(0, count, _PART))
