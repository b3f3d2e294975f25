"""Synthetic ratings and movies of any size, for sizing and benchmarks (`batch simulate`)."""

__all__ = ["files", "simulation"]
