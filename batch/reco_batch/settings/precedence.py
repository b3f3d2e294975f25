"""Where settings come from: flag before environment before file before default.

Each source is read by pydantic-settings. This module remembers which of them said what, so that an
error, and `batch config`, can name the place: `--k`, `RECO_K`, `reco.toml:12`.
"""

import difflib
import os
import re
import stat
import tomllib
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_settings import TomlConfigSettingsSource

from reco_batch.settings.address import mask_address
from reco_batch.settings.fields import Settings
from reco_batch.settings.gate_thresholds import parse_bounds
from reco_batch.settings.option import Panel, allowed, flattened, key_of, nested
from reco_store import UsageError, mask_url

FILE: Final = "reco.toml"
FILE_VARIABLE: Final = "RECO_CONFIG"
#: Every setting by its dotted name, panel after panel.
SETTINGS: Final = dict(
    sorted(flattened(Settings).items(), key=lambda one: list(Panel).index(key_of(one[1]).panel))
)
TABLES: Final = tuple(dict.fromkeys(name.partition(".")[0] for name in SETTINGS if "." in name))
_BOUNDS_VARIABLE: Final = "RECO_GATE_BOUNDS"
#: Kubernetes gives every container variables of every Service, reco-gate too: RECO_GATE_PORT.
_OF_KUBERNETES: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$"
)


@dataclass(frozen=True, slots=True)
class Said:
    """A value that a source gave, and the place where it did."""

    value: Any = field(repr=False)  # may be a secret
    place: str
    """Such as `--k`, `RECO_K`, `reco.toml:12`."""
    quoted: str
    """Place and value, as an error shows them; secrets are masked."""


class Told(NamedTuple):
    """All settings, and where those that were said come from."""

    settings: Settings
    said: Mapping[str, Said]
    """By dotted name; what is not here is as it is by default."""
    file: Path | None


def read_settings(flags: Mapping[str, Any], config: Path | None = None) -> Told:
    """Bring together what flags, environment and file say.

    Args:
        flags: the options of a command by name; None where one was not given.
        config: the file that the command was given; None: see `find_file`.

    Raises:
        UsageError: a key is not known, or its value cannot be; names key, value and what can be.
    """
    file = find_file(config)
    said = ChainMap(_of_flags(flags), _of_environment(), {} if file is None else _of_file(file))
    try:
        settings = Settings(**nested({name: one.value for name, one in said.items()}))
    except ValidationError as error:
        name = _name_of(error.errors()[0]["loc"])
        expected = allowed(SETTINGS[name])
        raise UsageError(f"{said[name].quoted}: expected {expected}") from error
    return Told(settings, dict(said), file)


def find_file(config: Path | None) -> Path | None:
    """Return the file to read: the one given, the environment's, or the one in this folder.

    Raises:
        UsageError: a file was named, and is not there; or the one in this folder is in the hands of
            others.
    """
    from_environment = os.environ.get(FILE_VARIABLE, "").strip()
    named = config or (Path(from_environment) if from_environment else None)
    if named is None:
        if not Path(FILE).is_file():
            return None
        _require_own(Path(FILE))
        return Path(FILE)
    if not named.is_file():
        how = "--config" if config else FILE_VARIABLE
        raise UsageError(f"{how} {str(named)!r}: expected a file; `batch init {named}` writes one")
    return named


def _require_own(file: Path) -> None:
    """Refuse a file that merely lies in the working folder, where others may have put it.

    It may name programs to run, files to write and servers to send data to.

    Raises:
        UsageError: another account owns it, or may write to it.
    """
    ours = (0, os.geteuid())
    found = file.stat()
    strangers = [one.st_uid for one in (file.lstat(), found) if one.st_uid not in ours]
    if strangers:
        problem = f"belongs to another account (user id {strangers[0]})"
        remedy = ""
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = "may be written by other accounts"
        remedy = f" or `chmod go-w {file}`"
    else:
        return
    raise UsageError(
        f"{file.absolute()} {problem}, and it may name commands to run; expected a file of "
        f"this account or root that nobody else may write. If it is meant, use --config {file}, "
        f"{FILE_VARIABLE}={file.absolute()}{remedy}."
    )


def variable(name: str) -> str:
    """Return the environment's name of a setting."""
    return "REDIS_URL" if name == "redis_url" else f"RECO_{name.replace('.', '_').upper()}"


def masked(name: str, value: Any) -> Any:  # noqa: ANN401  # whatever the setting is
    """Return a value that may be shown: passwords, and all that a hook is told, are masked."""
    if not value:
        return value
    if name in ("redis_url", "data"):
        return mask_url(str(value)) if name == "redis_url" else mask_address(str(value))
    if name == "notify.url":
        try:
            address = urlsplit(str(value))
        except ValueError:  # no address at all
            return "***"
        return f"{address.scheme}://{address.hostname or ''}/***"
    if name == "notify.command":
        words = [value] if isinstance(value, str) else list(value)
        return [str(words[0]).split(" ", 1)[0], *["***" for _ in words[1:]]]
    return value


def _of_flags(flags: Mapping[str, Any]) -> dict[str, Said]:
    """Return what the command line says, under the names of the settings."""
    said = {}
    for flag, value in flags.items():
        if value is None:
            continue
        name = f"tune.{flag}" if f"tune.{flag}" in SETTINGS else flag
        option = f"--{flag.replace('_', '-')}"
        if flag == "gate_bound":
            for bound, word in parse_bounds(value).items():
                said[f"gate.{bound}"] = Said(word, option, f"{option} {bound}={word}")
        elif flag == "on_failure":
            is_url = value.startswith(("http://", "https://"))
            told, other = ("url", "command") if is_url else ("command", "url")
            shown = f"{option} {masked(f'notify.{told}', value)!r}"
            said[f"notify.{told}"] = Said(value, option, shown)
            said[f"notify.{other}"] = Said(() if is_url else None, option, shown)
        else:
            said[name] = Said(value, option, f"{option} {masked(name, value)!r}")
    return said


def _of_environment() -> dict[str, Said]:
    """Return the settings that environment variables contain; empty variables are ignored.

    Blanks and line ends around a value come from files of variables, and are no part of it.

    Raises:
        UsageError: a bound of the gate, or a variable of a table of ours, is not known.
    """
    said: dict[str, Said] = {}
    names = {variable(name): name for name in SETTINGS}
    for spelt, text in os.environ.items():
        place, value = spelt.upper(), text.strip()
        if not value:
            continue
        if place == _BOUNDS_VARIABLE:
            for bound, word in parse_bounds(value.split(), place).items():
                said.setdefault(f"gate.{bound}", Said(word, place, f"{place} {bound}={word}"))
        elif place in names:
            name = names[place]
            said[name] = Said(value, place, f"{place} {masked(name, value)!r}")
        else:
            _refuse_if_ours(place)
    return said


def _refuse_if_ours(place: str) -> None:
    """Refuse a variable that begins as those of a table do, and is none of them.

    Raises:
        UsageError: it was probably meant to be one.
    """
    table, _, inner = place.removeprefix("RECO_").lower().partition("_")
    if not place.startswith("RECO_") or table not in TABLES or _OF_KUBERNETES.search(place):
        return
    if not inner:
        first = next(name for name in SETTINGS if name.startswith(f"{table}."))
        raise UsageError(
            f"{place} is not known: {table} is a table; expected a variable for each of its keys, "
            f"such as {variable(first)}"
        )
    _require_known(f"{table}.{inner}", place, variable)


def _of_file(file: Path) -> dict[str, Said]:
    try:
        found = TomlConfigSettingsSource(Settings, file)()
        lines = lines_of(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: could not be read ({error.strerror})") from error
    except ValueError as error:  # of TOML or UTF-8
        raise UsageError(f"{file}: is not TOML ({error}); see `batch init`") from error
    said = {}
    for name, value in _flat(found).items():
        place = f"{file}:{lines[name]}" if name in lines else str(file)
        _require_known(name, f"{place}: {name}", str)
        if name in TABLES:
            raise UsageError(f"{place}: {name} = {value!r}: expected a table [{name}]")
        said[name] = Said(value, place, f"{place}: {name} = {masked(name, value)!r}")
    return said


def lines_of(text: str) -> dict[str, int]:
    """Return the line on which each key of a TOML text stands, by dotted name.

    A statement is the fewest lines that are TOML by themselves, so what looks like a key inside a
    text or a comment is none.
    """
    found: dict[str, int] = {}
    table, statement, first = "", "", 1
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        first = first if statement else number
        statement += line
        try:
            said = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            (header,) = said
            table = f"{header}."
            found.setdefault(header, first)
        else:
            found |= {table + name: first for name in _flat(said)}
        statement = ""
    return found


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name, those of our own tables for themselves."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if name in TABLES and isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat


def _require_known(name: str, shown: str, spell: Callable[[str], str]) -> None:
    """Refuse a key that does not exist, naming the one that was probably meant."""
    if name in SETTINGS or name in TABLES:
        return
    last = name.rpartition(".")[2]
    namesakes = [known for known in SETTINGS if known.rpartition(".")[2] == last]
    nearest = namesakes or difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0)
    raise UsageError(
        f"{shown} is not known; the nearest known one is {spell(nearest[0])}. "
        "`batch init -` prints all of them."
    )


def _name_of(location: tuple[int | str, ...]) -> str:
    """Return the setting that an error of the model is about."""
    dotted = ".".join(map(str, location[:2]))
    return dotted if dotted in SETTINGS else str(location[0])
