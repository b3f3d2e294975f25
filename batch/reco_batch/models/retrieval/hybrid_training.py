"""Training of the default retrieval model, `hybrid`.

The ratings of the largest data sets need most of the memory, and two trainings run in parallel. So
everything that depends on the ratings is extracted first (`_extract`), and the ratings are released
before the long part, the training of the history encoder.

Shapes: U users, I movies, N ratings, F content features.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Histories, Movies, Ratings
from reco_batch.data.item_features import content_features
from reco_batch.models.retrieval.cooccurrence import (
    cooccurrence_counts,
    cooccurrence_factors,
    narrower_window,
    planned_window,
    without_order,
)
from reco_batch.models.retrieval.ease import EaseFactors, fit_ease, movies_with_neighbours
from reco_batch.models.retrieval.history_encoder import (
    HistoryEncoder,
    encoder_plan,
    time_features,
    train_encoder,
)
from reco_batch.models.retrieval.hybrid import HybridRetrieval, latest_ratings
from reco_batch.models.retrieval.recency import as_matrix, choose_recency, recency_weights
from reco_batch.models.retrieval.two_tower import unit_rows
from reco_batch.models.trainable import DataSize, Retrieval, TrainableRetrieval, Training
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.explanations import liked
from reco_batch.scoring.sparse_term import Rated
from reco_batch.settings.hyperparameters import HybridParameters

#: Co-occurrence factors in a similarity vector.
_SIMILAR_FACTORS: Final = 128
#: Length of the content in a similarity vector, where the factors have 1.
_CONTENT_LENGTH: Final = 0.3


@dataclass(frozen=True)
class Hybrid(TrainableRetrieval):
    """Training of the hybrid, within the budgets of its hyper-parameters."""

    parameters: HybridParameters

    def train(self, training: Training) -> Retrieval:
        """Train on every rating as one interaction."""
        return train_hybrid(
            training.ratings,
            movies=training.dataset.movies,
            user_ids=training.dataset.user_ids,
            parameters=self.parameters,
            recency=training.recency,
            seed=training.seed,
            stage=training.stage,
            checkpoints=training.checkpoints,
        )

    def epochs(self, size: DataSize) -> int:
        """Return the epochs of the history encoder."""
        return encoder_plan(self.parameters.tower, user_count=size.users).epochs

    def choose_recency(
        self, dataset: Dataset, train: Ratings, validation: Ratings, *, seed: int
    ) -> tuple[float, Mapping[str, float]]:
        """Return the recency exponent and the validation NDCG@10 of each that was tried."""
        return choose_recency(
            train,
            validation,
            user_count=len(dataset.user_ids),
            movie_count=len(dataset.movies),
            parameters=self.parameters,
            seed=seed,
        )

    def plan(self, ratings: Ratings, size: DataSize) -> Mapping[str, Any]:
        """Return the encoder's plan, the candidates of a step, and the size of EASE."""
        tower, ease = self.parameters.tower, self.parameters.neighbours
        rated = np.bincount(ratings.movie_index, minlength=size.movies)
        return {
            **encoder_plan(tower, user_count=size.users)._asdict(),
            "candidates": min(tower.most_candidates, size.movies),
            "window": planned_window(ease.window, ratings),
            "neighbour_movies": len(movies_with_neighbours(rated, ease)),
        }

    def budget_notes(self, plan: Mapping[str, Any], size: DataSize) -> list[str]:
        """Return a note for each budget that changes the training."""
        parameters, tower, ease = self.parameters, self.parameters.tower, self.parameters.neighbours
        notes: list[str] = []
        if plan["epochs"] < tower.epochs:
            notes.append(
                f"epochs reduced from {tower.epochs} to {plan['epochs']} to stay within "
                f"{tower.most_visits:,} user visits ({size.users:,} users)"
            )
        if plan["batch"] > tower.batch_users:
            notes.append(
                f"users per training step raised from {tower.batch_users:,} to {plan['batch']:,} "
                f"for at most {tower.most_steps:,} steps, or as few as memory allows"
            )
        if plan["candidates"] < size.movies:
            notes.append(
                f"each training step samples {plan['candidates']:,} of {size.movies:,} movies"
            )
        if plan["neighbour_movies"] == ease.most_movies:
            notes.append(f"EASE uses only the {ease.most_movies:,} most rated movies")
        if size.users > parameters.recency_users and len(parameters.recency_choices) > 1:
            notes.append(
                f"the recency exponent is chosen on a sample of {parameters.recency_users:,} users"
            )
        return notes + narrower_window("EASE", plan["window"], ease.window)


class _Extract(NamedTuple):
    """Everything about the model that depends on the ratings themselves."""

    rated: Rated  # [U] rows
    latest: NDArray[np.int64]  # [U] seconds since 1970
    years: tuple[int, int]
    ease: EaseFactors
    similar: NDArray[np.float32]  # [I, S]


def train_hybrid(
    ratings: Callable[[], Ratings],
    *,
    movies: Movies,
    user_ids: Sequence[str],
    parameters: HybridParameters,
    recency: float,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> HybridRetrieval:
    """Train on every rating as one interaction, regardless of its value.

    Args:
        ratings: returns the training ratings in any order; they are not kept.
        movies: catalogue.
        user_ids: U ids.
        parameters: hyper-parameters of both halves.
        recency: recency exponent, from `choose_recency`.
        seed: random seed; fixes the result for the same data and machine.
        stage: reports each epoch.
        checkpoints: checkpoints of this training, for `fit_shuffled`.
    """
    content = content_features(movies)
    extract = _extract(ratings(), content, parameters, user_count=len(user_ids), seed=seed)
    history = extract.rated.history
    encoder = train_encoder(
        HistoryEncoder(
            history,
            recency_weights(history, exponent=recency),
            content,
            time_features(extract.latest, years=extract.years),
            parameters.tower,
            seed=seed,
        ),
        len(user_ids),
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
    )
    gc.collect()  # a Keras model refers to itself, so that only this releases it and its optimizer
    return HybridRetrieval(
        encoder,
        extract.ease,
        parameters,
        popularity=_standardised_popularity(history, len(movies)),
        similar=extract.similar,
        rated=extract.rated,
        latest=extract.latest,
        recency=recency,
        years=extract.years,
        ids=(user_ids, movies.ids),
    )


def _extract(
    ratings: Ratings,
    content: NDArray[np.float32],
    parameters: HybridParameters,
    *,
    user_count: int,
    seed: int,
) -> _Extract:
    """Return everything that depends on the ratings; `content` is [I, F]."""
    rated, movie_count = liked(ratings, user_count=user_count), len(content)
    counts = cooccurrence_counts(
        ratings, movie_count=movie_count, window=parameters.neighbours.window
    )
    interactions = as_matrix(rated.history, None, movie_count=movie_count)
    factors = cooccurrence_factors(
        counts,
        interactions,
        dim=_SIMILAR_FACTORS,
        seed=seed,
        folded_in=without_order(counts, interactions),
    )
    return _Extract(
        rated,
        latest_ratings(ratings, user_count=user_count),
        _years(ratings),
        fit_ease(interactions, counts, parameters.neighbours, seed=seed),
        _similarity_vectors(factors, content),
    )


def _standardised_popularity(history: Histories, movie_count: int) -> NDArray[np.float32]:
    log = np.log(np.bincount(history.movie_index, minlength=movie_count) + 1.0)
    standardised: NDArray[np.float32] = ((log - log.mean()) / max(log.std(), 1e-9)).astype(
        np.float32
    )
    return standardised


def _similarity_vectors(
    factors: NDArray[np.float32], content: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return co-occurrence factors and a little content, [I, S] rows of length 1."""
    return unit_rows(np.hstack([unit_rows(factors), _CONTENT_LENGTH * unit_rows(content)]))


def _years(ratings: Ratings) -> tuple[int, int]:
    """Return the first and the last knot of the time features."""
    if ratings.timestamp is None or not len(ratings):
        return 1970, 1970
    first, last = np.array([ratings.timestamp.min(), ratings.timestamp.max()])
    return int(first.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1970, (
        int(last.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1971
    )
