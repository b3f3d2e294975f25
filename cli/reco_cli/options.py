"""The options that the commands share, each said once; the only place that reads the environment.

`takes` gives a command the ones it needs.
"""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from reco_cli.page import ListOptions
from reco_store.errors import StoreNotReady
from reco_terminal.console import guard

if TYPE_CHECKING:
    from reco_store import Reader
    from reco_store.connection.waiting import Waiting

_WHERE: Final = "Where it is read"  # heading of three options in the help
DEFAULT_NAMESPACE: Final = "reco"
#: What of `Told` every command but `status` takes.
READING: Final = ("as_json", "redis_url", "namespace", "home")
#: What every listing takes.
LISTING: Final = (
    "n",
    "exclude",
    "from_year",
    "to_year",
    "available",
    "available_in",
    "available_missing",
    *READING,
)


@dataclass(frozen=True, slots=True)
class Where:
    """The store that a command reads.

    Attributes:
        redis_url: address of a server, or None or empty for the embedded store.
        namespace: the recommender in it.
        home: folder of the embedded store, or None for the default one.
    """

    redis_url: str | None
    namespace: str
    home: str | None

    @property
    def label(self) -> str:
        """The address without its password; `embedded` for the embedded store."""
        from reco_store import mask_url  # noqa: PLC0415 - loads redis

        return mask_url(self.redis_url) if self.redis_url else "embedded"

    def __repr__(self) -> str:
        return f"Where({self.label}, namespace={self.namespace!r}, home={self.home!r})"

    def open(self) -> "Reader":
        """Return a reader of the store.

        Raises:
            UsageError: the address or the namespace has an unknown form.
            StoreError: the store cannot be read.
        """
        # Loads redis, which takes longer than all else: help and completion do without.
        from reco_store import Reader  # noqa: PLC0415

        home = None if self.home is None else Path(self.home).expanduser()
        return Reader(self.redis_url or None, self.namespace, home=home)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # an address has a password
class Told:
    """What the shared options say, in the order of the help; one that is not taken, its default."""

    n: Annotated[int, typer.Option("-n", metavar="N", help="How many movies to show.")] = 10
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="ID", help="A movie to leave out; may be repeated."),
    ] = None
    genre: Annotated[
        list[str] | None,
        typer.Option(
            "--genre", metavar="GENRE", help="Only movies of this genre; repeated: of one of these."
        ),
    ] = None
    from_year: Annotated[
        int | None,
        typer.Option("--from-year", metavar="YEAR", help="Only movies from this year on."),
    ] = None
    to_year: Annotated[
        int | None, typer.Option("--to-year", metavar="YEAR", help="Only movies up to this year.")
    ] = None
    available: Annotated[
        bool, typer.Option("--available", help="Only what is in the set of available movies.")
    ] = False
    available_in: Annotated[
        str | None,
        typer.Option(
            "--available-in", metavar="NAME", help="Only what is in the set of this name."
        ),
    ] = None
    available_missing: Annotated[
        Literal["all", "none"],
        typer.Option(
            "--available-missing",
            metavar="KIND",
            help="Show all or none if that set does not exist.",
        ),
    ] = "all"
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
    redis_url: Annotated[
        str | None,
        typer.Option(
            "--redis-url",
            envvar="REDIS_URL",
            metavar="URL",
            rich_help_panel=_WHERE,
            help="Redis or Valkey server: redis://, rediss://, unix://, redis+cluster:// or "
            "redis-sentinel://. "
            "Default: the embedded store.",
        ),
    ] = None
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            envvar="RECO_NAMESPACE",
            metavar="NAME",
            rich_help_panel=_WHERE,
            help="Recommender to read, where several share a server.",
        ),
    ] = DEFAULT_NAMESPACE
    namespaces: Annotated[  # in its place: where several can be read at once
        list[str] | None,
        typer.Option(
            "--namespace",
            envvar="RECO_NAMESPACE",
            metavar="NAME",
            rich_help_panel=_WHERE,
            help="Recommender to read, where several share a server; repeated: side by side. "
            f"Default: {DEFAULT_NAMESPACE}.",
        ),
    ] = None
    # Text, not Path: typer would convert a path with pydantic (see `quick`).
    home: Annotated[
        str | None,
        typer.Option(
            "--home",
            envvar="RECO_HOME",
            metavar="DIR",
            rich_help_panel=_WHERE,
            help="Folder of the embedded store. Default: the user's data folder.",
        ),
    ] = None

    @property
    def list_options(self) -> ListOptions:
        """What a listing is to show; the name of a set of available movies says `available` too."""
        own = "" if self.available else None
        return ListOptions(
            self.namespace,
            self.n,
            exclude=tuple(self.exclude or ()),
            genres=tuple(self.genre or ()),
            year_from=self.from_year,
            year_to=self.to_year,
            available=own if self.available_in is None else self.available_in,
            available_missing=self.available_missing,
        )

    @property
    def where(self) -> Where:
        """The store to read."""
        # Variables of files with foreign line ends have these around their values.
        return Where(
            None if self.redis_url is None else self.redis_url.strip(),
            self.namespace.strip() or DEFAULT_NAMESPACE,
            None if self.home is None else self.home.strip() or None,
        )


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command shared options, behind its own.

    The command is called with what it was `Told`, and with its own parameters; whatever it raises
    on purpose becomes its exit code.

    Args:
        names: of fields of `Told`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]

        @wraps(command)
        def run(**said: Any) -> None:  # noqa: ANN401 - what typer has parsed
            told = Told(**{name: said.pop(name) for name in names})
            with guard():
                _patiently(lambda: command(told, **said))

        shared = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for field in fields(Told)
            if field.name in names
        ]
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        return run

    return decorate


def _patiently(command: Callable[[], None]) -> None:
    """Run a command, again while the store cannot answer yet, for up to a minute.

    A command prints only when it has all that it needs, so nothing is printed twice.
    """
    patience: Waiting | None = None
    while True:
        try:
            command()
        except StoreNotReady as error:
            from reco_store.connection import waiting  # noqa: PLC0415 - loads redis

            limit = waiting.WRITER_SECONDS
            if patience is None:
                patience = waiting.Waiting(limit)
                line = f"{error.url}: {error.reason}; waiting for up to {limit:g} s"
                typer.echo(f"note: {line}", err=True)
            pause = patience.pause(error)
            if pause is None:
                raise
            time.sleep(pause)
        else:
            return


def is_on_command_line(context: typer.Context, parameter: str) -> bool:
    """Tell whether a command's parameter was given as an option, not by the environment."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"
