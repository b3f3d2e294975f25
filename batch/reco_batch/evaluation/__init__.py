"""Measurements of models and of lists: on held-out ratings, and between two generations.

`evaluate` scores models on validation and test ratings. The other modules read the lists of
artifacts: coverage, diversity, churn, and the differences between two of them.
"""

__all__ = ["evaluate", "generation_diff", "list_diff", "list_statistics", "top10_diversity"]
