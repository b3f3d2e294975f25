"""The JSON Schemas of the contract, by which tests judge what is published."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[2] / "docs" / "schema" / "v1"


@cache
def validator(name: str) -> Draft202012Validator:
    """Return what validates by one file."""
    return Draft202012Validator(json.loads((FOLDER / name).read_text("utf-8")))


@cache
def _families() -> dict[str, str]:
    return json.loads((FOLDER / "keys.json").read_text("utf-8"))


def validate(suffix: str, value: bytes) -> None:
    """Check a published value.

    Raises:
        jsonschema.ValidationError: it is not what its key should hold.
    """
    (name,) = [name for prefix, name in _families().items() if suffix.startswith(prefix)]
    fields = json.loads(value)
    validator(name).validate(fields)
    if "s" in fields:
        assert len(fields["i"]) == len(fields["s"])  # no schema can say this
