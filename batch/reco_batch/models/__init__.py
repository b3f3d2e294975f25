"""Models: two-tower retrieval with its companions, rating models, and their training.

`registry` returns the trainer of each preset; `budgets` bounds the training work by the size of the
data. Trained models are arrays, which `scoring` turns into lists.
"""

__all__ = ["budgets", "registry"]
