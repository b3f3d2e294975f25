"""Training of the default retrieval model: everything that `blended_retrieval` answers from.

Of the largest data the ratings are what takes most memory, and two trainings run side by side. So
they are read out first (`_read_out`) and let go of, before the long part begins: the towers'.

Shapes: U users, I movies, N ratings.
"""

import gc
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories, Movies, Ratings
from reco_batch.data.item_features import content_features
from reco_batch.models.retrieval.cooccurrence import co_rating_factors, co_ratings, without_order
from reco_batch.models.retrieval.ease import Neighbours, fit_neighbours
from reco_batch.models.retrieval.history_encoder import HistoryModel, train_towers
from reco_batch.models.retrieval.hybrid import BlendedRetrieval, latest_ratings
from reco_batch.models.retrieval.recency import as_matrix, recency_weights
from reco_batch.models.retrieval.trained_towers import time_features
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.explanations import Rated, liked
from reco_batch.settings.hyperparameters import HistoryParameters

_SIMILAR_FACTORS: Final = 128


class _ReadOut(NamedTuple):
    """What the model is made of, of all that the ratings say."""

    rated: Rated  # [U] rows
    latest: NDArray[np.int64]  # [U] seconds since 1970
    years: tuple[int, int]
    neighbours: Neighbours
    similar: NDArray[np.float32]  # [I, S]


def train_blended(
    ratings: Callable[[], Ratings],
    *,
    movies: Movies,
    user_ids: Sequence[str],
    parameters: HistoryParameters,
    recency: float,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> BlendedRetrieval:
    """Train on every rating as one interaction, whatever its stars.

    Args:
        ratings: gives the training part, in any order; they are not kept.
        movies: the catalogue.
        user_ids: U ids.
        parameters: of both halves.
        recency: from `recency.choose_recency`.
        seed: of everything random; with the same data and machine it fixes the result.
        stage: told of each epoch.
        checkpoints: of this training, as `fit_shuffled` takes them.

    Returns:
        The trained model.
    """
    content = content_features(movies)
    read = _read_out(ratings(), content, parameters, user_count=len(user_ids), seed=seed)
    history = read.rated.history
    towers = train_towers(
        HistoryModel(
            history,
            recency_weights(history, exponent=recency),
            content,
            time_features(read.latest, years=read.years),
            parameters.tower,
            seed=seed,
        ),
        len(user_ids),
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
    )
    gc.collect()  # a Keras model refers to itself: nothing else lets go of it and of its optimizer
    return BlendedRetrieval(
        towers,
        read.neighbours,
        parameters,
        popularity=_standardised_popularity(history, len(movies)),
        similar=read.similar,
        rated=read.rated,
        latest=read.latest,
        recency=recency,
        years=read.years,
        ids=(user_ids, movies.ids),
    )


def _read_out(
    ratings: Ratings,
    content: NDArray[np.float32],
    parameters: HistoryParameters,
    *,
    user_count: int,
    seed: int,
) -> _ReadOut:
    """Do everything that needs the ratings themselves; `content` is [I, F]."""
    rated, movie_count = liked(ratings, user_count=user_count), len(content)
    counts = co_ratings(ratings, movie_count=movie_count, window=parameters.neighbours.window)
    interactions = as_matrix(rated.history, None, movie_count=movie_count)
    factors = co_rating_factors(
        counts,
        interactions,
        dim=_SIMILAR_FACTORS,
        seed=seed,
        folded_in=without_order(counts, interactions),
    )
    return _ReadOut(
        rated,
        latest_ratings(ratings, user_count=user_count),
        _years(ratings),
        fit_neighbours(interactions, counts, parameters.neighbours, seed=seed),
        _alike(factors, content),
    )


def _standardised_popularity(history: Histories, movie_count: int) -> NDArray[np.float32]:
    log = np.log(np.bincount(history.movie_index, minlength=movie_count) + 1.0)
    standardised: NDArray[np.float32] = ((log - log.mean()) / max(log.std(), 1e-9)).astype(
        np.float32
    )
    return standardised


def _alike(factors: NDArray[np.float32], content: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join co-rating factors and a little content, each movie's row to length 1."""
    joined = np.hstack([_unit_rows(factors), 0.3 * _unit_rows(content)])
    return _unit_rows(joined)


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (rows / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled


def _years(ratings: Ratings) -> tuple[int, int]:
    if ratings.timestamp is None or not len(ratings):
        return 1970, 1970
    first, last = np.array([ratings.timestamp.min(), ratings.timestamp.max()])
    return int(first.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1970, (
        int(last.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1971
    )
