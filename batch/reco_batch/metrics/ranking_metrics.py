"""How good ranked lists are: one figure a user, from the very lists that are published.

Every held-out rating counts as relevant, whatever its stars; movies seen in training are not in
the lists. Recall divides by min(k, relevant), so that 1 can be reached.

Pure functions over arrays. Shapes: U users, K list length, I movies.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories

#: 1: more is better, -1: less is, 0: neither. By the metric's name without its "@k".
_DIRECTIONS: Final = {
    **dict.fromkeys(("recall", "ndcg", "map", "hit", "coverage", "distinct_lists"), 1),
    **dict.fromkeys(("rmse", "mae"), -1),
    **dict.fromkeys(("novelty", "popularity", "little_known"), 0),
}
#: The k that a night reports.
KS: Final = (10, 20, 100)
_RESAMPLES: Final = 1000


def direction(metric: str) -> int:
    """Return 1 if more of a metric is better, -1 if less is, 0 if neither.

    Args:
        metric: such as `ndcg@10` or `rmse`, or the notebook's `top_<k>_accuracy`.
    """
    return 1 if metric.endswith("_accuracy") else _DIRECTIONS.get(metric.partition("@")[0], 0)


def hits_of(
    lists: NDArray[np.int32], relevant: Histories, users: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which places of the lists hold a relevant movie, [U, K].

    Args:
        lists: [U, K] movie indices, best first; -1 is no movie.
        relevant: of all users, in any order.
        users: [U] the user of each list.
    """
    hits = np.zeros(lists.shape, np.bool_)
    for row, user in enumerate(users):
        hits[row] = np.isin(lists[row], relevant.of(int(user)))
    return hits


def per_user_metrics(
    lists: NDArray[np.int32],
    relevant: Histories,
    users: NDArray[np.int64],
    *,
    ks: Sequence[int] = KS,
) -> Mapping[str, NDArray[np.float64]]:
    """Return recall, ndcg, MAP and hit rate of each user at each k.

    Args:
        lists: [U, K] movie indices, best first, K at least the largest k.
        relevant: of all users.
        users: [U] the user of each list; each must have something relevant.
        ks: list lengths.

    Returns:
        `recall@k`, `ndcg@k`, `map@k`, `hit@k` -> [U].

    Source:
        Binary relevance as `ranx` has it, except that recall and MAP divide by min(k, relevant).
    """
    hits = hits_of(lists, relevant, users)
    count = np.diff(relevant.offsets)[users]
    discount: NDArray[np.float64] = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    places = np.arange(1, lists.shape[1] + 1)
    metrics: dict[str, Any] = {}
    for k in ks:
        top = hits[:, :k]
        most = np.minimum(count, k)
        ideal: NDArray[np.float64] = np.cumsum(discount[:k])[most - 1]  # [U]
        precision = np.cumsum(top, axis=1) / places[:k]
        metrics[f"recall@{k}"] = top.sum(axis=1) / most
        metrics[f"ndcg@{k}"] = (top @ discount[:k]) / ideal
        metrics[f"map@{k}"] = (precision * top).sum(axis=1) / most
        metrics[f"hit@{k}"] = top.any(axis=1).astype(np.float64)
    return metrics


def list_metrics(
    lists: NDArray[np.int32], rating_count: NDArray[np.int64], *, k: int = 10
) -> Mapping[str, float]:
    """Return what the lists are like, apart from being right.

    Args:
        lists: [U, K] movie indices, best first; -1 is no movie.
        rating_count: [I] ratings of each movie in training.
        k: how much of each list is looked at.

    Returns:
        `coverage`: share of the catalogue that stands in any list; `novelty`: mean bits, -log2 of
        the share of ratings that a shown movie has; `popularity`: mean percentile of a shown
        movie's rating count, 1 is the most rated; `distinct_lists`: share of lists no two alike.
    """
    top = lists[:, :k]
    shown = top[top >= 0]
    share = (rating_count + 1) / (rating_count.sum() + len(rating_count))
    sorted_counts = np.sort(rating_count)
    percentile = np.searchsorted(sorted_counts, rating_count, side="right") / len(rating_count)
    return {
        f"coverage@{k}": len(np.unique(shown)) / len(rating_count),
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
    """Return the bootstrap interval of the mean over users.

    For the difference of two systems give the differences, user by user.

    Args:
        values: [U].
        counts: [U] if a user's value is a sum over so many ratings, and the mean one over all of
            them; users are drawn with all their ratings.
        seed: of the resampling.
        confidence: share of resamples inside.
    """
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(values), len(values)) for _ in range(_RESAMPLES))
    if counts is None:
        means = [values[draw].mean() for draw in draws]
    else:
        means = [values[draw].sum() / counts[draw].sum() for draw in draws]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
