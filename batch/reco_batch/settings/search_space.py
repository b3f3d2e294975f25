"""Search space of tuning, declared as part of the hyper-parameters' fields.

    learning_rate: float = tuned(0.002, 0.0005, 0.008, log=True)

A field without a range keeps its default during tuning and can still be set in a parameter file.
Dataclasses may be nested; the name of a nested field is dotted, such as `tower.learning_rate`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import Field, field, fields, is_dataclass, replace
from typing import Any, Final, NamedTuple, get_args

_SEARCHED: Final = "searched"
_AT_LEAST, _AT_MOST = "at_least", "at_most"


class Range(NamedTuple):
    """Range that tuning searches, both ends included; of integers if the ends are integers."""

    low: float
    high: float
    log: bool
    """True for a logarithmic scale."""


def tuned(
    default: float,
    low: float,
    high: float,
    *,
    log: bool = False,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Any:  # noqa: ANN401  # as dataclasses.field, whose result is typed as the default
    """Return a dataclass field with a range for tuning.

    Args:
        default: default of the field.
        low: lowest value to try.
        high: highest value to try.
        log: sample on a logarithmic scale, so that 1 to 2 is as likely as 10 to 20.
        at_least: lowest value allowed in a parameter file; None for the default of `limits`.
        at_most: highest value allowed in a parameter file; None for no limit.
    """
    bounds = {_AT_LEAST: at_least, _AT_MOST: at_most}
    given = {name: value for name, value in bounds.items() if value is not None}
    return field(default=default, metadata={_SEARCHED: Range(low, high, log), **given})


def limits(spec: "Field[Any]") -> tuple[float, float | None]:
    """Return the lowest and the highest allowed value of a field; None for no limit.

    Without limits of its own, an integer starts at 1 and any other number at 0.
    """
    kind = (*get_args(spec.type), spec.type)[0]  # the item type of a tuple
    least = 1 if kind is int else 0
    return spec.metadata.get(_AT_LEAST, least), spec.metadata.get(_AT_MOST)


def searched(parameters: object) -> Mapping[str, Range]:
    """Return the range of every tuned field by dotted name."""
    return {
        name: spec.metadata[_SEARCHED]
        for name, spec, _ in _leaves(parameters)
        if _SEARCHED in spec.metadata
    }


def specs_of(parameters: object) -> Mapping[str, "Field[Any]"]:
    """Return every field by dotted name."""
    return {name: spec for name, spec, _ in _leaves(parameters)}


def values_of(parameters: object) -> Mapping[str, Any]:
    """Return every value by dotted name."""
    return {name: value for name, _, value in _leaves(parameters)}


def with_values(parameters: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  # same type as given
    """Return a copy with some values replaced, given by dotted name."""
    changed: dict[str, Any] = {}
    for spec in fields(parameters):
        value = getattr(parameters, spec.name)
        if is_dataclass(value):
            prefix = f"{spec.name}."
            inner = {
                name.removeprefix(prefix): given
                for name, given in values.items()
                if name.startswith(prefix)
            }
            changed[spec.name] = with_values(value, inner)
        elif spec.name in values:
            changed[spec.name] = values[spec.name]
    return replace(parameters, **changed)


def _leaves(parameters: Any, prefix: str = "") -> Iterator[tuple[str, "Field[Any]", Any]]:  # noqa: ANN401
    for spec in fields(parameters):
        value = getattr(parameters, spec.name)
        if is_dataclass(value):
            yield from _leaves(value, f"{prefix}{spec.name}.")
        else:
            yield prefix + spec.name, spec, value
