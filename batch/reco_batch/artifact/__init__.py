"""The folder of a run on disk: lists, models, figures and manifest.

`writer` fills it while a run computes, `folder` reads it back, and publishing takes everything
from there. A folder without a manifest is unfinished, and a later run may resume it.
"""

__all__ = [
    "checks",
    "folder",
    "manifests",
    "pruning",
    "quarantine",
    "saved_models",
    "unfinished",
    "writer",
]
