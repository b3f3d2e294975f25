"""Nightly run: the order of its stages, from the input files to the live generation.

`run` is the complete run and `stage_order` lists its stages; `refresh` makes a generation with the
models of the live one. `publish_stage` is the last part of both, which `batch republish` uses
alone. `forget` erases users from everything that runs left. The work itself is in the rooms below.
"""

__all__ = ["forget", "publish_stage", "refresh", "run"]
