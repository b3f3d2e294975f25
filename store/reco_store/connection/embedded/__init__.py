"""Embedded store: a Valkey server that reco starts for itself, in its home folder.

`server` starts and stops it, `folder` holds its lock, `saving` writes its snapshots.
"""

__all__ = ["server"]
