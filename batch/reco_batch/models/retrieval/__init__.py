"""Retrieval models: the two-tower model of the preset `notebook`, and the hybrid of `default`.

The hybrid joins a history encoder (`history_encoder`) with sparse item-item weights (`neighbours`,
`slim`); `choose` selects on the validation part what differs between catalogues. `cooccurrence`
counts movies that are rated together, `history_weights` weighs the ratings of a history.
A trained hybrid (`hybrid`, `encoder_weights`) is arrays and needs no TensorFlow.
"""

__all__ = [
    "cooccurrence",
    "encoder_weights",
    "history_weights",
    "hybrid",
    "hybrid_training",
    "stored_hybrid",
    "two_tower",
]
