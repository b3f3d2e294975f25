"""Weights of ratings by recency, and the choice of the recency exponent.

Recent ratings predict the next rating better, but not a rating from any time. The kind of split
decides which of the two is measured, so the exponent is chosen on the validation part. The choice
uses EASE alone, which needs no new training for another exponent.

Shapes: U users, I movies, N ratings.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories, Ratings, histories
from reco_batch.metrics.ranking_metrics import per_user_metrics
from reco_batch.models.retrieval.cooccurrence import cooccurrence_counts, has_order
from reco_batch.models.retrieval.ease import fit_ease
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import HybridParameters

#: Places from the newest at which a rating counts 2 ** -exponent.
_HALF_WAY: Final = 5
#: Length of the lists that the choice measures.
_K: Final = 10


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


def choose_recency(
    train: Ratings,
    validation: Ratings,
    *,
    user_count: int,
    movie_count: int,
    parameters: HybridParameters,
    seed: int,
) -> tuple[float, Mapping[str, float]]:
    """Return the recency exponent with the best lists on the validation part.

    Args:
        train: ratings of the histories.
        validation: held-out ratings to predict.
        user_count: U.
        movie_count: I.
        parameters: hyper-parameters with the exponents to choose from; without a validation part or
            without order, the first is chosen.
        seed: random seed of EASE and of the sample of users.

    Returns:
        Exponent, and the validation NDCG@10 of each exponent that was tried.
    """
    exponents: Sequence[float] = parameters.recency_choices
    if not len(validation) or not has_order(train) or len(exponents) == 1:
        return exponents[0], {}
    seen = histories(train, user_count=user_count)
    wanted = histories(validation, user_count=user_count)
    counts = cooccurrence_counts(
        train, movie_count=movie_count, window=parameters.neighbours.window
    )
    interactions = as_matrix(seen, None, movie_count=movie_count)
    ease = fit_ease(interactions, counts, parameters.neighbours, seed=seed)
    users = _sampled_users(wanted, most=parameters.recency_users, seed=seed)
    theirs = seen.rows(users)
    found: dict[str, float] = {}
    for exponent in exponents:
        weights = recency_weights(theirs, exponent=exponent)
        vectors = as_matrix(theirs, weights, movie_count=movie_count) @ ease.into
        k = min(_K, movie_count)
        blocks = top_k_blocks(vectors, ease.out, theirs, k=k, threads=1)
        lists = np.concatenate([block.items for block in blocks])
        found[str(exponent)] = float(
            per_user_metrics(lists, wanted, users, ks=(k,))[f"ndcg@{k}"].mean()
        )
    return max(exponents, key=lambda exponent: found[str(exponent)]), found


def _sampled_users(wanted: Histories, *, most: int, seed: int) -> NDArray[np.int64]:
    """Return users with held-out ratings, at most `most` of them, ascending."""
    users = np.flatnonzero(np.diff(wanted.offsets))
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
