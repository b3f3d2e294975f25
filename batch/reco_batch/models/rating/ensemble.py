"""Default rating model: the weighted mean of a ridge regression and several SVD++ members.

Every member represents a movie by its genres, its year and its co-occurrence factors
(`cooccurrence`), which are more informative than the genres.

A training step of an SVD++ member cannot grow with the data: its cost is the rating histories that
it sums, and larger steps generalise worse. So beyond a budget of steps no member is trained, and
the ridge regression is the whole model.

Shapes: N ratings, U users, I movies, D factors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Movies, Ratings, histories
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.ridge import fit_ridge
from reco_batch.models.rating.svdpp import train_svdpp
from reco_batch.models.retrieval.cooccurrence import (
    cooccurrence_counts,
    cooccurrence_factors,
    narrower_window,
    planned_window,
)
from reco_batch.models.retrieval.recency import as_matrix
from reco_batch.models.trainable import DataSize, Rating, TrainableRating, Training
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.factor_model import LinearRating, weighted_mean
from reco_batch.settings.hyperparameters import EnsembleParameters


@dataclass(frozen=True)
class Ensemble(TrainableRating):
    """Training of the ensemble, within a budget of steps per member."""

    parameters: EnsembleParameters

    def train(self, training: Training) -> Rating:
        """Train all members that the budget allows."""
        dataset = training.dataset
        members = trained_members(self.parameters, rating_count=len(dataset.ratings))
        return train_ensemble(
            training.ratings(),
            movies=dataset.movies,
            user_count=len(dataset.user_ids),
            scale=dataset.rating_scale,
            parameters=replace(self.parameters, members=members),
            seed=training.seed,
            stage=training.stage,
            checkpoints=training.checkpoints,
        )

    def epochs(self, size: DataSize) -> int:
        """Return the epochs of all members together."""
        members = trained_members(self.parameters, rating_count=size.ratings)
        return members * self.parameters.epochs

    def plan(self, ratings: Ratings, size: DataSize) -> Mapping[str, Any]:
        """Return the number of trained members and the co-occurrence window.

        Empty without rating values, since no rating model is trained then.
        """
        if ratings.rating is None:
            return {}
        return {
            "members": trained_members(self.parameters, rating_count=size.ratings),
            "window": planned_window(self.parameters.window, ratings),
        }

    def budget_notes(self, plan: Mapping[str, Any], size: DataSize) -> list[str]:  # noqa: ARG002
        """Return a note for fewer members and one for a narrower window."""
        notes: list[str] = []
        if plan["members"] < self.parameters.members:
            notes.append(
                "the rating model is the ridge regression alone: each of "
                f"{self.parameters.members} SVD++ members would exceed "
                f"{self.parameters.most_steps:,} training steps"
            )
        return notes + narrower_window("the ensemble", plan["window"], self.parameters.window)


def trained_members(parameters: EnsembleParameters, *, rating_count: int) -> int:
    """Return the number of trained members: all, or 0 beyond the budget of steps.

    Args:
        parameters: hyper-parameters with the budget.
        rating_count: N of the whole data, so that the measured and the published model are alike.
    """
    steps = parameters.epochs * -(-rating_count // parameters.batch_size)
    return parameters.members if steps <= parameters.most_steps else 0


def train_ensemble(
    ratings: Ratings,
    *,
    movies: Movies,
    user_count: int,
    scale: tuple[float, float],
    parameters: EnsembleParameters,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> LinearRating:
    """Train all members on the value of every rating, and return their weighted mean.

    Args:
        ratings: training ratings.
        movies: catalogue.
        user_count: U.
        scale: lowest and highest rating.
        parameters: hyper-parameters of all members.
        seed: random seed; fixes the result for the same data and machine.
        stage: reports each epoch of each member.
        checkpoints: checkpoints of this training; each member has a part of its own.
    """
    counts = cooccurrence_counts(ratings, movie_count=len(movies), window=parameters.window)
    history = histories(ratings, user_count=user_count)
    interactions = as_matrix(history, None, movie_count=len(movies))
    factors = cooccurrence_factors(counts, interactions, dim=parameters.factors, seed=seed)
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
        train_svdpp(
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
    """Concatenate content and factors, whose mean length over all ratings becomes `scale`."""
    squares = np.square(factors).sum(axis=1)  # [I], not [N, D] for every rating
    length = np.sqrt(squares[ratings.movie_index].mean())
    return np.hstack([content, factors * (scale / max(length, 1e-9))]).astype(np.float32)
