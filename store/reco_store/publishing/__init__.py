"""Publishing: stage a generation, verify it, switch to it, keep or collect the earlier ones."""

__all__ = ["capacity", "generations", "memory_forecast", "outcome", "publisher", "staging"]
