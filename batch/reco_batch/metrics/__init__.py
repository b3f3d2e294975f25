"""Ranking metrics as pure functions of arrays.

`ranking_metrics` has those on held-out ratings (NDCG, recall, MRR and others), `rank_overlap`
compares two ranked lists.
"""

__all__ = ["rank_overlap", "ranking_metrics"]
