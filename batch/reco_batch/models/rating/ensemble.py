"""Default rating model: Bayesian factors, and a ridge regression of their residuals.

The factors (`bayesian_factors`) are good where many users rated the same movies; the ridge
regression of each user's residuals (`ridge`) adds preferences for content, for which a few factors
have no room. It is fitted to leave-one-out residuals: those of the fitted ratings are too small.

Both represent a movie by its genres, its year and its co-occurrence factors (`cooccurrence`), which
are more informative than the genres. Everything is linear in the number of ratings.

Shapes: N ratings, U users, I movies, D factors, F features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Movies, Ratings, histories
from reco_batch.data.item_features import content_features
from reco_batch.models.rating.bayesian_factors import BayesianFactors, Features, train_factors
from reco_batch.models.rating.ridge import fit_ridge
from reco_batch.models.retrieval.cooccurrence import (
    cooccurrence_counts,
    cooccurrence_factors,
    narrower_window,
    planned_window,
)
from reco_batch.models.retrieval.history_weights import as_matrix
from reco_batch.models.trainable import DataSize, Rating, TrainableRating, Training
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.factor_model import LinearRating, weighted_sum
from reco_batch.settings.hyperparameters import EnsembleParameters
from reco_batch.settings.processors import release_memory, release_models

#: Fewest passes over all ratings; the co-occurrence factors are a good start.
_LEAST_EPOCHS: Final = 8
#: A training that continues another, of a tenth fewer ratings, needs a fifth of the epochs
#: (`benchmarks/continued.py`), but at least two: the first still has the priors of the other model.
_FEWER_EPOCHS, _LEAST_CONTINUED = 5, 2


@dataclass(frozen=True)
class Ensemble(TrainableRating):
    """Training of the ensemble, within a budget of rating visits."""

    parameters: EnsembleParameters

    def train(self, training: Training) -> Rating:
        """Train the factors for as many epochs as the budget allows, and the ridge regression."""
        dataset, checkpoints = training.dataset, training.checkpoints
        size, continues = DataSize.of(dataset), checkpoints is not None and checkpoints.continues()
        epochs = self.continued_epochs(size) if continues else self.epochs(size)
        return train_ensemble(
            training.ratings,
            movies=dataset.movies,
            user_count=len(dataset.user_ids),
            scale=dataset.rating_scale,
            parameters=replace(self.parameters, epochs=epochs),
            seed=training.seed,
            stage=training.stage,
            checkpoints=checkpoints,
            successor=training.successor,
        )

    def epochs(self, size: DataSize) -> int:
        """Return the epochs of the factors."""
        return planned_epochs(self.parameters, rating_count=size.ratings)

    def continued_epochs(self, size: DataSize) -> int:
        """Return the epochs of the factors from the posterior of the measured model."""
        epochs = self.epochs(size)
        return min(epochs, max(_LEAST_CONTINUED, epochs // _FEWER_EPOCHS))

    def plan(self, ratings: Ratings, size: DataSize) -> Mapping[str, Any]:
        """Return the number of epochs and the co-occurrence window.

        Empty without rating values, since no rating model is trained then.
        """
        if ratings.rating is None:
            return {}
        return {
            "epochs": self.epochs(size),
            "window": planned_window(self.parameters.window, ratings),
        }

    def budget_notes(self, plan: Mapping[str, Any], size: DataSize) -> list[str]:
        """Return a note for fewer epochs and one for a narrower window."""
        notes: list[str] = []
        if plan["epochs"] < self.parameters.epochs:
            notes.append(
                f"epochs of the rating model reduced from {self.parameters.epochs} to "
                f"{plan['epochs']} to stay within {self.parameters.most_visits:,} rating visits, "
                f"or as few as it needs ({size.ratings:,} ratings)"
            )
        return notes + narrower_window("the ensemble", plan["window"], self.parameters.window)


def planned_epochs(parameters: EnsembleParameters, *, rating_count: int) -> int:
    """Return the epochs of the factors: all, or fewer beyond the budget of rating visits.

    Args:
        parameters: hyper-parameters with the budget.
        rating_count: N of the whole data, so that the measured model is trained as long as a
            published one that does not continue it.
    """
    affordable = max(_LEAST_EPOCHS, parameters.most_visits // max(rating_count, 1))
    return min(parameters.epochs, affordable)


def train_ensemble(
    ratings: Callable[[], Ratings],
    *,
    movies: Movies,
    user_count: int,
    scale: tuple[float, float],
    parameters: EnsembleParameters,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
    successor: Checkpoints | None = None,
) -> LinearRating:
    """Train both members on the value of every rating, and return their sum.

    Args:
        ratings: returns the training ratings in any order; they are not kept.
        movies: catalogue.
        user_count: U.
        scale: lowest and highest rating.
        parameters: hyper-parameters of both members.
        seed: random seed; fixes the result for the same data and machine.
        stage: reports each epoch of the factors.
        checkpoints: checkpoints of this training.
        successor: checkpoints of the training that continues this one.
    """
    content = content_features(movies)
    trained, factors = _untrained(ratings(), content, parameters, user_count=user_count, seed=seed)
    release_memory()
    train_factors(
        trained,
        epochs=parameters.epochs,
        stage=stage,
        checkpoints=checkpoints,
        successor=successor,
    )
    left = trained.ratings()
    left = replace(left, rating=trained.leave_one_out(left))
    factorised = trained.linear(scale)
    del trained
    release_models()
    of_content = np.hstack([content, factors * parameters.ridge_factor_scale])
    ridge = fit_ridge(
        left,
        of_content.astype(np.float32),
        user_count=user_count,
        scale=scale,
        l2=parameters.ridge_l2,
        shrinkage=parameters.bias_shrinkage,
    )
    return weighted_sum([factorised, ridge], [1, parameters.ridge_share])


def _untrained(
    ratings: Ratings,
    content: NDArray[np.float32],
    parameters: EnsembleParameters,
    *,
    user_count: int,
    seed: int,
) -> tuple[BayesianFactors, NDArray[np.float32]]:
    """Return the factors before their training, and the co-occurrence factors of the movies.

    Args:
        ratings: training ratings.
        content: [I, content] genres and year.
        parameters: hyper-parameters of both members.
        user_count: U.
        seed: random seed.

    Returns:
        The factors, and [I, D] of mean length 1 over the ratings.
    """
    movie_count = len(content)
    counts = cooccurrence_counts(ratings, movie_count=movie_count, window=parameters.window)
    history = histories(ratings, user_count=user_count)
    interactions = as_matrix(history, None, movie_count=movie_count)
    factors = cooccurrence_factors(counts, interactions, dim=parameters.factors, seed=seed)
    del counts  # of large data they take a gigabyte
    rated = np.bincount(ratings.movie_index, minlength=movie_count)
    factors = factors / max(_mean_length(factors, rated), 1e-9)
    features = _features(content, factors, interactions, rated)
    return BayesianFactors(ratings, features, parameters, seed=seed), factors


def _features(
    content: NDArray[np.float32],
    factors: NDArray[np.float32],
    interactions: sp.csr_matrix,
    rated: NDArray[np.int64],
) -> Features:
    """Return the features of the prior means, and the initial factors of the movies.

    A user has the sum of the co-occurrence factors of the own history, divided by the square root
    of its length. Both sides have a constant and the logarithm of the number of ratings.

    Args:
        content: [I, content] genres and year.
        factors: [I, D] co-occurrence factors of mean length 1.
        interactions: [U, I], 1 where the user rated the movie.
        rated: [I] ratings of each movie.
    """
    lengths = np.diff(interactions.indptr)
    history = (interactions @ factors) / np.sqrt(lengths + 1)[:, np.newaxis]
    present = (lengths > 0).astype(np.float64)
    history = history - present @ history / max(present.sum(), 1)
    width = np.sqrt(factors.shape[1])
    history *= width / max(_mean_length(history, present), 1e-9)
    return Features(
        np.hstack([_constants(lengths), history]).astype(np.float32),
        np.hstack([_constants(rated), content, factors * width]).astype(np.float32),
        factors,
    )


def _constants(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a constant and the standardised logarithm of the number of ratings, [rows, 2]."""
    logarithm = np.log1p(counts)
    logarithm = (logarithm - logarithm.mean()) / max(logarithm.std(), 1e-9)
    return np.column_stack([np.ones(len(counts)), logarithm])


def _mean_length(vectors: NDArray[np.floating], weights: NDArray[Any]) -> float:
    """Return the root of the weighted mean squared length of the rows."""
    squares = np.square(vectors).sum(axis=1)
    return float(np.sqrt(weights @ squares / max(weights.sum(), 1)))
