"""Connections to a store: addresses, clients, server facts, Lua scripts, batched reads and writes.

`connect` makes a client from an address, or for the embedded store. `explain` turns errors of the
client library into errors of this package, with a next step.
"""

__all__ = [
    "addresses",
    "client",
    "connect",
    "explain",
    "home",
    "resp",
    "scripts",
    "servers",
    "transfer",
    "waiting",
]
