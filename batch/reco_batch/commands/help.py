"""The commands of `batch`, whose help is plain text in sections."""

# ruff: noqa: ANN401 - typer has no public types for what passes through here

from typing import Any

from typer.core import TyperCommand, TyperGroup

from reco_terminal.plain_help import fit, write_sections


class PlainCommand(TyperCommand):
    """A command."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        fit(formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, panel after panel."""
        write_sections(self.get_params(ctx), ctx, formatter)


class PlainGroup(TyperGroup):
    """A group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        fit(formatter)
        super().format_help(ctx, formatter)
