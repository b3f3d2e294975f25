"""Training loops on TensorFlow, batches and checkpoints.

`tensorflow_runtime` is the only module of the project that imports TensorFlow.
"""

__all__ = ["checkpoints", "folded_batches", "fused_adam", "loop", "tensorflow_runtime"]
