"""Training of the default retrieval model, `hybrid`.

The ratings of a large data set take most of the memory, and two trainings run in parallel. All
closed forms are therefore computed first (`_extract`), by one training at a time, and the ratings
are released before the history encoder is trained.

Shapes: U users, I movies, N ratings, F content features.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Movies, Ratings
from reco_batch.data.item_features import content_features
from reco_batch.models.retrieval.choose import choose
from reco_batch.models.retrieval.cooccurrence import (
    cooccurrence_factors,
    narrower_window,
    planned_window,
    without_order,
)
from reco_batch.models.retrieval.encoder_training import encoder_of, years_of
from reco_batch.models.retrieval.history_encoder import EncoderPlan, encoder_plan
from reco_batch.models.retrieval.history_weights import evidence
from reco_batch.models.retrieval.hybrid import (
    Halves,
    HybridRetrieval,
    Users,
    popularity_columns,
)
from reco_batch.models.retrieval.neighbours import (
    RatedPairs,
    fit_neighbours,
    longest_history,
    most_rated,
)
from reco_batch.models.retrieval.two_tower import unit_rows
from reco_batch.models.trainable import (
    Choice,
    DataSize,
    Retrieval,
    TrainableRetrieval,
    Training,
)
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Stage
from reco_batch.settings.hyperparameters import HybridParameters
from reco_batch.settings.processors import release_memory, release_models

#: Co-occurrence factors in a similarity vector.
_SIMILAR_FACTORS: Final = 128
#: Length of the content in a similarity vector, where the factors have 1.
_CONTENT_LENGTH: Final = 0.3
#: Held while closed forms are computed, which take more memory than the training of an encoder.
_ONE_AT_A_TIME: Final = threading.Lock()


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
            seed=training.seed,
            stage=training.stage,
            checkpoints=training.checkpoints,
        )

    def epochs(self, size: DataSize) -> int:
        """Return the epochs of the history encoder."""
        return self._encoder_plan(size).epochs

    def choose(
        self,
        dataset: Dataset,
        train: Ratings,
        validation: Ratings,
        *,
        last: Mapping[str, Any],
        seed: int,
        stage: Stage,
    ) -> Choice:
        """Return the hyper-parameters with the best lists on the validation part."""
        return choose(
            self.parameters, dataset, train, validation, last=last, seed=seed, stage=stage
        )

    def plan(self, ratings: Ratings, size: DataSize) -> Mapping[str, Any]:
        """Return the encoder's plan, the candidates of a step, and the movies with neighbours."""
        neighbours = self.parameters.neighbours
        rated = np.bincount(ratings.movie_index, minlength=size.movies)
        lengths = np.bincount(ratings.user_index, minlength=size.users)
        longest = longest_history(lengths, neighbours)
        return {
            **self._encoder_plan(size)._asdict(),
            "candidates": min(self.parameters.tower.most_candidates, size.movies),
            "window": planned_window(neighbours.window, ratings),
            "neighbour_movies": len(most_rated(rated, neighbours)),
            "neighbour_history": longest,
            "shortened_histories": int((lengths > longest).sum()),
        }

    def budget_notes(self, plan: Mapping[str, Any], size: DataSize) -> list[str]:
        """Return a note for each budget that changes the training."""
        parameters, tower = self.parameters, self.parameters.tower
        notes: list[str] = []
        wanted = max(1, round(tower.steps / -(-size.users // tower.batch_users)))
        if plan["epochs"] < wanted:
            notes.append(
                f"epochs reduced from {wanted} to {plan['epochs']} to stay within "
                f"{tower.most_scores:,} scores ({size.users:,} users)"
            )
        if plan["batch"] > tower.batch_users:
            notes.append(
                f"users per training step raised from {tower.batch_users:,} to {plan['batch']:,} "
                f"for at most {tower.most_steps:,} steps an epoch, or as few as memory allows"
            )
        if plan["candidates"] < size.movies:
            notes.append(
                f"each training step samples {plan['candidates']:,} of {size.movies:,} movies"
            )
        most = parameters.neighbours.most_movies
        if plan["neighbour_movies"] == most:
            notes.append(f"only the {most:,} most rated movies have weights to others")
        if plan["shortened_histories"]:
            notes.append(
                f"the item-item half counts only the newest {plan['neighbour_history']:,} ratings "
                f"of a user (users with more: {plan['shortened_histories']:,})"
            )
        return notes + narrower_window(
            "the item-item half", plan["window"], parameters.neighbours.window
        )

    def _encoder_plan(self, size: DataSize) -> EncoderPlan:
        return encoder_plan(self.parameters.tower, user_count=size.users, movie_count=size.movies)


class _Extract(NamedTuple):
    """Parts of the model that are computed from the ratings in closed form, and the histories."""

    users: Users
    evidence: NDArray[np.float32] | None  # [N]
    years: tuple[int, int]
    neighbours: sp.csr_matrix
    popularity: NDArray[np.float32]  # [I, 2]
    similar: NDArray[np.float32]  # [I, S]


def train_hybrid(
    ratings: Callable[[], Ratings],
    *,
    movies: Movies,
    user_ids: Sequence[str],
    parameters: HybridParameters,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> HybridRetrieval:
    """Train on every rating as one interaction.

    Args:
        ratings: returns the training ratings in any order; they are not kept.
        movies: catalogue.
        user_ids: U ids.
        parameters: hyper-parameters of both halves, as chosen.
        seed: random seed; fixes the result for the same data and machine.
        stage: reports each epoch.
        checkpoints: checkpoints of this training, for `fit_shuffled`.
    """
    content = content_features(movies)
    with _ONE_AT_A_TIME:
        extract = _extract(ratings(), content, parameters, user_count=len(user_ids), seed=seed)
        release_memory()
    encoder = encoder_of(
        extract.users,
        content,
        parameters,
        years=extract.years,
        evidence=extract.evidence,
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
    )
    release_models()
    return HybridRetrieval(
        Halves(encoder, extract.years, extract.neighbours, extract.popularity),
        extract.users._replace(own=encoder.users),
        parameters,
        similar=extract.similar,
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
    users, movie_count = Users.of(ratings, user_count=user_count), len(content)
    weights, years = evidence(users.rated, ratings), years_of(ratings)
    days = parameters.recent_days
    popularity = popularity_columns(ratings, movie_count=movie_count, recent_days=days)
    pairs = RatedPairs.of(
        ratings, users.rated, movie_count=movie_count, parameters=parameters.neighbours
    )
    del ratings
    factors = cooccurrence_factors(
        pairs.cooccurrence,
        pairs.interactions,
        dim=_SIMILAR_FACTORS,
        seed=seed,
        folded_in=without_order(pairs.cooccurrence, pairs.interactions),
    )
    return _Extract(
        users,
        weights,
        years,
        fit_neighbours(pairs, parameters.neighbours),
        popularity,
        _similarity_vectors(factors, content),
    )


def _similarity_vectors(
    factors: NDArray[np.float32], content: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return co-occurrence factors and a little content, [I, S] rows of length 1."""
    return unit_rows(np.hstack([unit_rows(factors), _CONTENT_LENGTH * unit_rows(content)]))
