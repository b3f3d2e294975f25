"""Ranking metrics of one list, computed by scikit-learn and by counting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.metrics import average_precision_score, ndcg_score

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def judge(shown: Sequence[int], relevant: Collection[int], *, k: int) -> dict[str, float]:
    """Return recall, NDCG, MAP and hit rate at k, with recall and MAP divided by min(k, relevant).

    Args:
        shown: movie indices, best first; -1 is no movie.
        relevant: movie indices, at least one.
        k: list length.
    """
    hits = [movie in relevant for movie in shown if movie >= 0][:k]
    found, most = sum(hits), min(len(relevant), k)
    # Irrelevant items fill the places of a short list; relevant ones that it lacks rank below them.
    truth = [*hits, *[False] * (k + 1 - len(hits)), *[True] * (len(relevant) - found)]
    order = range(len(truth), 0, -1)
    precision = average_precision_score(hits, order[: len(hits)]) if found else 0.0
    return {
        f"recall@{k}": found / most,
        f"ndcg@{k}": float(ndcg_score([truth], [order], k=k, ignore_ties=True)),
        f"map@{k}": float(precision) * found / most,
        f"hit@{k}": float(found > 0),
    }
