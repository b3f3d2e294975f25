"""What the gate reads in the manifests of two nights.

Another version may have written them: what is not there, or is something else, is None or empty.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

#: Why a check of stars is skipped.
NO_STARS: Final = "the input has no ratings, so there are none"


class Nights(NamedTuple):
    """Both manifests; no live one on the first night."""

    tonight: Mapping[str, Any]
    live: Mapping[str, Any] | None


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
