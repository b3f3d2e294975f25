"""Help of both commands: plain text, in sections, no wider than the terminal.

typer groups options by their ``rich_help_panel`` only if rich draws boxes, which do not suit a log
or a mail; and its plain help is never narrower than 50 columns. These functions take typer's
objects, and need no typer themselves.
"""

# ruff: noqa: ANN401 - typer has no public types for these objects

from __future__ import annotations

import shutil
from typing import Any, Final

__all__ = ["PlainHelp", "PlainOptions"]

_NAME_COLUMNS: Final = 30  # for the names of options, typer's own default


class PlainHelp:
    """Mix-in for typer's commands and groups: help no wider than the terminal."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, no wider than the terminal."""
        fit(formatter)
        super().format_help(ctx, formatter)  # type: ignore[misc]  # of typer's class


class PlainOptions(PlainHelp):
    """Mix-in for typer's commands: plain help, with one section for each panel of options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the command."""
        return usage_pieces(self.get_params(ctx))  # type: ignore[attr-defined]  # as above

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, section by section."""
        write_sections(self.get_params(ctx), ctx, formatter)  # type: ignore[attr-defined]


def fit(formatter: Any) -> None:
    """Limit a formatter to the width of the terminal."""
    formatter.width = min(formatter.width, (shutil.get_terminal_size().columns or 80) - 2)


def usage_pieces(params: list[Any]) -> list[str]:
    """Return the words of the usage line after the command: typer would add braces and dots.

    Args:
        params: parameters of the command.
    """
    arguments = [param for param in params if param.param_type_name == "argument"]
    return [
        "[OPTIONS]",
        *(_name(one) if one.required else f"[{_name(one)}]" for one in arguments),
    ]


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name)


def write_sections(params: list[Any], ctx: Any, formatter: Any) -> None:
    """Write a section for each panel, in the order of first appearance.

    Args:
        params: parameters of the command.
        ctx: typer's context.
        formatter: formatter to write to.
    """
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        record = param.get_help_record(ctx)
        if record is not None:
            default = "Options"
            if param.param_type_name == "argument":
                default, record = "Arguments", (_name(param), record[1])  # without its type
            panel = getattr(param, "rich_help_panel", None) or default
            sections.setdefault(panel, []).append(record)
    for panel, records in sections.items():
        with formatter.section(panel):
            formatter.write_dl(records, col_max=min(_NAME_COLUMNS, int(formatter.width) // 3))
