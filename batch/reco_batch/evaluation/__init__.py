"""Measurements of models on held-out ratings, and of the lists of artifacts.

`evaluate` computes the metrics of models, `baselines` the lists that they are compared with. The
other modules read the lists of artifacts: their statistics and diversity, and the differences
between two runs.
"""

__all__ = [
    "baselines",
    "evaluate",
    "experiment_verdict",
    "generation_diff",
    "list_diff",
    "list_statistics",
    "top10_diversity",
]
