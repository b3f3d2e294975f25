"""Outcome of a run for people and machines: exit code, Prometheus file, failure hook.

`run_outcome` wraps a run; the other modules write one output each.
"""

__all__ = ["run_outcome"]
