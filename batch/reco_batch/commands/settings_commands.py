"""The commands `batch init` and `batch config`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from reco_batch.commands.help import PlainCommand
from reco_batch.commands.setting_options import takes
from reco_batch.progress.terminal import table
from reco_batch.settings.precedence import FILE, SETTINGS, ResolvedSettings, dotted, masked
from reco_batch.settings.setting_metadata import Panel, default_words
from reco_batch.settings.target import Target
from reco_batch.settings.toml_template import toml_text, write_template
from reco_terminal.console import guard, printable

#: Origin of a value that nothing sets.
DEFAULT: Final = "default"

settings_commands = typer.Typer()


@settings_commands.command(cls=PlainCommand)
def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write; - for standard output.")
    ] = Path(FILE),
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file. [default: no]")
    ] = False,
) -> None:
    """Write a reco.toml with every setting commented out."""
    with guard():
        typer.echo(write_template(file, replace=force), nl=False)


@settings_commands.command(cls=PlainCommand)
@takes(*Panel)
def config(
    resolved: ResolvedSettings,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object. [default: no]")
    ] = False,
) -> None:
    """Show every setting with its value and origin.

    With options of another command, shows the settings that the command would use. Secrets are
    masked. In a pipe, a line contains name, value and origin, separated by tabs.
    """
    rows = list(_rows(resolved))
    if as_json:
        settings = {name: {"value": value, "from": origin} for name, value, origin in rows}
        file = None if resolved.file is None else str(resolved.file)
        page = {"schema": 1, "command": "config", "file": file, "settings": settings}
        typer.echo(json.dumps(page))
        return
    cells = [(name, _text(name, value, origin), printable(origin)) for name, value, origin in rows]
    if sys.stdout.isatty():
        typer.echo(table(("setting", "value", "from"), cells))
    else:
        typer.echo("\n".join("\t".join(row) for row in cells))


def _rows(resolved: ResolvedSettings) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and origin of every setting, values as JSON has them."""
    home = str(Target.from_settings(resolved.settings).home)
    values = dotted(json.loads(resolved.settings.model_dump_json()) | {"home": home})
    for name in SETTINGS:
        origin = resolved.origins.get(name)
        place = DEFAULT if origin is None else origin.place
        yield name, masked(name, values[name]), place


def _text(name: str, value: Any, origin: str) -> str:  # noqa: ANN401  # of any setting
    if value is None and origin != DEFAULT:
        return "all" if name.startswith("ranked_") else "none"
    if value is None or value == []:
        return default_words(SETTINGS[name])
    return printable(value if isinstance(value, str) else toml_text(value))
