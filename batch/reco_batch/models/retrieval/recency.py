"""How much newer ratings of a history count, and the choice of it.

Recent ratings say more about what comes next, and nothing special about what else a user has seen
some time. Which of the two is asked depends on how the held-out ratings were chosen, so the
exponent is chosen on the validation part, by the closed-form half of the model, which needs no
training again for another exponent.

Shapes: U users, I movies, N ratings.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories, Ratings, histories
from reco_batch.metrics.ranking_metrics import per_user_metrics
from reco_batch.models.retrieval.cooccurrence import co_ratings, has_order
from reco_batch.models.retrieval.ease import fit_neighbours
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import HistoryParameters

#: A rating this many places from the newest counts 2 ** -exponent.
_HALF_WAY: Final = 5
_K: Final = 10


def recency_weights(history: Histories, *, exponent: float) -> NDArray[np.float32]:
    """Return the weight of each rating of the histories, [N]: 1 for a user's newest.

    Args:
        history: newest first.
        exponent: 0 weighs all alike; the n-th newest counts (n / 5 + 1) ** -exponent.
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

    It holds the histories' own arrays, which what sorts its entries would put out of order.
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
    parameters: HistoryParameters,
    seed: int,
) -> tuple[float, Mapping[str, float]]:
    """Return the exponent whose lists find most of the validation part, and what each found.

    Args:
        train: what the histories are made of.
        validation: what the lists should find.
        user_count: U.
        movie_count: I.
        parameters: with the exponents to choose from; the first one, if there is no validation
            part or no time.
        seed: of the closed form's factorisation.

    Returns:
        The exponent, and the validation ndcg@10 of each.
    """
    exponents: Sequence[float] = parameters.recency_choices
    if not len(validation) or not has_order(train) or len(exponents) == 1:
        return exponents[0], {}
    seen = histories(train, user_count=user_count)
    wanted = histories(validation, user_count=user_count)
    counts = co_ratings(train, movie_count=movie_count, window=parameters.neighbours.window)
    interactions = as_matrix(seen, None, movie_count=movie_count)
    neighbours = fit_neighbours(interactions, counts, parameters.neighbours, seed=seed)
    asked = _asked(wanted, most=parameters.recency_users, seed=seed)
    theirs = seen.rows(asked)
    found: dict[str, float] = {}
    for exponent in exponents:
        weights = recency_weights(theirs, exponent=exponent)
        users = as_matrix(theirs, weights, movie_count=movie_count) @ neighbours.into
        k = min(_K, movie_count)
        blocks = top_k_blocks(users, neighbours.out, theirs, k=k, threads=1)
        lists = np.concatenate([block.items for block in blocks])
        found[str(exponent)] = float(
            per_user_metrics(lists, wanted, asked, ks=(k,))[f"ndcg@{k}"].mean()
        )
    return max(exponents, key=lambda exponent: found[str(exponent)]), found


def _asked(wanted: Histories, *, most: int, seed: int) -> NDArray[np.int64]:
    """Return the users of the validation part, or as many of them as are looked at, ascending."""
    users = np.flatnonzero(np.diff(wanted.offsets))
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
