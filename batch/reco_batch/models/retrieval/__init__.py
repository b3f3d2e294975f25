"""Models that retrieve items: two towers, a history encoder, EASE, co-occurrence, and the hybrid.

Each trains on the histories of users and ends as two matrices of vectors whose dot product is the
score. `recency` weighs ratings by age.
"""

__all__ = ["cooccurrence", "ease", "hybrid_training", "recency", "two_tower"]
