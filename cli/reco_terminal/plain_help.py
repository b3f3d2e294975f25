"""Help of both commands: plain text, in sections, no wider than the terminal.

typer groups options under their ``rich_help_panel`` only where rich draws boxes, which a log or a
mail does not show well; and its plain help is never narrower than 50 columns. Works on what typer
hands over, and needs no typer itself.
"""

# ruff: noqa: ANN401 - typer has no public types for what passes through here

from __future__ import annotations

import shutil
from typing import Any, Final

__all__ = ["fit", "write_sections"]

_USUAL_NAMES: Final = 30  # columns for the names of options, as typer has it


def fit(formatter: Any) -> None:
    """Make a formatter write no wider than the terminal is."""
    formatter.width = min(formatter.width, shutil.get_terminal_size().columns - 2)


def write_sections(params: list[Any], ctx: Any, formatter: Any) -> None:
    """Write a section for each panel, in the order in which these first appear.

    Args:
        params: of the command.
        ctx: typer's context.
        formatter: takes the text.
    """
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        record = param.get_help_record(ctx)
        if record is not None:
            usual = "Arguments" if param.param_type_name == "argument" else "Options"
            panel = getattr(param, "rich_help_panel", None) or usual
            sections.setdefault(panel, []).append(record)
    for panel, records in sections.items():
        with formatter.section(panel):
            formatter.write_dl(records, col_max=min(_USUAL_NAMES, int(formatter.width) // 3))
