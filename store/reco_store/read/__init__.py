"""Readers: one request reads one generation, in one round trip where possible.

Requests are generators without input or output; `Reader` and `AsyncReader` drive them, so the logic
exists once. `Reader.user` and the other list queries return an `Answer`, a frozen dataclass in
`answer_types`.
"""

__all__ = ["answer_types", "async_reader", "list_query", "reader"]
