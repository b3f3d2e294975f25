"""Metadata of settings, from which help, reco.toml, `batch config` and errors are made.

A setting is an annotated field of a `SettingsModel`. Its docstring is its help text; a `Panel` and
`Hint`s in its annotation add what its type and bounds do not express.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from math import inf
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from reco_store import UsageError


class Panel(StrEnum):
    """Sections of `--help` and of reco.toml, in their order."""

    INPUT = "Input"
    MODEL = "Model"
    OUTPUT = "Output"
    RULES = "Rules"
    GATE = "Quality gate"
    RUN = "Run"
    TUNING = "Tuning"
    LOGGING = "Logging"
    MONITORING = "Monitoring"
    STORE = "Store"


class SettingsModel(BaseModel):
    """Base of the models whose fields are settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Hint:
    """Words about a setting. If an annotation has several hints, later words replace earlier."""

    allowed: str = ""
    """Allowed values, if type and bounds are not enough; errors put "expected" before it."""
    metavar: str = ""
    """Placeholder for the value in `--help`."""
    unset: str = ""
    """Meaning of a default that has no words of its own."""
    example: object = ""
    """Value shown in reco.toml, if TOML cannot express the default."""
    short: str = ""
    """Short form of the option, such as `-k`."""
    choices: tuple[str, ...] = ()
    """Allowed words, if the type does not list them."""


def checked(is_allowed: Callable[[Any], object]) -> AfterValidator:
    """Return a validator that refuses a value for which a function fails or returns False."""

    def check(value: Any) -> Any:  # noqa: ANN401  # the type of the setting
        try:
            accepted = is_allowed(value)
        except (LookupError, UsageError) as error:
            raise ValueError(value) from error
        if accepted is False:
            raise ValueError(value)
        return value

    return AfterValidator(check)


Count = Annotated[int, Field(ge=1)]
CountFromZero = Annotated[int, Field(ge=0)]
CountOrAll = Annotated[
    int | None,
    Field(ge=1),
    BeforeValidator(lambda value: None if value == "all" else value),
    Hint("a whole number from 1, or all", "N|all"),
]
Share = Annotated[float, Field(ge=0, le=1), Hint(metavar="SHARE")]
_METAVARS: dict[object, str] = {int: "N", Path: "FILE"}


def panel_of(field: FieldInfo) -> Panel:
    """Return the section of a setting."""
    return next(one for one in field.metadata if isinstance(one, Panel))


def hint(field: FieldInfo, name: str) -> Any:  # noqa: ANN401  # the type of the hint's field
    """Return a field of the setting's hints, empty if none of them has it."""
    words = [getattr(one, name) for one in field.metadata if isinstance(one, Hint)]
    return next(filter(None, reversed(words)), "")


def is_switch(field: FieldInfo) -> bool:
    """Return whether a setting is either on or off."""
    return bool in _types(field)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the allowed words of a setting, empty if it is not a choice among a few."""
    words: list[str] = list(hint(field, "choices"))
    for kind in _types(field):
        if get_origin(kind) is Literal:
            words += get_args(kind)
        elif isinstance(kind, type) and issubclass(kind, Enum):
            words += [member.value for member in kind]
    return tuple(words)


def allowed(field: FieldInfo) -> str:
    """Return the allowed values of a setting in words."""
    if words := hint(field, "allowed"):
        return str(words)
    bounds = {
        name: f" {word} {getattr(one, name)}"
        for name, word in (("gt", "above"), ("ge", "from"), ("le", "to"))
        for one in field.metadata
        if hasattr(one, name)
    }
    if bounds:
        unit = " of seconds" if hint(field, "metavar") == "SECONDS" else ""
        kind = "whole number" if int in _types(field) else f"number{unit}"
        return f"a {kind}{''.join(bounds.values())}"
    *others, last = choices(field) or ("true or false" if is_switch(field) else "text",)
    return f"{', '.join(others)} or {last}" if others else last


def metavar(field: FieldInfo) -> str | None:
    """Return the placeholder for a value in `--help`, None for a switch."""
    if words := choices(field):
        return f"[{'|'.join(words)}]"
    names = (_METAVARS[kind] for kind in _types(field) if kind in _METAVARS)
    return hint(field, "metavar") or next(names, None)


def default_words(field: FieldInfo) -> str:
    """Return the default of a setting in words."""
    value = field.default
    if unset := hint(field, "unset"):
        return str(unset)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ":".join(f"{part:g}" for part in value) if value else "none"
    return f"{value:g}" if isinstance(value, float) and value != inf else str(value)


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of nested mappings by dotted name, such as `gate.churn`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": one for inner, one in dotted(value).items()}
        else:
            found[name] = value
    return found


def _types(field: FieldInfo) -> tuple[Any, ...]:
    """Return the members of a union, or the only type."""
    is_union = get_origin(field.annotation) in (Union, UnionType)
    return get_args(field.annotation) if is_union else (field.annotation,)
