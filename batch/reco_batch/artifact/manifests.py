"""Complete artifacts in a folder, and values of their manifests.

Manifests may be of another version: a missing value, or one of another type, is None or empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from reco_batch.artifact.checks import REFUSED
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable
from reco_store.contract.keys import is_generation_id

MANIFEST: Final = "manifest.json"
#: Why a check of stars is skipped.
NO_STARS: Final = "the input has no ratings, so there are none"


class Manifests(NamedTuple):
    """Manifests of the staged and the live generation."""

    staged: Mapping[str, Any]
    live: Mapping[str, Any] | None
    """None without a live generation, or if its manifest is damaged."""


def number(manifest: Mapping[str, Any] | None, *path: str) -> float | None:
    """Return a number by the names of the parts that it is in, and its own."""
    value: Any = manifest
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def metrics_of(manifest: Mapping[str, Any] | None, group: str) -> dict[str, float]:
    """Return the metrics of a group by name."""
    found = section(section(manifest, "metrics"), group)
    return {name: float(v) for name, v in found.items() if isinstance(v, int | float)}


def has_stars(manifest: Mapping[str, Any]) -> bool:
    """Tell whether people rated; of an older version's manifest that does not say, they did."""
    return manifest.get("rating_scale", ()) is not None


def split_of(manifest: Mapping[str, Any]) -> str:
    """Return how ratings were held back."""
    return str(section(manifest, "parameters").get("split"))


def origin_of(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells one input from another."""
    data = section(manifest, "data")
    return tuple(data.get(name) for name in ("name", "from", "sha256", "ratings", "newest_rating"))


def section(manifest: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """Return a part of a manifest."""
    value = (manifest or {}).get(name)
    return value if isinstance(value, Mapping) else {}


def refused_checks(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the refused checks of a generation that the gate refused; else none.

    A forced generation has none: a person has overruled its checks.
    """
    report = section(manifest, "gate")
    if report.get("verdict") != REFUSED:
        return {}
    return {
        name: check
        for name, check in section(report, "checks").items()
        if isinstance(check, Mapping) and check.get("verdict") == REFUSED
    }


def complete_generations(artifacts: Path) -> list[str]:
    """Return the generations whose folder is complete, oldest first.

    Raises:
        NightFailed: the folder of all artifacts, or one in it, cannot be read.
    """
    try:
        return sorted(
            folder.name
            for folder in artifacts.iterdir()
            if is_generation_id(folder.name) and _is_there(folder / MANIFEST)
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise NightFailed(unreadable(error, artifacts)) from error


def _is_there(file: Path) -> bool:
    """Return whether a file exists.

    Raises:
        PermissionError: the account may not search the folder, so the answer is not known.
    """
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
