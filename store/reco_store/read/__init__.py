"""Reading: one request, one generation, in one round trip where possible.

Requests are generators that read nothing themselves; `Reader` and `AsyncReader` drive them, so the
logic exists once.
"""

__all__ = ["answers", "async_reader", "list_query", "reader"]
