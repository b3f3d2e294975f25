"""What is said of a setting, once: `--help`, reco.toml, `batch config` and the errors all read it.

A setting is a field of a model (`config`, `bounds`, `settings`). Type and bounds are the field's
own, its `description` says in words what is allowed, and a `Key` in its annotation the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from math import inf
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Panel(StrEnum):
    """The headings under which settings stand in `--help` and in reco.toml."""

    STORE = "Where everything is"
    DATA = "What it learns from"
    LEARNING = "How it learns"
    LISTS = "What it publishes"
    GATE = "When it is served"
    NIGHT = "How the night goes"
    TUNING = "What is tried"
    PROGRESS = "What is shown meanwhile"
    MONITORING = "Who is told how it ended"


@dataclass(frozen=True, slots=True)
class Key:
    """What the type of a setting does not say."""

    help: str
    """What it is for, in one sentence."""
    panel: Panel
    metavar: str = ""
    """What stands for its value in `--help`."""
    short: str = ""
    """A second name of its option."""
    unset: str = ""
    """What holds as long as nothing is said, where the default alone does not tell."""
    example: str | float = ""
    """A value to show where the default is none."""
    choices: tuple[str, ...] = ()
    """The words that it may be, where its type does not tell."""


def key_of(field: FieldInfo) -> Key:
    """Return what is said of a setting.

    Raises:
        LookupError: nothing is, which is a bug.
    """
    for said in field.metadata:
        if isinstance(said, Key):
            return said
    raise LookupError(f"{field!r} has no Key")


def allowed(field: FieldInfo) -> str:
    """Say in words which values a setting may have."""
    return field.description or ("true or false" if is_switch(field) else "text")


def is_switch(field: FieldInfo) -> bool:
    """Tell whether a setting is either on or off."""
    return bool in _kinds(field.annotation)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the words that a setting may be, if these are few."""
    found = list(key_of(field).choices)
    for kind in _kinds(field.annotation):
        if get_origin(kind) is Literal:
            found += map(str, get_args(kind))
        elif isinstance(kind, type) and issubclass(kind, Enum):
            found += [str(member.value) for member in kind]
    return tuple(found)


def default_words(field: FieldInfo) -> str:
    """Say what holds as long as nothing is said."""
    key, value = key_of(field), field.default
    if key.unset:
        return key.unset
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ":".join(f"{part:g}" for part in value) if value else "none"
    return f"{value:g}" if isinstance(value, float) and value != inf else str(value)


def flattened(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return every setting of a model by its dotted name, in the order of their declaration."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= {f"{name}.{inner}": one for inner, one in flattened(kind).items()}
        else:
            found[name] = field
    return found


def valued(model: BaseModel) -> dict[str, Any]:
    """Return the value of every setting by its dotted name."""
    return dotted(model.model_dump())


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of nested mappings by dotted name, such as `gate.churn`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": one for inner, one in dotted(value).items()}
        else:
            found[name] = value
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name as a model takes them: those of a table in a table."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        table, dot, inner = name.partition(".")
        if dot:
            found.setdefault(table, {})[inner] = value
        else:
            found[name] = value
    return found


def _kinds(annotation: object) -> tuple[Any, ...]:
    """Return the types that an annotation allows, but for None."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for kind in get_args(annotation) if kind is not type(None))
    return (annotation,)
