"""Manifest of a generation: parsing, checking and writing.

    schema        1
    generation    name of the generation
    created       time at which its data was computed, ISO 8601, UTC
    ids           "integer" or "string": JSON type of movie ids in values
    counts        {family: number of keys}
    entries, bytes   number of data keys, total size of their values in bytes
    digest        "sha256:<hex>", see digest.Digest
    suffix_sizes, value_sizes   histograms, see digest.Summary; optional
    metrics, parameters, data   any JSON
    gate          verdict of the quality gate; null until the gate has run
    rating_scale  [lowest, highest]; null if the input has no ratings, hence no ranked lists
    genres        [name, ...] as spelt in cards and keys; optional
    stand_in      kind of popular list that replaces missing and short lists first; optional
    words         words for items and interactions, see words.Words; optional
    refresh       of a refresh: the run that trained its models (trained_by), and more; optional

Unknown fields are kept and ignored. Pure functions.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from reco_store.errors import ContractMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SCHEMA",
    "check_manifest",
    "created_seconds",
    "dump_manifest",
    "load_manifest",
    "trainer_of",
]

SCHEMA: Final = 1
#: Field of a refresh, with ``of``, the generation before it, and ``trained_by``.
REFRESH: Final = "refresh"
_REQUIRED: Final = ("schema", "generation", "created", "ids", "entries", "bytes", "digest")


def check_manifest(manifest: Mapping[str, Any], generation: str) -> None:
    """Refuse a manifest that this version cannot use.

    Raises:
        ContractMismatch: schema or generation is another, or a required field is missing.
    """
    schema = manifest.get("schema")
    if schema != SCHEMA:
        raise ContractMismatch(
            f"key schema {schema} in generation {generation}",
            f"schema {SCHEMA}",
            f"Upgrade the {'reader' if _is_newer(schema) else 'batch job'}, then publish again.",
        )
    missing = [name for name in _REQUIRED if name not in manifest]
    if missing:
        raise ContractMismatch(
            f"a manifest without {', '.join(missing)}",
            f"all of {', '.join(_REQUIRED)}",
            f"Publish again with `batch republish {generation}`.",
        )
    if manifest["generation"] != generation:
        raise ContractMismatch(
            f"the manifest of {manifest['generation']}",
            f"the manifest of {generation}",
            f"Publish again with `batch republish {generation}`.",
        )


def load_manifest(value: bytes | str, generation: str) -> dict[str, Any]:
    """Parse and check a manifest.

    Raises:
        ContractMismatch: it is damaged, or this version cannot use it.
    """
    manifest = _parse(value)
    if manifest is None:
        raise ContractMismatch(
            f"the manifest {value[:40]!r}",
            "a JSON object",
            f"Publish again with `batch republish {generation}`.",
        )
    check_manifest(manifest, generation)
    return manifest


def load_if_whole(value: bytes | str, generation: str) -> dict[str, Any] | None:
    """Parse a manifest; None if it is damaged, so a damaged one can be replaced.

    Raises:
        ContractMismatch: it has a newer schema than this version supports.
    """
    try:
        return load_manifest(value, generation)
    except ContractMismatch:
        if _is_newer((_parse(value) or {}).get("schema")):
            raise
        return None


def _parse(value: bytes | str) -> dict[str, Any] | None:
    try:
        manifest = json.loads(value)
    except ValueError:
        return None
    return manifest if isinstance(manifest, dict) else None


def _is_newer(schema: object) -> bool:
    return isinstance(schema, int) and schema > SCHEMA


def dump_manifest(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as compact JSON."""
    return json.dumps(dict(manifest), ensure_ascii=False, separators=(",", ":"))


def created_seconds(manifest: Mapping[str, Any]) -> float:
    """Return the time at which a generation was computed, in seconds since 1970.

    Raises:
        ContractMismatch: ``created`` is not a time.
    """
    try:
        created = datetime.fromisoformat(str(manifest["created"]))
    except ValueError as error:
        raise ContractMismatch(
            f"created {manifest['created']!r}", "an ISO 8601 time", "Publish again."
        ) from error
    return (created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp()


def trainer_of(manifest: Mapping[str, Any]) -> str:
    """Return the generation of the run that trained a refresh's models; empty for a run itself."""
    refresh = manifest.get(REFRESH)
    return str(refresh.get("trained_by", "")) if isinstance(refresh, dict) else ""
