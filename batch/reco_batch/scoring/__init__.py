"""Scoring: vectors become ranked lists, by exact top-k, predicted rating and popularity.

Everything is a pure function of arrays, shard by shard, so threads and a Ray cluster (`engine`)
compute the same bytes.
"""

__all__ = [
    "catalogue",
    "embeddings",
    "engine",
    "explanations",
    "factor_model",
    "popularity",
    "ranked_lists",
    "rating_weights",
    "sparse_term",
    "topk",
    "uncertainty",
]
