"""Measurements of models on held-out ratings, of the lists of artifacts, and of experiments.

`evaluate` computes the metrics of models, `baselines` the lists that they are compared with.
`hindsight` looks up later interactions in the lists that were served, `experiment_verdict`
compares what people did in the arms of an experiment. The other modules read the lists of
artifacts: their statistics and diversity, and the differences between two runs.
"""

__all__ = [
    "baselines",
    "evaluate",
    "experiment_verdict",
    "generation_diff",
    "hindsight",
    "list_diff",
    "list_statistics",
    "top10_diversity",
]
