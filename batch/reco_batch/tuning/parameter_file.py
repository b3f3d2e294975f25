"""Files of hyper-parameters: what `batch tune` writes and `batch run --parameters` takes.

JSON, with the name of a preset and what is other than there, by dotted name:

    {"preset": "default", "retrieval": {"tower.l2": 0.002}, "rating": {"ridge_l2": 12.5}}

`tuned`, which a tuning adds, says how the values were found; it is not read.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import Field, replace
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
        preset: that the file must be for.

    Raises:
        UsageError: the file cannot be read or used; names what was found and what can be.
    """
    said = _read(path)
    for key in said.keys() - set(_KEYS):
        raise UsageError(f"{path}: {key!r} is not known; expected {_any_of(_KEYS)}")
    if said.get("preset") != preset:
        raise UsageError(
            f"{path}: the preset is {said.get('preset')!r}; expected {preset!r}, which is the one "
            f"in use (--preset, {_any_of(PRESETS)})"
        )
    known = PRESETS[preset]
    return replace(
        known,
        **{
            model: _with_said(getattr(known, model), said.get(model, {}), f"{path}: {model}")
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
    """Write a file that `read_parameters` takes.

    Args:
        path: where; what is there is replaced.
        preset: whose values are changed.
        values: for each model, by dotted name.
        tuned: how they were found.

    Raises:
        OSError: it cannot be written.
    """
    content = {"preset": preset, **values, "tuned": tuned}
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path}: could not be read ({error.strerror}); expected a file of parameters"
        ) from error
    except ValueError as error:  # of JSON or UTF-8
        raise UsageError(f"{path}: is not JSON ({error}); expected a file of parameters") from error
    if not isinstance(said, dict):
        raise UsageError(f"{path}: {said!r} is no object; expected one with {_any_of(_KEYS)}")
    return said


def _with_said(parameters: Any, said: object, where: str) -> Any:  # noqa: ANN401  # of its type
    if not isinstance(said, dict):
        raise UsageError(f"{where} is {said!r}; expected an object of values by name")
    specs = specs_of(parameters)
    for name in said.keys() - specs.keys():
        raise UsageError(f"{where}: {name!r} is not known; expected {_any_of(sorted(specs))}")
    values = {name: _value(specs[name], value, f"{where}: {name}") for name, value in said.items()}
    return with_values(parameters, values)


def _value(spec: "Field[Any]", value: object, where: str) -> Any:  # noqa: ANN401  # of the field's type
    """Return the value as the field has it, if it may be."""
    kinds = get_args(spec.type)  # of a tuple; of a number there are none
    if not kinds:
        number = _number(spec, value, spec.type)
        if number is None:
            raise UsageError(f"{where} is {value!r}; expected {_expected(spec, spec.type)}")
        return number
    many = "one or more" if Ellipsis in kinds else f"{len(kinds)}"
    each = [_number(spec, item, kinds[0]) for item in value] if isinstance(value, list) else []
    if not each or None in each or not (Ellipsis in kinds or len(each) == len(kinds)):
        expected = f"a list of {many}, each {_expected(spec, kinds[0])}"
        raise UsageError(f"{where} is {value!r}; expected {expected}")
    return tuple(each)


def _number(spec: "Field[Any]", value: object, kind: object) -> float | None:
    """Return the value as a number of the kind, None if it is none or outside the limits."""
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
