"""Commands whose help is plain text in sections."""

from typer.core import TyperCommand, TyperGroup

from reco_terminal.plain_help import PlainHelp, PlainOptions


class PlainCommand(PlainOptions, TyperCommand):
    """Command with plain help, one section for each panel of options."""


class PlainGroup(PlainHelp, TyperGroup):
    """Group of commands with plain help."""
