"""Training loops on TensorFlow, checkpoints, and training budgets.

`tensorflow_runtime` is the only module of the project that imports TensorFlow.
"""

__all__ = ["checkpoints", "folded_batches", "loop", "plans", "tensorflow_runtime"]
