"""Everything that can be set, once: with its default, its bounds and its words.

The options of `batch`, reco.toml, `batch init`, `batch config` and the documentation's table are
made of this class. Where values come from, and which of several counts, is said in `layers`.
"""

import shlex
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.option import Key, Panel
from reco_batch.settings.run_config import RunKeys, TuneKeys
from reco_store import Keys, UsageError

DEFAULT_NAMESPACE = "reco"


class NotifyKeys(BaseModel):
    """Who is told of a night that failed or was refused: the table [notify]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Annotated[
        tuple[str, ...],
        Field(description="a list of words, the program first", repr=False),
        Key("Program to run, without a shell; it reads a JSON object.", Panel.MONITORING, "WORDS"),
    ] = ()
    url: Annotated[
        str | None,
        Field(description="an address that begins with http:// or https://", repr=False),
        Key(
            "Address to which the JSON object is posted.",
            Panel.MONITORING,
            "URL",
            unset="none",
            example="https://chat.example/hooks/TOKEN",
        ),
    ] = None
    timeout_seconds: Annotated[
        float,
        Field(gt=0, le=600, description="a number of seconds above 0, up to 600"),
        Key("After which the night no longer waits for it.", Panel.MONITORING, "SECONDS"),
    ] = 10

    @field_validator("command", mode="before")
    @classmethod
    def _in_words(cls, command: object) -> object:
        return shlex.split(command) if isinstance(command, str) else command

    @field_validator("url")
    @classmethod
    def _of_the_web(cls, url: str | None) -> str | None:
        if url is not None and (
            urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname
        ):
            raise ValueError("no address")
        return url


class Settings(RunKeys, BaseSettings):
    """Every setting of every command."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
    )

    redis_url: Annotated[
        str | None,
        Field(
            description="redis://, rediss://, unix://, redis+cluster:// or redis-sentinel://",
            repr=False,
        ),
        Key(
            "Redis to publish to.",
            Panel.STORE,
            "URL",
            unset="the embedded store",
            example="redis://writer:PASSWORD@localhost:6379/0",
        ),
    ] = None
    namespace: Annotated[
        str,
        Field(description="1 to 32 of a-z, 0-9, _ -, a letter or digit first"),
        Key("Prefix of every key, one for each recommender.", Panel.STORE, "NAME"),
    ] = DEFAULT_NAMESPACE
    home: Annotated[
        Path | None,
        Field(description="a folder"),
        Key(
            "Folder of artifacts, downloads and the embedded store.",
            Panel.STORE,
            "DIR",
            unset="the user's data folder",
            example="/var/lib/reco",
        ),
    ] = None
    data: Annotated[
        str | None,
        Field(min_length=1, description="a folder, or the name of a data set"),
        Key(
            "Folder with ratings.csv and movies.csv (or .csv.gz, .parquet); or demo, "
            "ml-latest-small, ml-25m, ml-32m.",
            Panel.DATA,
            "DIR",
            unset="none, it must be said",
            example="/srv/ratings",
        ),
    ] = None
    threads: Annotated[
        int | None,
        Field(ge=1, description="a whole number from 1"),
        Key("Threads of scoring.", Panel.LEARNING, "N", unset="one for each processor", example=2),
    ] = None
    parameters: Annotated[
        Path | None,
        Field(description="a file that `batch tune` wrote"),
        Key(
            "Hyper-parameters other than the preset's.",
            Panel.LEARNING,
            "FILE",
            unset="none",
            example="tuned.json",
        ),
    ] = None
    quiet: Annotated[
        bool,
        Key(
            "Print warnings and errors only, nothing of a run that goes well.",
            Panel.PROGRESS,
            short="-q",
        ),
    ] = False
    log_format: Annotated[
        Literal["plain", "json"],
        Field(description="plain or json"),
        Key("Form of what goes to standard error.", Panel.PROGRESS, "FORM"),
    ] = "plain"
    metrics_file: Annotated[
        Path | None,
        Field(description="a file in a folder that exists"),
        Key(
            "Prometheus textfile, written after every run.",
            Panel.MONITORING,
            "FILE",
            unset="none",
            example="/var/lib/prometheus/node-exporter/reco.prom",
        ),
    ] = None
    gate: GateBounds = GateBounds()
    tune: TuneKeys = TuneKeys()
    notify: NotifyKeys = NotifyKeys()

    @field_validator("namespace")
    @classmethod
    def _of_keys(cls, namespace: str) -> str:
        try:
            return Keys(namespace).namespace
        except UsageError as error:
            raise ValueError(namespace) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # all of these are pydantic-settings' own
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `layers` has read, and nothing else: it remembers which source said what."""
        return (init_settings,)
