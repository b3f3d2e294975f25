"""Simulation: synthetic ratings and movies of any size, for sizing and benchmarks."""

__all__ = ["files", "simulation"]
