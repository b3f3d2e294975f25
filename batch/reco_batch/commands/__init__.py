"""The `batch` command: options are parsed, a room below does the work, the result is printed.

`app` lists the commands. Modules that load TensorFlow or pandas are imported inside the functions
that need them, so that `batch --help` stays fast.
"""

__all__ = ["app"]
