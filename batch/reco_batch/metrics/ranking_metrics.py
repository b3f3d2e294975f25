"""Ranking metrics of each user, computed from the lists that are published.

Every held-out rating counts as relevant, however many stars it has. Lists contain no movies from
training. Recall and MAP divide by min(k, relevant), so that 1 can be reached. Labels, directions
and meanings are in `reco_store.contract.metrics`.

Pure functions over arrays. Shapes: U users, K list length, I movies.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories
from reco_batch.metrics.list_variety import gini

#: Cutoffs of a run's metrics.
KS: Final = (10, 20, 100)
_RESAMPLES: Final = 1000


def hits_of(
    lists: NDArray[np.int32], relevant: Histories, users: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which positions of the lists hold a relevant movie, [U, K].

    Args:
        lists: [U, K] movie indices, best first; -1 is no movie.
        relevant: movies of all users, in any order.
        users: [U] user of each list.
    """
    wanted = relevant.rows(users)
    width = max(int(lists.max(initial=0)), int(wanted.movie_index.max(initial=0))) + 1
    row = np.repeat(np.arange(len(users)), np.diff(wanted.offsets))
    # A pair is one number; an empty position, -1, is the number of no pair.
    pairs = np.arange(len(users))[:, np.newaxis] * width + lists
    hits: NDArray[np.bool_] = np.isin(pairs, row * width + wanted.movie_index) & (lists >= 0)
    return hits


def per_user_metrics(
    lists: NDArray[np.int32],
    relevant: Histories,
    users: NDArray[np.int64],
    *,
    ks: Sequence[int] = KS,
) -> Mapping[str, NDArray[np.float64]]:
    """Return recall, NDCG, MAP and hit rate of each user at each cutoff.

    Args:
        lists: [U, K] movie indices, best first; K is at least the largest cutoff.
        relevant: movies of all users.
        users: [U] user of each list; each must have a relevant movie.
        ks: cutoffs.

    Returns:
        `recall@k`, `ndcg@k`, `map@k`, `hit@k` -> [U].

    Source:
        Binary relevance as in `ranx`, except that recall and MAP divide by min(k, relevant).
    """
    hits = hits_of(lists, relevant, users)
    count = np.diff(relevant.offsets)[users]
    discount: NDArray[np.float64] = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    positions = np.arange(1, lists.shape[1] + 1)
    metrics: dict[str, Any] = {}
    for k in ks:
        top = hits[:, :k]
        most = np.minimum(count, k)
        ideal: NDArray[np.float64] = np.cumsum(discount[:k])[most - 1]  # [U]
        precision = np.cumsum(top, axis=1) / positions[:k]
        metrics[f"recall@{k}"] = top.sum(axis=1) / most
        metrics[f"ndcg@{k}"] = (top @ discount[:k]) / ideal
        metrics[f"map@{k}"] = (precision * top).sum(axis=1) / most
        metrics[f"hit@{k}"] = top.any(axis=1).astype(np.float64)
    return metrics


def list_metrics(
    lists: NDArray[np.int32], rating_count: NDArray[np.int64], *, k: int = 10
) -> Mapping[str, float]:
    """Return metrics of the lists that need no held-out ratings.

    Args:
        lists: [U, K] movie indices, best first; -1 is no movie.
        rating_count: [I] ratings of each movie in training.
        k: cutoff.

    Returns:
        `coverage`: share of the catalogue that is in any list; `novelty`: mean bits, -log2 of the
        share of ratings that a listed movie has; `popularity`: mean percentile of a listed movie's
        rating count, 1 for the most rated movie; `distinct_lists`: share of lists that differ;
        `gini`: index of how often each movie of the catalogue is in a list.
    """
    top = lists[:, :k]
    shown = top[top >= 0]
    share = (rating_count + 1) / (rating_count.sum() + len(rating_count))
    sorted_counts = np.sort(rating_count)
    percentile = np.searchsorted(sorted_counts, rating_count, side="right") / len(rating_count)
    return {
        f"coverage@{k}": len(np.unique(shown)) / len(rating_count),
        f"gini@{k}": gini(np.bincount(shown, minlength=len(rating_count))),
        f"novelty@{k}": float(-np.log2(share[shown]).mean()),
        f"popularity@{k}": float(percentile[shown].mean()),
        f"distinct_lists@{k}": len(np.unique(top, axis=0)) / len(top),
    }


def interval(
    values: NDArray[np.float64],
    counts: NDArray[np.int64] | None = None,
    *,
    seed: int,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the bootstrap interval of a mean over users.

    For the difference between two systems pass the differences, user by user.

    Args:
        values: [U].
        counts: [U] ratings behind each value, if a value is a sum over a user's ratings and the
            mean is one over all ratings; users are drawn with all their ratings.
        seed: of the resampling.
        confidence: share of the resamples inside the interval.
    """
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(values), len(values)) for _ in range(_RESAMPLES))
    if counts is None:
        means = [values[draw].mean() for draw in draws]
    else:
        means = [values[draw].sum() / counts[draw].sum() for draw in draws]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a mean over users; 0 without any.

    For the difference between two systems pass the differences, user by user.

    Args:
        values: [U].
    """
    return float(values.std() / np.sqrt(len(values))) if len(values) else 0.0
