"""Vectors become lists: exact top-k, ranking by predicted rating, popularity, explanations.

Everything is a pure function of arrays, shard by shard, so threads or a Ray cluster (`engine`)
compute the same bytes.
"""

__all__ = [
    "catalogue",
    "engine",
    "explanations",
    "factor_model",
    "popularity",
    "ranking",
    "rating_weights",
    "topk",
    "uncertainty",
]
