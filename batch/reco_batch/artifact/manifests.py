"""Complete artifacts, and access to fields of their manifests.

Another version may have written a manifest: a field that is missing or has another type is None or
empty.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from reco_batch.artifact.check import REFUSED
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable
from reco_store.contract.keys import is_generation_id
from reco_store.contract.manifest import check_manifest, trainer_of
from reco_store.errors import ContractMismatch

MANIFEST: Final = "manifest.json"
#: Field of a section without figures, such as `hindsight`: the reason.
NOT_MEASURED: Final = "not_measured"
#: Note of skipped checks of predicted stars.
NO_STARS: Final = "the input has no ratings, so there are none"


class Manifests(NamedTuple):
    """Manifests of the staged and the live generation."""

    staged: Mapping[str, Any]
    live: Mapping[str, Any] | None
    """None without a live generation, or if its manifest is damaged."""


def number(manifest: Mapping[str, Any] | None, *path: str) -> float | None:
    """Return the number at a path of names; None if there is none."""
    value: Any = manifest
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def metrics_of(manifest: Mapping[str, Any] | None, group: str) -> dict[str, float]:
    """Return the metrics of a group, by name."""
    found = section(section(manifest, "metrics"), group)
    return {name: float(v) for name, v in found.items() if isinstance(v, int | float)}


def has_stars(manifest: Mapping[str, Any]) -> bool:
    """Return whether the input has ratings; True for earlier versions, which required them."""
    return manifest.get("rating_scale", ()) is not None


def split_of(manifest: Mapping[str, Any]) -> str:
    """Return the method by which ratings were held out, with the moment if one was given."""
    parameters = section(manifest, "parameters")
    date = parameters.get("split_date")
    return f"{parameters.get('split')}{f' after {date}' if date else ''}"


def origin_of(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the fields that identify an input."""
    data = section(manifest, "data")
    return tuple(data.get(name) for name in ("name", "from", "sha256", "ratings", "newest_rating"))


def trained_by(manifest: Mapping[str, Any]) -> str:
    """Return the generation of the run that trained the models: its own, unless it is a refresh."""
    return trainer_of(manifest) or str(manifest.get("generation"))


def section(manifest: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """Return an object in a manifest; empty if it is missing."""
    value = (manifest or {}).get(name)
    return value if isinstance(value, Mapping) else {}


def refused_checks(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the refused checks of a generation that the gate refused.

    Empty for any other generation, also for a forced one, whose checks the operator overruled.
    """
    report = section(manifest, "gate")
    if report.get("verdict") != REFUSED:
        return {}
    return {
        name: check
        for name, check in section(report, "checks").items()
        if isinstance(check, Mapping) and check.get("verdict") == REFUSED
    }


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of an artifact; None if it is missing, damaged or of another schema."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        check_manifest(manifest, folder.name)
    except (OSError, ValueError, AttributeError, ContractMismatch):  # no JSON, no object, ...
        return None
    return manifest


def manifests_of(artifacts: Path, namespace: str | None) -> list[tuple[Path, dict[str, Any]]]:
    """Return folder and manifest of the complete artifacts of a namespace, oldest first.

    Artifacts that are damaged, or of a later version, are left out.

    Raises:
        NightFailed: the folder of all artifacts cannot be read.
    """
    return [one for one in every_manifest(artifacts) if namespace_of(one[1]) == namespace]


def every_manifest(artifacts: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return folder and manifest of the complete artifacts of all namespaces, oldest first.

    Artifacts that are damaged, or of a later version, are left out.

    Raises:
        NightFailed: the folder of all artifacts cannot be read.
    """
    folders = [artifacts / generation for generation in complete_generations(artifacts)]
    found = [(folder, read_manifest(folder)) for folder in folders]
    return [(folder, one) for folder, one in found if one]


def namespace_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the namespace that a generation is published to; None if the manifest lacks it."""
    namespace = section(manifest, "parameters").get("namespace")
    return namespace if isinstance(namespace, str) else None


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
        PermissionError: the account may not search the folder.
    """
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
