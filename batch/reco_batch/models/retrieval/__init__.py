"""Retrieval models: two-tower, history encoder, EASE, and the hybrid of the last two.

Each model ends as two matrices of vectors whose dot product is the score. `cooccurrence` counts
movies that are rated together, `recency` weighs ratings by age.
"""

__all__ = ["cooccurrence", "hybrid_training", "recency", "two_tower"]
