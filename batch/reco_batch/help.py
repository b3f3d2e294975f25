"""Help in plain text, in sections, and no wider than the terminal.

typer groups options under their `rich_help_panel` only where rich draws boxes, which a log or a
mail does not show well; and its plain help is never narrower than 50 columns.
"""

# ruff: noqa: ANN401 - typer has no public types for what passes through here

import shutil
from typing import Any

from typer.core import TyperCommand, TyperGroup

_USUAL_NAMES = 30  # columns for the names of options, as typer has it


def _fit(formatter: Any) -> None:
    formatter.width = min(formatter.width, shutil.get_terminal_size().columns - 2)


def _names_width(formatter: Any) -> int:
    return min(_USUAL_NAMES, max(1, int(formatter.width) // 3))


class PlainCommand(TyperCommand):
    """A command whose help has a section for each panel of its options."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _fit(formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections, in the order in which the panels first appear."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if param.param_type_name == "argument" else "Options"
                panel = getattr(param, "rich_help_panel", None) or usual
                sections.setdefault(panel, []).append(record)
        for panel, records in sections.items():
            with formatter.section(panel):
                formatter.write_dl(records, col_max=_names_width(formatter))


class PlainGroup(TyperGroup):
    """A group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _fit(formatter)
        super().format_help(ctx, formatter)
