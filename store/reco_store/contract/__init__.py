"""The key contract: names of keys, encodings of values, and the rules both sides share.

docs/keys.md describes it for other languages. Pure functions and values; nothing here connects.
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
    "titles",
]
