"""Models that are quickly trained, as the default preset."""

from reco_batch.settings import hyperparameters as presets
from reco_batch.settings.hyperparameters import (
    EnsembleParameters,
    HybridParameters,
    Preset,
    RankBy,
    TowerParameters,
)


def use_small_models() -> None:
    """Make the default preset small in this process."""
    presets.PRESETS["default"] = Preset(
        HybridParameters(
            TowerParameters(embedding_dim=8, steps=3, batch_users=2048),
        ),
        EnsembleParameters(factors=8, embedding_dim=4, epochs=4),
        refit=True,
        fits_validation=True,
        rank_by=RankBy.BOUND,
    )
