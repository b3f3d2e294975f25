"""Training functions by parameter class: hyper-parameters in, trained model out.

Budgets (`decisions`) and hyper-parameter search (`search`) know the parameter classes, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.models.rating.ensemble import train_blended_rating
from reco_batch.models.rating.mlp import RatingModel, train_rating
from reco_batch.models.retrieval.hybrid_training import train_blended
from reco_batch.models.retrieval.recency import choose_recency
from reco_batch.models.retrieval.two_tower import Retrieval, train_retrieval
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.plans import tower_plan, trained_members
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.settings.hyperparameters import (
    HistoryParameters,
    RatingParameters,
    RetrievalParameters,
    TasteParameters,
)


class Training(NamedTuple):
    """What every training is given, whatever it trains."""

    dataset: Dataset
    """The whole input, of which it may know everything but the ratings."""
    ratings: Callable[[], Ratings]
    """Gives those to train on, in their order; a training keeps them no longer than it must."""
    seed: int
    recency: float
    """Exponent of how newer ratings count, as chosen; the notebook's models have no use for it."""
    stage: Stage
    checkpoints: Checkpoints | None = None


def recency_of(
    parameters: RetrievalParameters | HistoryParameters,
    dataset: Dataset,
    train: Ratings,
    validation: Ratings,
    *,
    seed: int,
) -> tuple[float, Mapping[str, float]]:
    """Return how newer ratings shall count, and what each exponent that was tried has found.

    The notebook's model has no use for it, and nothing is tried.
    """
    if not isinstance(parameters, HistoryParameters):
        return 0.0, {}
    return choose_recency(
        train,
        validation,
        user_count=len(dataset.user_ids),
        movie_count=len(dataset.movies),
        parameters=parameters,
        seed=seed,
    )


def retrieval_epochs(
    parameters: RetrievalParameters | HistoryParameters, *, user_count: int
) -> int:
    """Return how many epochs the retrieval model of so many users is trained for."""
    if isinstance(parameters, HistoryParameters):
        return tower_plan(parameters.tower, user_count=user_count).epochs
    return parameters.epochs


def train_retrieval_of(
    parameters: RetrievalParameters | HistoryParameters, training: Training
) -> Retrieval:
    """Train the retrieval model that the parameters are of."""
    dataset = training.dataset
    if isinstance(parameters, HistoryParameters):
        return train_blended(
            training.ratings,
            movies=dataset.movies,
            user_ids=dataset.user_ids,
            parameters=parameters,
            recency=training.recency,
            seed=training.seed,
            stage=training.stage,
            checkpoints=training.checkpoints,
        )
    return train_retrieval(
        training.ratings,
        user_ids=dataset.user_ids,
        movie_ids=dataset.movies.ids,
        parameters=parameters,
        seed=training.seed,
        stage=training.stage,
        checkpoints=training.checkpoints,
    )


def rating_epochs(parameters: RatingParameters | TasteParameters, *, rating_count: int) -> int:
    """Return how many epochs the rating model of so many ratings is trained for, of all members."""
    if isinstance(parameters, TasteParameters):
        return trained_members(parameters, rating_count=rating_count) * parameters.epochs
    return parameters.epochs


def train_rating_of(
    parameters: RatingParameters | TasteParameters, training: Training
) -> RatingModel | LinearRating:
    """Train the rating model that the parameters are of."""
    dataset = training.dataset
    if isinstance(parameters, TasteParameters):
        members = trained_members(parameters, rating_count=len(dataset.ratings))
        return train_blended_rating(
            training.ratings(),
            movies=dataset.movies,
            user_count=len(dataset.user_ids),
            scale=dataset.rating_scale,
            parameters=replace(parameters, members=members),
            seed=training.seed,
            stage=training.stage,
            checkpoints=training.checkpoints,
        )
    return train_rating(
        training.ratings(),
        user_ids=dataset.user_ids,
        movie_ids=dataset.movies.ids,
        parameters=parameters,
        seed=training.seed,
        stage=training.stage,
        checkpoints=training.checkpoints,
    )
