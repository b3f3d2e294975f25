"""Nightly run: the order of its stages, from the input files to the live generation.

`run` is the complete run; `publishing` is its last part, which `batch republish` uses alone. The
work itself is in the rooms below.
"""

__all__ = ["publishing", "run"]
