"""Ranking metrics as pure functions of arrays.

`ranking_metrics` computes metrics on held-out ratings (NDCG, recall and others), `rank_overlap`
compares two ranked lists, `confidence_sequence` has intervals that are valid at every look. Labels,
directions and uses are in `reco_store.contract.metrics`.
"""

__all__ = ["confidence_sequence", "list_variety", "rank_overlap", "ranking_metrics"]
