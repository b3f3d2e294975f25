"""Key contract: key names, value encodings and the rules that writers and readers share.

docs/keys.md describes the contract for other languages. Pure functions and values; no module here
connects to a store.
"""

__all__ = [
    "arguments",
    "codec",
    "digest",
    "experiment",
    "families",
    "hold",
    "keys",
    "manifest",
    "metrics",
    "titles",
    "words",
]
