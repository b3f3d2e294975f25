"""The nightly run: the order of its stages, from input files to the live generation.

`run` is the whole run, `publishing` its last part, which `batch republish` uses alone. All work is
done in the rooms below.
"""

__all__ = ["publishing", "run"]
