"""reco.toml as `batch init` writes it: every setting in a comment, made of the models."""

import json
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

from reco_batch.files import write_whole
from reco_batch.settings.option import Panel, allowed, default_words, key_of
from reco_batch.settings.precedence import SETTINGS, TABLES, variable
from reco_store import UsageError

_WIDTH: Final = 80
_HEAD: Final = """\
Settings of `batch`. An option of the command line counts before a variable of the environment, and
that before this file; what none of them says is as the comments here have it. `batch config` shows
what holds and where it comes from. Relative paths begin where the command is started. An address
with a password makes this file a secret: mode 0600, or leave it to REDIS_URL."""


def write_template(file: Path, *, replace: bool) -> str:
    """Write a file in which nothing is said yet, and return what to print.

    Args:
        file: where; `-` prints it instead.
        replace: whether a file that is there may be replaced.

    Raises:
        UsageError: it is there, or cannot be written.
    """
    text = template()
    if str(file) == "-":
        return text
    if file.exists() and not replace:
        raise UsageError(f"{file} is there already; expected no file. Use --force to replace it.")
    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise UsageError(f"{file}: could not be written ({error.strerror or error})") from error
    return f"wrote {file}; nothing is set in it yet: take away # where you want another value\n"


def template() -> str:
    """Return the text of a file that says nothing but lists every setting."""
    lines = list(_comment(" ".join(_HEAD.split())))
    for panel in Panel:
        lines += _section(panel, [n for n in SETTINGS if "." not in n and _is_of(n, panel)])
    for table in TABLES:
        names = [name for name in SETTINGS if name.startswith(f"{table}.")]
        lines += _section(key_of(SETTINGS[names[0]]).panel, names, f"[{table}]")
    return "\n".join(lines) + "\n"


def toml_text(value: Any) -> str:  # noqa: ANN401  # whatever a setting may be
    """Write a value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else "inf"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    return json.dumps(str(value), ensure_ascii=False)  # whose escapes TOML has too


def _is_of(name: str, panel: Panel) -> bool:
    return key_of(SETTINGS[name]).panel == panel


def _section(panel: Panel, names: list[str], header: str = "") -> Iterator[str]:
    if not names:
        return
    yield from ("", f"# --- {panel} ---", *([header] if header else []))
    for name in names:
        field = SETTINGS[name]
        key = key_of(field)
        yield ""
        yield from _comment(
            f"{key.help} Allowed: {allowed(field)}. Default: {default_words(field)}. "
            f"Environment: {variable(name)}."
        )
        yield f"#{name.rpartition('.')[2]} = {_example(field)}"


def _example(field: FieldInfo) -> str:
    """Return the default, or what has its form where TOML cannot write it."""
    if field.default is None or field.default == math.inf:
        return toml_text(key_of(field).example)
    return toml_text(field.default)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
