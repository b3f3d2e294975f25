"""Progress of a run on standard error: live bars, plain lines, or JSON records.

Stages take a `Reporter`; `choose` returns the one that suits the terminal or the log format.
"""

__all__ = ["choose", "json_log", "reporter", "terminal"]
