"""Publishing: stage a generation, verify it, switch to it, keep or delete earlier ones."""

__all__ = [
    "capacity",
    "erasure",
    "generations",
    "memory_forecast",
    "outcome",
    "promotion",
    "publisher",
    "replicas",
    "staging",
]
