"""Retrieval models: two-tower, and the hybrid of a history encoder and item-item weights.

A score is a dot product of two vectors and, for the hybrid, a sparse term. `choose` selects the
hyper-parameters that differ between catalogues, `cooccurrence` counts movies that are rated
together, `history_weights` weighs ratings by age and by stars.
"""

__all__ = ["cooccurrence", "history_weights", "hybrid_training", "two_tower"]
