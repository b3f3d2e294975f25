"""Template of reco.toml for `batch init`: every setting, commented out."""

import json
import math
import textwrap
from pathlib import Path
from typing import Any, Final

from reco_batch.files import write_whole
from reco_batch.settings.precedence import SETTINGS, variable
from reco_batch.settings.setting_metadata import allowed, default_words, hint, panel_of
from reco_store import UsageError

_HEAD: Final = """\
Settings of `batch`. An option of the command line overrides an environment variable, which
overrides this file, which overrides the default. `batch config` shows each value and its origin.
Relative paths start at the working folder of the command. An address with a password makes this
file a secret: use mode 0600, or leave it to REDIS_URL."""


def write_template(file: Path, *, replace: bool) -> str:
    """Write the template, and return the text to print.

    Args:
        file: path to write; `-` returns the template itself.
        replace: replace an existing file.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    if str(file) == "-":
        return template()
    if file.exists() and not replace:
        raise UsageError(f"{file} exists already. Use --force to replace it.")
    try:
        write_whole(file, template().encode())
    except OSError as error:
        raise UsageError(f"{file}: could not be written ({error.strerror or error})") from error
    return f"wrote {file}; uncomment a line to change its value\n"


def template() -> str:
    """Return a reco.toml that lists every setting and sets none."""
    lines, section = [_comment(_HEAD)], ("", "")
    for name in sorted(SETTINGS, key=lambda name: "." in name):  # TOML has tables last
        field, (table, _, key) = SETTINGS[name], name.rpartition(".")
        if section != (section := (panel_of(field), table)):
            lines += ["", f"# --- {section[0]} ---", *([f"[{table}]"] if table else [])]
        text = f"{field.description} Allowed: {allowed(field)}. Default: {default_words(field)}."
        example = hint(field, "example") or field.default
        lines += ["", _comment(f"{text} Environment: {variable(name)}.")]
        lines += [f"#{key} = {toml_text(example)}"]
    return "\n".join(lines) + "\n"


def toml_text(value: Any) -> str:  # noqa: ANN401  # whatever a setting may be
    """Return a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else "inf"
    if isinstance(value, dict):
        pairs = (f"{key} = {toml_text(one)}" for key, one in value.items() if one is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    # The escapes of JSON are valid in TOML.
    return str(value) if isinstance(value, int) else json.dumps(str(value), ensure_ascii=False)


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), "# ")
