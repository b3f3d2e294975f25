"""Progress of a run on standard error: live bars, plain lines, or JSON records.

Stages take a `Reporter`; `choose` picks the one that fits the terminal or the log format.
"""

__all__ = ["choose", "json_log", "reporter", "terminal"]
