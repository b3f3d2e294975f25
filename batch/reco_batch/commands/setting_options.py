"""The options of the commands, made of the settings.

`takes` gives a command the options of the settings it needs, and calls it with what flags,
environment and file together say.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic.fields import FieldInfo

from reco_batch.errors import NightFailed
from reco_batch.files import unreadable
from reco_batch.settings.option import Panel, allowed, choices, default_words, is_switch, key_of
from reco_batch.settings.precedence import FILE, FILE_VARIABLE, SETTINGS, read_settings, variable
from reco_terminal.console import guard

_CONFIG: Final = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        rich_help_panel=Panel.STORE,
        help=f"TOML file with settings, as `batch init` writes it. "
        f"[default: ./{FILE}, if there is one; env var: {FILE_VARIABLE}]",
    ),
]
#: Options that stand for several settings at once: name, panel, type and option of each.
_OF_TABLES: Final = {
    "gate_bound": Annotated[
        list[str] | None,
        typer.Option(
            "--gate-bound",
            metavar="NAME=VALUE",
            rich_help_panel=Panel.GATE,
            help="Another bound of the gate, such as churn=0.9; may be repeated. "
            "[default: those of `batch config`; env var: RECO_GATE_BOUNDS, or RECO_GATE_CHURN "
            "and so on]",
        ),
    ],
    "on_failure": Annotated[
        str | None,
        typer.Option(
            "--on-failure",
            metavar="COMMAND|URL",
            rich_help_panel=Panel.MONITORING,
            help="Told when a night fails or is refused: a program that reads a JSON object, or "
            "an address to which it is posted. [default: nobody; env vars: RECO_NOTIFY_COMMAND, "
            "RECO_NOTIFY_URL]",
        ),
    ],
}
_PANEL_OF_TABLE: Final = {"gate_bound": Panel.GATE, "on_failure": Panel.MONITORING}


def takes(
    *what: Panel | str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of settings, and `--config`.

    The command is called with what it was `Told`, and with its own options; whatever it raises on
    purpose becomes its exit code.

    Args:
        what: settings by name, or all those of a panel.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]
        options = {**_options(what), "config": _CONFIG}

        @wraps(command)
        def run(**said: Any) -> None:  # noqa: ANN401  # what typer has parsed
            with guard():
                flags = {name: said.pop(name) for name in options}
                from reco_batch.monitoring.run_outcome import ended_in_json  # noqa: PLC0415  # not for --help

                told = read_settings(flags, flags.pop("config"))
                with ended_in_json(told.settings):
                    try:
                        command(told, **said)
                    except PermissionError as error:
                        home = Path(told.settings.home or ".")
                        raise NightFailed(unreadable(error, home)) from error

        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in options.items()
        ]
        ordered = sorted([*parameters, *own], key=lambda parameter: parameter.kind)
        run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        return run

    return decorate


def option_name(name: str) -> str:
    """Return the option of a setting; empty for one that only the file and the environment say."""
    table, dot, inner = name.rpartition(".")
    if table == "gate":
        return f"--gate-bound {inner}="
    if table == "notify":
        return "" if inner == "timeout_seconds" else "--on-failure"
    return f"--{(inner if dot else name).replace('_', '-')}"


def _options(what: tuple[Panel | str, ...]) -> dict[str, Any]:
    """Return the options of settings by the name of their parameter, panel after panel."""
    found: dict[str, Any] = {}
    for panel in Panel:
        found |= {
            name.removeprefix("tune."): _option(name, field)
            for name, field in SETTINGS.items()
            if key_of(field).panel == panel
            and name.partition(".")[0] not in ("gate", "notify")
            and (panel in what or name in what)
        }
        found |= {
            name: kind
            for name, kind in _OF_TABLES.items()
            if panel in what and _PANEL_OF_TABLE[name] == panel
        }
    return found


def _option(name: str, field: FieldInfo) -> Any:  # noqa: ANN401  # an Annotated type
    """Return the type of a parameter that typer makes into the option of a setting."""
    key, option = key_of(field), option_name(name)
    switch, words = is_switch(field), choices(field)
    if switch:
        option = f"{option}/--no-{option.removeprefix('--')}"
    made = typer.Option(
        *_names(option, key.short),
        metavar=key.metavar or None,
        rich_help_panel=key.panel,
        show_default=False,
        help=_help(name, field),
        autocompletion=(lambda: list(words)) if words else None,
    )
    return Annotated[bool | None if switch else str | None, made]


def _names(option: str, short: str) -> tuple[str, ...]:
    return (short, option) if short else (option,)


def _help(name: str, field: FieldInfo) -> str:
    """Say what an option is for, what it may be, and what it is otherwise."""
    facts = [] if is_switch(field) else [f"allowed: {allowed(field)}"]
    facts += [f"default: {default_words(field)}", f"env var: {variable(name)}"]
    return f"{key_of(field).help} [{'; '.join(facts)}]"
