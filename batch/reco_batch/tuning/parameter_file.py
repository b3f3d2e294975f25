"""Hyper-parameter file, written by `batch tune` and read by `batch run --parameters`.

JSON with the name of a preset and the values that differ from it, by dotted name:

    {"preset": "default", "retrieval": {"neighbours.l2": 40.0}, "rating": {"ridge_l2": 12.5}}

`batch tune` adds `tuned`, a record of the search, which is ignored when the file is read.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, get_args

from reco_batch.files import write_whole
from reco_batch.settings.hyperparameters import PRESETS, Preset
from reco_batch.settings.search_space import limits, specs_of, with_values
from reco_store import UsageError

MODELS: Final = ("retrieval", "rating")
_KEYS: Final = ("preset", *MODELS, "tuned")


def read_parameters(path: Path, *, preset: str) -> Preset:
    """Return a preset with the values of a file.

    Args:
        path: of the file.
        preset: name of the preset, which the file must name too.

    Raises:
        UsageError: the file cannot be read or used.
    """
    content = _read(path)
    for key in content.keys() - set(_KEYS):
        raise UsageError(f"{path}: {key!r} is not known; expected {_any_of(_KEYS)}")
    if content.get("preset") != preset:
        raise UsageError(
            f"{path}: the preset is {content.get('preset')!r}; expected {preset!r}, the one in use "
            f"(--preset, {_any_of(PRESETS)})"
        )
    known = PRESETS[preset]
    return replace(
        known,
        **{
            model: _changed(getattr(known, model), content.get(model, {}), f"{path}: {model}")
            for model in MODELS
        },
    )


def write_parameters(
    path: Path,
    *,
    preset: str,
    values: Mapping[str, Mapping[str, float]],
    tuned: Mapping[str, Any],
) -> None:
    """Write a file for `read_parameters`.

    Args:
        path: of the file, which is replaced if it exists.
        preset: name of the preset that the values change.
        values: changed values by model and dotted name.
        tuned: record of the search.

    Raises:
        OSError: the file cannot be written.
    """
    content = {"preset": preset, **values, "tuned": tuned}
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path}: could not be read ({error.strerror}); expected a file of parameters"
        ) from error
    except ValueError as error:  # of JSON or UTF-8
        raise UsageError(f"{path}: is not JSON ({error}); expected a file of parameters") from error
    if not isinstance(content, dict):
        raise UsageError(
            f"{path}: {content!r} is not an object; expected one with {_any_of(_KEYS)}"
        )
    return content


def _changed(parameters: Any, changes: object, where: str) -> Any:  # noqa: ANN401  # its type
    if not isinstance(changes, dict):
        raise UsageError(f"{where} is {changes!r}; expected an object of values by name")
    specs = specs_of(parameters)
    for name in changes.keys() - specs.keys():
        raise UsageError(f"{where}: {name!r} is not known; expected {_any_of(_near(name, specs))}")
    values = {
        name: _value(specs[name], value, f"{where}: {name}") for name, value in changes.items()
    }
    return with_values(parameters, values)


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names of the same group; of another group a pattern such as `tower.*`."""
    prefix = name.rpartition(".")[0]
    same = [one for one in known if one.rpartition(".")[0] == prefix]
    groups = {
        f"{group}.*" for one in known if (group := one.rpartition(".")[0]) not in ("", prefix)
    }
    return [*sorted(same), *sorted(groups)]


def _value(spec: "Field[Any]", value: object, where: str) -> Any:  # noqa: ANN401  # of the field's type
    """Return the value as the type of the field.

    Raises:
        UsageError: the value is of another type, outside the limits, or none of the choices.
    """
    if isinstance(spec.type, type) and issubclass(spec.type, StrEnum):
        if not isinstance(value, str) or value not in list(spec.type):
            raise UsageError(f"{where} is {value!r}; expected {_any_of(spec.type)}")
        return spec.type(value)
    kinds = get_args(spec.type)  # empty unless it is a tuple
    if not kinds:
        number = _number(spec, value, spec.type)
        if number is None:
            raise UsageError(f"{where} is {value!r}; expected {_expected(spec, spec.type)}")
        return number
    each = [_number(spec, item, kinds[0]) for item in value] if isinstance(value, list) else []
    if None in each or len(each) != len(kinds):
        expected = f"a list of {len(kinds)}, each {_expected(spec, kinds[0])}"
        raise UsageError(f"{where} is {value!r}; expected {expected}")
    return tuple(each)


def _number(spec: "Field[Any]", value: object, kind: object) -> float | None:
    """Return the value as int or float; None if it is not a number or outside the limits."""
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return None
    least, most = limits(spec)
    if not math.isfinite(value) or value < least or (most is not None and value > most):
        return None
    return value if kind is int else float(value)


def _expected(spec: "Field[Any]", kind: object) -> str:
    least, most = limits(spec)
    to = "" if most is None else f" to {most:g}"
    return f"a {'whole ' if kind is int else ''}number from {least:g}{to}"


def _any_of(names: Any) -> str:  # noqa: ANN401  # iterable of str
    return "one of " + ", ".join(names)
