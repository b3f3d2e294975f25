"""Hybrid retrieval models with random arrays, for tests without training."""

import numpy as np
import scipy.sparse as sp

from reco_batch.models.retrieval.encoder_weights import EncoderWeights
from reco_batch.models.retrieval.hybrid import Halves
from reco_batch.models.retrieval.stored_hybrid import StoredHybrid
from reco_batch.settings.hyperparameters import HybridParameters

PARAMETERS = HybridParameters(
    recency=0.4, dislike_weight=0.3, popularity_share=0.2, recent_share=0.1
)


def random_hybrid(*, movies=20, width=4, seed=0):
    """Make a stored model of movies `m0`, `m1` and so on."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(0, 1, shape).astype(np.float32)

    encoder = EncoderWeights(
        normal(movies, width),
        normal(movies, width + 1),
        np.zeros((0, width), np.float32),
        normal(3, width),
    )
    neighbours = sp.random(movies, movies, 0.3, "csr", np.float32, rng=rng)
    halves = Halves(encoder, (2000, 2002), neighbours, normal(movies, 2))
    ids = tuple(f"m{movie}" for movie in range(movies))
    return StoredHybrid(halves, PARAMETERS, normal(movies, 5), ids)
