"""Training of the history encoder on the histories of users.

Shapes: U users, I movies, F content features.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.retrieval.encoder_weights import EncoderWeights, time_features
from reco_batch.models.retrieval.history_encoder import HistoryEncoder, train_encoder
from reco_batch.models.retrieval.history_weights import history_weights
from reco_batch.models.retrieval.hybrid import Users
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Stage
from reco_batch.settings.hyperparameters import HybridParameters


def encoder_of(
    users: Users,
    content: NDArray[np.float32],
    parameters: HybridParameters,
    *,
    years: tuple[int, int],
    evidence: NDArray[np.float32] | None,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
    is_enough: Callable[[int, Callable[[], EncoderWeights]], bool] | None = None,
) -> EncoderWeights:
    """Return an encoder trained on the histories of users.

    Args:
        users: users to train on.
        content: [I, F].
        parameters: hyper-parameters of the hybrid.
        years: first and last knot of the time features, from `years_of`.
        evidence: [N] how much each rating of the histories counts in the loss; None: all alike.
        seed: random seed; fixes the result for the same data and machine.
        stage: reports each epoch.
        checkpoints: checkpoints of this training, for `fit_shuffled`.
        is_enough: ends the training early, see `train_encoder`.
    """
    weights = history_weights(
        users.rated, recency=parameters.recency, dislike_weight=parameters.dislike_weight
    )
    model = HistoryEncoder(
        users.rated.history,
        weights,
        content,
        time_features(users.latest, years=years),
        parameters.tower,
        evidence=evidence,
        seed=seed,
    )
    return train_encoder(
        model,
        len(users.latest),
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
        is_enough=is_enough,
    )


def years_of(ratings: Ratings) -> tuple[int, int]:
    """Return the first and the last knot of the time features."""
    if ratings.timestamp is None or not len(ratings):
        return 1970, 1970
    first, last = np.array([ratings.timestamp.min(), ratings.timestamp.max()])
    return int(first.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1970, (
        int(last.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1971
    )
