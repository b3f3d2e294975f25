"""Weights of the ratings in a history, by recency and by liking.

How much newer ratings should count, and whether disliked ones should, depends on the catalogue and
the kind of split, so `choose` selects both on the validation part.

Shapes: U users, I movies, N ratings.
"""

from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories, Ratings
from reco_batch.scoring.sparse_term import Rated

#: Places from the newest at which a rating counts 2 ** -exponent.
_HALF_WAY: Final = 5


def history_weights(rated: Rated, *, recency: float, dislike_weight: float) -> NDArray[np.float32]:
    """Return the weight of each rating, [N].

    Strengths are relative to the largest of the user's history, where only ratios count. Otherwise
    the history of a user who was idle for many half-lives would weigh nothing.

    Args:
        rated: histories with the strength of each rating, from `explanations.strengths`.
        recency: recency exponent, see `recency_weights`.
        dislike_weight: factor of a disliked rating; a negative one counts against the movies that
            are similar.
    """
    weights = recency_weights(rated.history, exponent=recency)
    weights *= _relative(rated)
    weights[rated.weights < 0] *= np.float32(dislike_weight)
    return weights


def _relative(rated: Rated) -> NDArray[np.float32]:
    """Return the size of each strength, as a share of the largest of the user's, [N]."""
    sizes, counts = np.abs(rated.weights), np.diff(rated.history.offsets)
    largest = np.maximum.reduceat(sizes, rated.history.offsets[:-1][counts > 0])
    sizes /= np.repeat(np.where(largest > 0, largest, np.float32(1)), counts[counts > 0])
    return sizes


def evidence(rated: Rated, ratings: Ratings) -> NDArray[np.float32] | None:
    """Return how much each rating counts as a choice of its movie, [N]; None: all alike.

    Models learn to predict that choice. A user who rates a movie has chosen it, whatever the
    stars; an event with a weight below 0, such as a return, is no choice.

    Args:
        rated: result of `explanations.strengths`.
        ratings: the ratings of which it was made.
    """
    return None if ratings.strength is None else np.maximum(rated.weights, 0)


def recency_weights(history: Histories, *, exponent: float) -> NDArray[np.float32]:
    """Return the weight of each rating, [N]: 1 for a user's newest.

    Args:
        history: rating histories, newest first.
        exponent: recency exponent; the n-th newest, counted from 0, weighs
            (n / 5 + 1) ** -exponent.
    """
    counts = np.diff(history.offsets)
    places = np.arange(counts.max(initial=0))
    of_place: NDArray[np.float32] = ((places / _HALF_WAY + 1) ** -exponent).astype(np.float32)
    place = np.arange(len(history.movie_index))
    place -= np.repeat(history.offsets[:-1], counts)
    return of_place[place]


def as_matrix(
    history: Histories, weights: NDArray[np.float32] | None, *, movie_count: int
) -> sp.csr_matrix:
    """Return the histories as a sparse [U, I] matrix of weights, or of ones.

    The matrix shares the arrays of `history`; sorting its entries would corrupt the histories.
    """
    values = np.ones(len(history.movie_index), np.float32) if weights is None else weights
    shape = (len(history.offsets) - 1, movie_count)
    return sp.csr_matrix((values, history.movie_index, history.offsets), shape)
