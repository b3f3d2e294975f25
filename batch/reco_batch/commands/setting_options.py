"""Command-line options that are made from settings."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic.fields import FieldInfo

from reco_batch.errors import NightFailed
from reco_batch.files import unreadable
from reco_batch.settings import setting_metadata
from reco_batch.settings.precedence import FILE, FILE_VARIABLE, SETTINGS, read_settings, variable
from reco_batch.settings.setting_metadata import Panel
from reco_terminal.console import guard

_CONFIG: Final = typer.Option(
    metavar="FILE",
    help="TOML file with settings; `batch init` writes one. "
    f"[default: ./{FILE}, if it exists; env var: {FILE_VARIABLE}]",
)
_THRESHOLDS: Final = typer.Option(
    metavar="NAME=VALUE",
    rich_help_panel=Panel.GATE,
    help="Threshold to change, such as churn=0.9; may be repeated. [default: see `batch config`; "
    "env var: RECO_GATE_BOUNDS, or RECO_GATE_CHURN and so on]",
)
_HOOK: Final = typer.Option(
    metavar="COMMAND|URL",
    rich_help_panel=Panel.MONITORING,
    help="Program to start, or address to post to, if a run fails or is refused. "
    "[default: none; env vars: RECO_NOTIFY_COMMAND, RECO_NOTIFY_URL]",
)
_COLUMNS: Final = typer.Option(
    metavar="NAME=COLUMN",
    rich_help_panel=Panel.INPUT,
    help="Column under another name, such as user=customer_id; repeatable. [allowed: NAME of "
    "user, item, id, rating, time, event, weight, title, tags, released or available; default: "
    "those of MovieLens; env vars: RECO_INPUT_COLUMNS_USER and so on]",
)
_EVENTS: Final = typer.Option(
    metavar="KIND=WEIGHT",
    rich_help_panel=Panel.INPUT,
    help="Weight of a kind of event, such as purchase=5; repeatable. "
    "[allowed: a number other than 0, below 0 for a dislike; default: none; env var: "
    "RECO_INPUT_EVENTS, with commas]",
)
#: Option that sets keys of a table: parameter and type, by table.
_TABLE_OPTIONS: Final = {
    "gate": ("gate_bound", Annotated[list[str] | None, _THRESHOLDS]),
    "input.events": ("event", Annotated[list[str] | None, _EVENTS]),
    "input.columns": ("column", Annotated[list[str] | None, _COLUMNS]),
    "notify": ("on_failure", Annotated[str | None, _HOOK]),
}


def takes(*wanted: Panel | str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options for settings, and `--config`, to a command.

    The command gets `ResolvedSettings` as its first argument. `RecoError`s that it raises become
    exit codes.

    Args:
        wanted: names of settings, or panels for all of their settings.
    """
    options: dict[str, Any] = {}
    for name, field in SETTINGS.items():
        if name in wanted or setting_metadata.panel_of(field) in wanted:
            if setting_metadata.panel_of(field) is Panel.RULES:
                continue  # rules are tables, which no option can hold
            table, _, key = name.rpartition(".")
            of_table = _TABLE_OPTIONS.get(name) or _TABLE_OPTIONS.get(table)
            parameter, made = of_table or (key, _option(name, key, field))
            options[parameter] = made
    options["config"] = Annotated[Path | None, _CONFIG]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**arguments: Any) -> None:  # noqa: ANN401  # from typer
            with guard():
                given = {name: arguments.pop(name) for name in options}
                from reco_batch.monitoring.run_outcome import ended_in_json  # noqa: PLC0415  # not for --help

                resolved = read_settings(given, given.pop("config"))
                with ended_in_json(resolved.settings):
                    try:
                        command(resolved, **arguments)
                    except PermissionError as error:
                        home = Path(resolved.settings.home or ".")
                        raise NightFailed(unreadable(error, home)) from error

        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in options.items()
        ]
        parameters += list(inspect.signature(command).parameters.values())[1:]
        parameters.sort(key=lambda parameter: parameter.kind)
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _option(name: str, key: str, field: FieldInfo) -> Any:  # noqa: ANN401  # an Annotated type
    spelling, short = f"--{key.replace('_', '-')}", setting_metadata.hint(field, "short")
    is_switch, words = setting_metadata.is_switch(field), setting_metadata.choices(field)
    facts = [] if is_switch or words else [f"allowed: {setting_metadata.allowed(field)}"]
    facts += [f"default: {setting_metadata.default_words(field)}", f"env var: {variable(name)}"]
    made = typer.Option(
        *filter(None, (short, f"{spelling}/--no-{spelling[2:]}" if is_switch else spelling)),
        metavar=setting_metadata.metavar(field),
        rich_help_panel=setting_metadata.panel_of(field),
        show_default=False,
        help=f"{field.description} [{'; '.join(facts)}]",
        autocompletion=(lambda: list(words)) if words else None,
    )
    return Annotated[bool | None if is_switch else str | None, made]
