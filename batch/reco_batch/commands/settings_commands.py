"""The commands of `batch` that write and show settings. See `app`."""

from pathlib import Path
from typing import Annotated

import typer

from reco_batch.commands.help import PlainCommand
from reco_batch.commands.setting_options import takes
from reco_batch.settings.option import Panel
from reco_batch.settings.precedence import FILE, Told
from reco_terminal.console import guard

settings_commands = typer.Typer()


@settings_commands.command(cls=PlainCommand)
def init(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="The file to write; - for standard output.")
    ] = Path(FILE),
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there. [default: no]")
    ] = False,
) -> None:
    """Write a file of settings: every key, in a comment, with its default and what it may be."""
    with guard():
        from reco_batch.settings.toml_template import write_template  # noqa: PLC0415

        typer.echo(write_template(file, replace=force), nl=False)


@settings_commands.command(cls=PlainCommand)
@takes(*Panel)
def config(
    told: Told,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object. [default: no]")
    ] = False,
) -> None:
    """Show every setting as it holds here, and where it comes from; secrets are masked.

    With the options of another command it shows what that command would go by. In a pipe a line is
    key, value and origin, separated by tabs.
    """
    from reco_batch.commands.settings_page import json_text, page  # noqa: PLC0415

    typer.echo(json_text(told) if as_json else page(told))
