"""The outcome of a run, as people and machines see it: exit code, Prometheus file, failure hook.

`run_outcome` wraps a run; the other modules write one output each.
"""

__all__ = ["run_outcome"]
