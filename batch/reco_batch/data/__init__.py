"""Ratings and items as arrays: the dataset, its split, item features and its fingerprint.

Nothing here reads a file of the user or trains anything. `columns` names the columns of all tables.
"""

__all__ = ["columns", "dataset", "fingerprint", "item_features", "ordering", "split"]
