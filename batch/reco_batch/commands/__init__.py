"""The `batch` command: parses options, calls a room below, and prints the result.

`app` lists the commands. Modules that load TensorFlow or pandas are imported inside the functions
that need them, so that `batch --help` stays fast.
"""

__all__ = ["app"]
