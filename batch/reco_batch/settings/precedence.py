"""Precedence of settings: option before environment before reco.toml before default.

Each value keeps its origin, so that errors and `batch config` can name it: `--k`, `RECO_K`,
`reco.toml:12`.
"""

import difflib
import os
import re
import stat
import tomllib
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from reco_batch.settings.address import mask_address
from reco_batch.settings.all_settings import Settings
from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.setting_metadata import Panel, SettingsModel, allowed, panel_of
from reco_store import UsageError, mask_url

FILE: Final = "reco.toml"
FILE_VARIABLE: Final = "RECO_CONFIG"


def _tables(model: type[SettingsModel], name: str = "") -> dict[str, dict[str, FieldInfo]]:
    """Return the settings of a table of reco.toml and of the tables in it, by table and key."""
    tables: dict[str, dict[str, FieldInfo]] = {name: {}}
    for key, one in model.model_fields.items():
        if isinstance(one.default, SettingsModel):
            tables |= _tables(type(one.default), f"{name}.{key}".lstrip("."))
        else:
            tables[name][key] = one
    return tables


#: Settings of every table of reco.toml, and those of the file itself under the empty name.
_FIELDS: Final = _tables(Settings)
TABLES: Final = tuple(_FIELDS)[1:]
#: Every setting by its dotted name, section by section.
SETTINGS: Final[dict[str, FieldInfo]] = {
    f"{table}.{name}".lstrip("."): one
    for panel in Panel
    for table, fields in _FIELDS.items()
    for name, one in fields.items()
    if panel_of(one) == panel
}
#: Settings of the input whose values may be addresses with a login.
ADDRESSES: Final = ("data", "input.ratings", "input.items")
#: Scheme and host of an address; a login between them is skipped.
_ADDRESS: Final = re.compile(r"(\w+://)(?:[^/?#]*@)?([^/?#:]*)")
#: Setting of each option that sets one.
_OF_OPTION: Final = {name.rpartition(".")[2]: name for name in reversed(SETTINGS)}
#: Least likeness, from 0 to 1, of a name that is a mistyped other one.
_ALIKE: Final = 0.8
#: Kubernetes sets variables such as RECO_GATE_PORT for a Service named reco-gate.
_OF_KUBERNETES: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$"
)


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """A value and the option, variable or line that sets it."""

    place: str
    """Such as `--k`, `RECO_K` or `reco.toml:12`."""
    value: Any = field(repr=False)  # may be a secret
    quoted: str
    """Place and value for an error, secrets masked."""


class ResolvedSettings(NamedTuple):
    """All settings, with the origins of those that are not defaults."""

    settings: Settings
    origins: Mapping[str, SettingOrigin]
    """By dotted name."""
    file: Path | None
    """The file that was read."""


def read_settings(options: Mapping[str, Any], config: Path | None = None) -> ResolvedSettings:
    """Resolve all settings from options, environment and file.

    Args:
        options: by parameter name; None where one was not given.
        config: value of `--config`; None: see `find_file`.

    Raises:
        UsageError: a name is unknown or a value is not allowed.
    """
    file = find_file(config)
    origins = ChainMap(_in_options(options), _in_environment(), _in_file(file) if file else {})
    values: dict[str, Any] = {}
    for name, origin in origins.items():
        *tables, key = name.split(".")
        table = values
        for one in tables:
            table = table.setdefault(one, {})
        table[key] = origin.value
    try:
        return ResolvedSettings(Settings(**values), dict(origins), file)
    except ValidationError as error:
        path = [str(one) for one in error.errors()[0]["loc"]]
        names = accumulate(path, "{}.{}".format)
        depth, name = next((at, name) for at, name in enumerate(names, 1) if name in SETTINGS)
        expected = allowed(SETTINGS[name])
        inner = [f"table {int(one) + 1}" if one.isdigit() else one for one in path[depth:]]
        fault = f"; at fault: {', '.join(inner)}" if name.startswith("rules.") and inner else ""
        raise UsageError(f"{origins[name].quoted}: expected {expected}{fault}") from error


def find_file(config: Path | None) -> Path | None:
    """Return the file that `--config` or RECO_CONFIG names, or the one in the working folder.

    Raises:
        UsageError: a named file is missing, or other accounts may change the file that was found.
    """
    variable = os.environ.get(FILE_VARIABLE, "").strip()
    if named := config or (Path(variable) if variable else None):
        if named.is_file():
            return named
        how = "--config" if config else FILE_VARIABLE
        raise UsageError(f"{how} {str(named)!r}: expected a file; `batch init {named}` writes one")
    if not Path(FILE).is_file():
        return None
    _require_owned(Path(FILE))
    return Path(FILE)


def _require_owned(file: Path) -> None:
    """Refuse a found file that others may change: it can name programs, files and servers."""
    status, remedy = file.stat(), ""
    owners = {file.lstat().st_uid, status.st_uid} - {0, os.geteuid()}
    if owners:
        problem = f"belongs to another account (user id {owners.pop()})"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem, remedy = "may be written by other accounts", f" or `chmod go-w {file}`"
    else:
        return
    raise UsageError(
        f"{file.absolute()} {problem}, and it may name commands to run; expected a file of "
        f"this account or root that no other account may write. If it is meant, use --config "
        f"{file}, {FILE_VARIABLE}={file.absolute()}{remedy}."
    )


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return "REDIS_URL" if name == "redis_url" else f"RECO_{name.replace('.', '_').upper()}"


def masked(name: str, value: Any) -> Any:  # noqa: ANN401  # the type of the setting
    """Return a value that may be shown: without passwords and the secrets of hooks."""
    if value and name == "redis_url":
        return mask_url(str(value))
    if value and name in ADDRESSES:
        if isinstance(value, list | tuple):
            return [mask_address(str(one)) for one in value]
        return mask_address(str(value))
    if value and name == "notify.url":
        address = _ADDRESS.match(str(value))
        return f"{address[1]}{address[2]}/***" if address else "***"
    if value and name == "notify.command":
        first, *rest = value if isinstance(value, list | tuple) else [value]
        return [str(first).split(" ", 1)[0], *["***" for _ in rest]]
    return value


def _origin(name: str, value: object, place: str) -> SettingOrigin:
    return SettingOrigin(place, value, f"{place} {masked(name, value)!r}")


def _thresholds(words: Iterable[str], place: str) -> dict[str, SettingOrigin]:
    """Return the thresholds in `NAME=VALUE` words; of two with one name the last counts."""
    origins = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in GateBounds.model_fields:
            names = ", ".join(GateBounds.model_fields)
            raise UsageError(f"{place} {word!r}: expected NAME=VALUE, where NAME is one of {names}")
        origins[f"gate.{name}"] = SettingOrigin(place, value, f"{place} {word}")
    return origins


def _in_options(options: Mapping[str, Any]) -> dict[str, SettingOrigin]:
    origins: dict[str, SettingOrigin] = {}
    for parameter, value in options.items():
        option = f"--{parameter.replace('_', '-')}"
        if value is None:
            continue
        if parameter == "gate_bound":
            origins |= _thresholds(value, option)
        elif parameter == "column":
            origins |= _columns(value, option)
        elif parameter == "event":
            origins["input.events"] = SettingOrigin(option, value, f"{option} {' '.join(value)}")
        elif parameter == "on_failure":
            hooks = ("notify.command", "notify.url")
            is_url = value.startswith(("http://", "https://"))
            origins |= dict.fromkeys(hooks, SettingOrigin(option, () if is_url else None, option))
            origins[hooks[is_url]] = _origin(hooks[is_url], value, option)
        else:
            name = _OF_OPTION[parameter]
            origins[name] = _origin(name, value, option)
    return origins


def _columns(words: Iterable[str], place: str) -> dict[str, SettingOrigin]:
    """Return the columns in `NAME=COLUMN` words; of two with one name the last counts."""
    origins = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in _FIELDS["input.columns"]:
            names = ", ".join(_FIELDS["input.columns"])
            raise UsageError(
                f"{place} {word!r}: expected NAME=COLUMN, where NAME is one of {names}"
            )
        origins[f"input.columns.{name}"] = SettingOrigin(place, value, f"{place} {word}")
    return origins


def _in_environment() -> dict[str, SettingOrigin]:
    """Return the settings in variables that are not blank, without the blanks around a value."""
    names = {variable(name): name for name in SETTINGS}
    origins, thresholds = dict[str, SettingOrigin](), dict[str, SettingOrigin]()
    for place, text in os.environ.items():
        value = text.strip()
        table, _, key = place.removeprefix("RECO_").lower().partition("_")  # of the outermost table
        if not value or place != place.upper():  # `reco` reads no other spelling
            continue
        if place in names:
            origins[names[place]] = _origin(names[place], value, place)
        elif place == "RECO_GATE_BOUNDS":
            thresholds = _thresholds(value.split(), place)
        elif place.startswith("RECO_") and table in TABLES and not _OF_KUBERNETES.search(place):
            _require_known(f"{table}.{key}", place, variable)
    return thresholds | origins


def _in_file(file: Path) -> dict[str, SettingOrigin]:
    try:
        text = file.read_text("utf-8")
        values = dotted(tomllib.loads(text))
    except OSError as error:
        raise UsageError(f"{file}: could not be read ({error.strerror})") from error
    except ValueError as error:  # of TOML or UTF-8
        raise UsageError(
            f'{file}: is not TOML ({error}); texts need quotes, such as user = "email". '
            "`batch init -` prints an example."
        ) from error
    lines, origins = lines_of(text), {}
    for name, value in values.items():
        place = f"{file}:{lines[name]}"
        if name in TABLES:
            raise UsageError(f"{place}: {name} = {value!r}: expected a table [{name}]")
        _require_known(name, f"{place}: {name}", str)
        origins[name] = SettingOrigin(place, value, f"{place}: {name} = {masked(name, value)!r}")
    return origins


def lines_of(text: str) -> dict[str, int]:
    """Return the line of each key of a TOML text, by dotted name.

    The lines up to the end of a statement are valid TOML, those up to its middle are not.
    """
    lines: dict[str, int] = {}
    rows, first = text.split("\n"), 1
    for number in range(1, len(rows) + 1):
        with suppress(tomllib.TOMLDecodeError):
            names = dotted(tomllib.loads("\n".join(rows[:number])))
            lines = dict.fromkeys(names, first) | lines
            first = number + 1
    return lines


def dotted(values: Mapping[str, Any], table: str = "") -> dict[str, Any]:
    """Return values by dotted name, with those of known tables one by one."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        is_table = table + name in TABLES and isinstance(value, Mapping)
        found |= dotted(value, f"{table}{name}.") if is_table else {table + name: value}
    return found


def _require_known(name: str, label: str, spell: Callable[[str], str]) -> None:
    """Refuse an unknown name, and suggest the setting that it probably means."""
    if name in SETTINGS:
        return
    table, _, last = name.rpartition(".")
    siblings = [known.rpartition(".")[2] for known in SETTINGS if known.rpartition(".")[0] == table]
    alike = difflib.get_close_matches(last, siblings if table else (), n=1, cutoff=_ALIKE)
    typo = [f"{table}.{one}" for one in alike]
    same = [known for known in SETTINGS if known.rpartition(".")[2] == last]
    (nearest, *_) = typo or same or difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0)
    raise UsageError(
        f"{label} is not known; the nearest known one is {spell(nearest)}. "
        "`batch init -` prints all of them."
    )
