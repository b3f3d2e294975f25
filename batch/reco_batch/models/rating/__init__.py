"""Rating models: a multilayer perceptron, and an ensemble of ridge regression and SVD++."""

__all__ = ["ensemble", "mlp", "stored_rating"]
