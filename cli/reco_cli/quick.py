"""Typer commands that start without pydantic.

From 0.29 on typer sends every parameter, even plain text, through a pydantic TypeAdapter.
To import pydantic and build the first adapter takes half as long as everything else that
a `reco` command does. So a value that needs no conversion, or only `int()`, is passed on
here as it is; everything else, and every error message, is still typer's own.

What a command receives is the same with and without this module, which a test holds.
A typer without the hook that is used here is left alone: then only the time differs.
"""

# ruff: noqa: ANN401 - typer has no public types for what passes through here

from typing import Any, Literal, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

from reco_terminal.plain_help import fit, write_sections

# Longer numbers are left to typer, which knows their limits.
_SHORT_NUMBER = 9


class _QuickConversion:
    """Stands before typer's own conversion of one parameter."""

    def __init__(self, param: Any) -> None:
        self._annotation: Any = param.type_descriptor.annotation
        self._typers_own = param.get_runtime_param

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what typer's own conversion returns for a value.

        Args:
            value: what the command line, the environment or the default gave.
            param: the parameter, as typer knows it.
            ctx: typer's context, which its error messages show.
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
        if has_hook and "get_runtime_param" not in vars(param):  # typer asks more than once
            quick = _QuickConversion(param)
            param.get_runtime_param = lambda quick=quick: quick
    return params


class QuickCommand(TyperCommand):
    """A command that converts plain values without pydantic; its help is in sections."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters as typer does, each with the quick conversion."""
        return _quicken(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        fit(formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, panel after panel."""
        write_sections(self.get_params(ctx), ctx, formatter)


class QuickGroup(TyperGroup):
    """A group of commands that converts plain values without pydantic."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters as typer does, each with the quick conversion."""
        return _quicken(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        fit(formatter)
        super().format_help(ctx, formatter)
