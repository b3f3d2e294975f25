"""Models: two-tower retrieval, its companions and rating models, with their training.

`registry` maps hyper-parameters to trainings; `trainable` contains the protocols. Trained models
are arrays, from which `scoring` computes lists.
"""

__all__ = ["registry", "trainable"]
