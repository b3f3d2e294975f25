"""Ranking metrics as pure functions of arrays.

`ranking_metrics` computes metrics on held-out ratings (NDCG, recall and others), `rank_overlap`
compares two ranked lists. Labels, directions and uses are in `reco_store.contract.metrics`.
"""

__all__ = ["list_variety", "rank_overlap", "ranking_metrics"]
