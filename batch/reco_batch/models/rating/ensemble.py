"""The default rating model: the mean of a closed-form and several trained members.

All of them see a movie as its genres, its year, and the factors of how it is rated together with
others (`sessions`); those factors tell more of a movie than its genres do.
"""

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Movies, Ratings, histories
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.ridge import fit_ridge
from reco_batch.models.rating.svdpp import train_content_rating
from reco_batch.models.retrieval.cooccurrence import co_rating_factors, co_ratings
from reco_batch.models.retrieval.recency import as_matrix
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.factor_model import LinearRating, weighted_mean
from reco_batch.settings.hyperparameters import TasteParameters


def train_blended_rating(
    ratings: Ratings,
    *,
    movies: Movies,
    user_count: int,
    scale: tuple[float, float],
    parameters: TasteParameters,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> LinearRating:
    """Fit all members on the stars of every rating.

    Args:
        ratings: the training part.
        movies: the catalogue.
        user_count: U.
        scale: lowest and highest stars.
        parameters: of all members.
        seed: of everything random; with the same data and machine it fixes the result.
        stage: told of each epoch of each member.
        checkpoints: of this training; each member has its own among them.

    Returns:
        Their mean, as biases and one dot product.
    """
    counts = co_ratings(ratings, movie_count=len(movies), window=parameters.window)
    history = histories(ratings, user_count=user_count)
    interactions = as_matrix(history, None, movie_count=len(movies))
    factors = co_rating_factors(counts, interactions, dim=parameters.factors, seed=seed)
    content = content_features(movies)
    members = [
        fit_ridge(
            ratings,
            _features(content, factors, ratings, scale=parameters.ridge_factor_scale),
            user_count=user_count,
            scale=scale,
            l2=parameters.ridge_l2,
            shrinkage=parameters.bias_shrinkage,
        )
    ]
    features = _features(content, factors, ratings, scale=parameters.factor_scale)
    members.extend(
        train_content_rating(
            ratings,
            features,
            parameters,
            user_count=user_count,
            scale=scale,
            seed=seed + member,
            stage=stage,
            checkpoints=checkpoints.part(f"member-{member + 1}") if checkpoints else None,
        )
        for member in range(parameters.members)
    )
    if len(members) == 1:
        return members[0]
    share = (1 - parameters.ridge_share) / parameters.members
    return weighted_mean(members, [parameters.ridge_share, *[share] * parameters.members])


def _features(
    content: NDArray[np.float32],
    factors: NDArray[np.float32],
    ratings: Ratings,
    *,
    scale: float,
) -> NDArray[np.float32]:
    """Join content and factors, the factors of a rated movie of length `scale` on average."""
    squares = np.square(factors).sum(axis=1)  # [I]; of each rating they would be N x D
    length = np.sqrt(squares[ratings.movie_index].mean())
    return np.hstack([content, factors * (scale / max(length, 1e-9))]).astype(np.float32)
