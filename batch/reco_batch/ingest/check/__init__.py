"""Check of the input without a run: all problems at once, and the settings that would fit.

`judge` reads and checks both tables, and `suggest` recognises columns under other names.
"""

__all__ = ["judge"]
