"""The settings as they hold: a table on a terminal, lines in a pipe, or one JSON object."""

import json
import math
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from reco_batch.progress.terminal import table
from reco_batch.settings.option import default_words, valued
from reco_batch.settings.precedence import SETTINGS, Told, masked
from reco_batch.settings.target import Target
from reco_batch.settings.toml_template import toml_text
from reco_terminal.console import printable

DEFAULT = "default"


class Row(NamedTuple):
    """One setting."""

    name: str
    value: Any
    origin: str


def rows(told: Told) -> Iterator[Row]:
    """Yield every setting with its value, secrets masked, and its origin."""
    values = valued(told.settings)
    values["home"] = Target.told(told.settings).home
    for name in SETTINGS:
        said = told.said.get(name)
        origin = DEFAULT if said is None else said.place
        yield Row(name, _plain(masked(name, values[name])), origin)


def page(told: Told) -> str:
    """Show all settings, in columns on a terminal, tab-separated in a pipe."""
    cells = [(row.name, _text(row), printable(row.origin)) for row in rows(told)]
    if not sys.stdout.isatty():
        return "\n".join("\t".join(row) for row in cells)
    return table(("setting", "value", "from"), cells)


def json_text(told: Told) -> str:
    """Return the settings as one JSON object."""
    settings = {row.name: {"value": row.value, "from": row.origin} for row in rows(told)}
    file = None if told.file is None else str(told.file)
    return json.dumps({"schema": 1, "command": "config", "file": file, "settings": settings})


def _plain(value: Any) -> Any:  # noqa: ANN401  # whatever a setting may be
    if isinstance(value, Enum | Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return None if value == math.inf else value


def _text(row: Row) -> str:
    if row.value is None or row.value == []:
        return default_words(SETTINGS[row.name])
    return printable(row.value if isinstance(row.value, str) else toml_text(row.value))
