"""Registry of models: the training of each class of hyper-parameters.

A new model is a class of hyper-parameters (`settings.hyperparameters`), a module with its training
(`trainable`), and a line here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from reco_batch.data.dataset import Ratings
from reco_batch.models.rating.ensemble import Ensemble
from reco_batch.models.rating.mlp import Mlp
from reco_batch.models.retrieval.hybrid_training import Hybrid
from reco_batch.models.retrieval.two_tower import TwoTower
from reco_batch.models.trainable import (
    DataSize,
    Rating,
    Retrieval,
    Trainable,
    TrainableRating,
    TrainableRetrieval,
    Training,
)
from reco_batch.settings.hyperparameters import (
    EnsembleParameters,
    HybridParameters,
    MlpParameters,
    ModelParameters,
    Preset,
    TwoTowerParameters,
)

__all__ = [
    "Training",
    "budget_notes",
    "plans",
    "rating_of",
    "retrieval_of",
    "train_rating_of",
    "train_retrieval_of",
]

_RETRIEVAL: Final[Mapping[type[ModelParameters], Callable[[Any], TrainableRetrieval]]] = {
    HybridParameters: Hybrid,
    TwoTowerParameters: TwoTower,
}
_RATING: Final[Mapping[type[ModelParameters], Callable[[Any], TrainableRating]]] = {
    EnsembleParameters: Ensemble,
    MlpParameters: Mlp,
}


def retrieval_of(parameters: ModelParameters) -> TrainableRetrieval:
    """Return the retrieval model of some hyper-parameters, to be trained."""
    return _RETRIEVAL[type(parameters)](parameters)


def rating_of(parameters: ModelParameters) -> TrainableRating:
    """Return the rating model of some hyper-parameters, to be trained."""
    return _RATING[type(parameters)](parameters)


def train_retrieval_of(parameters: ModelParameters, training: Training) -> Retrieval:
    """Train the retrieval model of some hyper-parameters."""
    return retrieval_of(parameters).train(training)


def train_rating_of(parameters: ModelParameters, training: Training) -> Rating:
    """Train the rating model of some hyper-parameters."""
    return rating_of(parameters).train(training)


def plans(preset: Preset, ratings: Ratings, size: DataSize) -> Mapping[str, Mapping[str, Any]]:
    """Return everything that the size of the data decides, by model; empty plans are left out.

    Args:
        preset: hyper-parameters of both models.
        ratings: ratings to train on.
        size: size of the whole data.
    """
    found = {name: model.plan(ratings, size) for name, model in _models(preset).items()}
    return {name: plan for name, plan in found.items() if plan}


def budget_notes(
    preset: Preset, planned: Mapping[str, Mapping[str, Any]], size: DataSize
) -> Sequence[str]:
    """Return a note for each budget that changes training, for plans from `plans`."""
    models = _models(preset)
    return [
        note for name, plan in planned.items() for note in models[name].budget_notes(plan, size)
    ]


def _models(preset: Preset) -> Mapping[str, Trainable[object]]:
    return {"retrieval": retrieval_of(preset.retrieval), "rating": rating_of(preset.rating)}
