"""Typer commands that start without pydantic.

Since 0.29, typer converts every parameter, even plain text, with a pydantic TypeAdapter. Importing
pydantic and building the first adapter takes half as long as the rest of a `reco` command. So a
value that needs no conversion, or only `int()`, bypasses pydantic here; all other conversions and
every error message are still typer's own.

A command receives the same values with and without this module, which a test verifies. A typer
without the hook that is replaced here is left alone: only the start is slower then.
"""

# ruff: noqa: ANN401 - typer has no public types for these objects

from typing import Any, Literal, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

from reco_terminal.plain_help import PlainHelp, PlainOptions

# Longer numbers are left to typer, which checks their limits.
_SHORT_NUMBER = 9


class _QuickConversion:
    """Conversion of one parameter, with typer's own conversion as the fallback."""

    def __init__(self, param: Any) -> None:
        self._annotation: Any = param.type_descriptor.annotation
        self._typers_own = param.get_runtime_param

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value that typer's own conversion would return.

        Args:
            value: raw value from the command line, the environment or the default.
            param: typer's parameter.
            ctx: typer's context, for its error messages.
        """
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if _needs_no_conversion(value, self._annotation):
            return value
        if self._annotation is int and _is_short_number(value):
            return int(value)
        return self._typers_own().coerce(value, param=param, ctx=ctx)


def _needs_no_conversion(value: Any, annotation: Any) -> bool:
    if annotation == list[str]:
        return isinstance(value, list) and all(isinstance(part, str) for part in value)
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    return annotation in (str, int, bool) and type(value) is annotation


def _is_short_number(value: Any) -> bool:
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= _SHORT_NUMBER
    )


def _quicken(params: list[Any]) -> list[Any]:
    for param in params:
        has_hook = hasattr(param, "get_runtime_param") and hasattr(param, "type_descriptor")
        if has_hook and "get_runtime_param" not in vars(param):  # typer calls this more than once
            quick = _QuickConversion(param)
            param.get_runtime_param = lambda quick=quick: quick
    return params


class QuickCommand(PlainOptions, TyperCommand):
    """Command that converts plain values without pydantic, with a help section for each panel."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, each with the quick conversion."""
        return _quicken(super().get_params(ctx))


class QuickGroup(PlainHelp, TyperGroup):
    """Group of commands that converts plain values without pydantic."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, each with the quick conversion."""
        return _quicken(super().get_params(ctx))
