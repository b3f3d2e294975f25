"""Ratings and items as arrays: the dataset, its split, item features and its fingerprint.

This room reads no input files and trains no models. `columns` has the names of all columns.
"""

__all__ = [
    "columns",
    "dataset",
    "fingerprint",
    "history_digests",
    "item_features",
    "ordering",
    "split",
    "words",
]
