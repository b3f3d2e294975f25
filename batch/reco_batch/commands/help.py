"""Commands whose help is plain text in sections."""

# ruff: noqa: ANN401 - typer has no public types for what passes through here

from typing import Any

from typer.core import TyperCommand, TyperGroup

from reco_terminal.plain_help import fit, usage_pieces, write_sections


class PlainCommand(TyperCommand):
    """Command with plain help, one section for each panel of options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the command."""
        return usage_pieces(self.get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, no wider than the terminal."""
        fit(formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, section by section."""
        write_sections(self.get_params(ctx), ctx, formatter)


class PlainGroup(TyperGroup):
    """Group of commands with plain help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, no wider than the terminal."""
        fit(formatter)
        super().format_help(ctx, formatter)
