"""Hyperparameter search on validation ratings (`batch tune`), and the file of its result."""

__all__ = ["parameter_file", "suggest", "tune"]
