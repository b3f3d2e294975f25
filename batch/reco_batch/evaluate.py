"""How good the models are on ratings that training did not see.

Pure functions over arrays. Both figures are the notebook's own, computed once after training.

Shapes: N held-out ratings, I movies, D embedding width.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from reco_batch.dataset import Ratings
from reco_batch.ranking import predict
from reco_batch.rating import RatingWeights
from reco_batch.retrieval import Embeddings

#: The k of the notebook's FactorizedTopK.
TOP_K: Final = (1, 5, 10)
_CHUNK_ROWS = 512


def top_k_accuracy(
    embeddings: Embeddings, held_out: Ratings, *, ks: Sequence[int] = TOP_K
) -> Mapping[str, float]:
    """Return the share of held-out ratings whose movie is among its user's best k of all movies.

    What `tfrs.metrics.FactorizedTopK` computes: nothing is excluded, so that movies seen in
    training stand above many held-out ones, and figures are low.

    Args:
        embeddings: of users and movies.
        held_out: ratings that training did not see.
        ks: list lengths.

    Returns:
        `top_<k>_accuracy` -> share, 0 to 1; empty without held-out ratings.
    """
    if not len(held_out):
        return {}
    better = np.empty(len(held_out), np.int64)  # movies that score above the held-out one
    with threadpool_limits(1, "blas"):
        for start in range(0, len(held_out), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            scores = embeddings.users[held_out.user_index[rows]] @ embeddings.movies.T  # [chunk, I]
            own = np.take_along_axis(scores, held_out.movie_index[rows, np.newaxis], axis=1)
            better[rows] = (scores > own).sum(axis=1)
    return {f"top_{k}_accuracy": float((better < k).mean()) for k in ks}


def rmse(weights: RatingWeights, held_out: Ratings) -> Mapping[str, float]:
    """Return the root mean squared error of the predicted stars, as `rmse`.

    Empty without held-out ratings.
    """
    if not len(held_out):
        return {}
    error = predict(weights, held_out.user_index, held_out.movie_index) - held_out.rating
    return {"rmse": float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))}
