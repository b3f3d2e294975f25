"""What a hyper-parameter may be, and what tuning tries: declared where its default is.

    learning_rate: float = tuned(0.002, 0.0005, 0.008, log=True)

A field without a range keeps its default in a tuning, and can still be said in a file of
parameters. The dataclasses may stand in each other; names are dotted, as `tower.learning_rate`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import Field, field, fields, is_dataclass, replace
from typing import Any, Final, NamedTuple, get_args

_SEARCHED: Final = "searched"
_AT_LEAST, _AT_MOST = "at_least", "at_most"


class Range(NamedTuple):
    """What tuning tries, ends included; whole numbers where the ends are."""

    low: float
    high: float
    log: bool


def tuned(
    default: float,
    low: float,
    high: float,
    *,
    log: bool = False,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Any:  # noqa: ANN401  # as dataclasses.field, which stands for its default
    """Return a field that tuning looks for between two ends.

    Args:
        default: of the field.
        low: least that is tried.
        high: most that is tried.
        log: as likely between 1 and 2 as between 10 and 20.
        at_least: least that can be said in a file of parameters, if not what `limits` has.
        at_most: most that can be said there.
    """
    said = {_AT_LEAST: at_least, _AT_MOST: at_most}
    known = {name: value for name, value in said.items() if value is not None}
    return field(default=default, metadata={_SEARCHED: Range(low, high, log), **known})


def limits(spec: "Field[Any]") -> tuple[float, float | None]:
    """Return the least and the most that a field may be, None for any.

    Whole numbers are 1 or more and others 0 or more, where the field says nothing else.
    """
    kind = (*get_args(spec.type), spec.type)[0]  # of a tuple, that of its items
    least = 1 if kind is int else 0
    return spec.metadata.get(_AT_LEAST, least), spec.metadata.get(_AT_MOST)


def searched(parameters: object) -> Mapping[str, Range]:
    """Return what tuning tries, by dotted name."""
    return {
        name: spec.metadata[_SEARCHED]
        for name, spec, _ in _leaves(parameters)
        if _SEARCHED in spec.metadata
    }


def specs_of(parameters: object) -> Mapping[str, "Field[Any]"]:
    """Return the field of every value, by dotted name."""
    return {name: spec for name, spec, _ in _leaves(parameters)}


def values_of(parameters: object) -> Mapping[str, Any]:
    """Return every value, by dotted name."""
    return {name: value for name, _, value in _leaves(parameters)}


def with_values(parameters: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  # of its type
    """Return parameters with other values, given by dotted name."""
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
