"""Artifact of a run on disk: lists, models, metrics and manifest.

`writer` writes it while a run computes, `folder` reads it, and publishing needs nothing else. An
artifact without a manifest is unfinished, and a later run can resume it.
"""

__all__ = [
    "check",
    "erasure",
    "folder",
    "manifests",
    "pruning",
    "quarantine",
    "saved_models",
    "stored_models",
    "unfinished",
    "writer",
]
