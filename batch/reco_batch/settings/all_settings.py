"""All settings of `batch` in one model, from which options and reco.toml are made."""

import shlex
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.input_keys import InputKeys
from reco_batch.settings.rules import RulesKeys
from reco_batch.settings.run_config import RunKeys, TuneKeys
from reco_batch.settings.setting_metadata import Hint, Panel, SettingsModel, checked
from reco_store import Keys

DEFAULT_NAMESPACE = "reco"


def _is_web_address(url: str | None) -> bool:
    parts = urlsplit(url or "http://none")
    return parts.scheme in ("http", "https") and bool(parts.hostname)


class NotifyKeys(SettingsModel):
    """Hooks for a run that failed or was refused: the table [notify]."""

    command: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda words: shlex.split(words) if isinstance(words, str) else words),
        Field(repr=False),
        Panel.MONITORING,
        Hint("a list of words, the program first"),
    ] = ()
    """Program to run, without a shell; it reads a JSON object."""
    url: Annotated[
        str | None,
        checked(_is_web_address),
        Field(repr=False),
        Panel.MONITORING,
        Hint("an http:// or https:// address", "", "none", "https://chat.example/hooks/TOKEN"),
    ] = None
    """Address to which the JSON object is posted."""
    timeout_seconds: Annotated[
        float, Field(gt=0, le=600), Panel.MONITORING, Hint("a number of seconds above 0, up to 600")
    ] = 10
    """Seconds that a run waits for the program or the address."""


class DataKeys(SettingsModel):
    """Input of a run, in a model of its own so that help lists it first."""

    data: Annotated[
        str | None,
        Field(min_length=1),
        Panel.INPUT,
        Hint(
            "a folder or its address, demo, ml-latest-small, ml-25m or ml-32m",
            "DIR",
            "none",
            "/srv/ratings",
        ),
    ] = None
    """Folder with ratings and movies, or a data set, unless [input] is set."""
    input: InputKeys = InputKeys()


class Settings(RunKeys, DataKeys):
    """Every setting of every command."""

    threads: Annotated[
        int | None, Field(ge=1), Panel.MODEL, Hint(unset="one for each processor", example=2)
    ] = None
    """Threads for scoring."""
    parameters: Annotated[
        Path | None, Panel.MODEL, Hint("a file of `batch tune`", "", "none", "tuned.json")
    ] = None
    """Hyper-parameters that replace the preset's."""
    quiet: Annotated[bool, Panel.LOGGING, Hint(short="-q")] = False
    """Print warnings and errors only."""
    log_format: Annotated[Literal["plain", "json"], Panel.LOGGING] = "plain"
    """Format of messages on standard error."""
    metrics_file: Annotated[
        Path | None,
        Panel.MONITORING,
        Hint("a file in a folder that exists", "", "none", "/var/lib/prometheus/reco.prom"),
    ] = None
    """Prometheus textfile, written after every run."""
    redis_url: Annotated[
        str | None,
        Field(repr=False),
        Panel.STORE,
        Hint("redis://, rediss://, unix://, redis+cluster:// or redis-sentinel://", "URL"),
        Hint(unset="the embedded store", example="redis://writer:PASSWORD@localhost:6379/0"),
    ] = None
    """Redis or Valkey server with the published lists."""
    namespace: Annotated[
        str,
        checked(Keys),
        Panel.STORE,
        Hint("1 to 32 of a-z, 0-9, _ -, a letter or digit first", "NAME"),
    ] = DEFAULT_NAMESPACE
    """Prefix of every key, one for each recommender."""
    home: Annotated[
        Path | None, Panel.STORE, Hint("a folder", "DIR", "the user's data folder", "/var/lib/reco")
    ] = None
    """Folder of artifacts, downloads and the embedded store."""
    rules: RulesKeys = RulesKeys()
    gate: GateBounds = GateBounds()
    tune: TuneKeys = TuneKeys()
    notify: NotifyKeys = NotifyKeys()
