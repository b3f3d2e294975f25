"""JSON Schemas of the key contract, to validate published values."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[2] / "docs" / "schema" / "v1"


@cache
def validator(name: str) -> Draft202012Validator:
    """Return the validator of one schema file."""
    return Draft202012Validator(json.loads((FOLDER / name).read_text("utf-8")))


@cache
def _families() -> dict[str, str]:
    return json.loads((FOLDER / "keys.json").read_text("utf-8"))


def validate(suffix: str, value: bytes) -> None:
    """Validate a published value.

    Raises:
        jsonschema.ValidationError: the value does not match the schema of its key.
    """
    (name,) = [name for prefix, name in _families().items() if suffix.startswith(prefix)]
    fields = json.loads(value)
    validator(name).validate(fields)
    if "s" in fields:
        assert len(fields["i"]) == len(fields["s"])  # JSON Schema cannot express this
