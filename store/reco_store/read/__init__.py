"""Readers: one request reads one generation, in one round trip where possible.

Requests are generators without input or output; `Reader` and `AsyncReader` drive them, so the logic
exists once.
"""

__all__ = ["answers", "async_reader", "list_query", "reader"]
