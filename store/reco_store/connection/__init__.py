"""Connections to a store: addresses, clients, server facts, Lua scripts, batched reads and writes.

`connect` makes a client of an address or of the embedded store. Errors of the client library leave
as errors of this package, with a next step.
"""

__all__ = [
    "addresses",
    "client",
    "connect",
    "explain",
    "home",
    "scripts",
    "servers",
    "transfer",
    "waiting",
]
