"""Shared options of the `reco` commands, and the environment variables that set them.

`takes` adds those that a command needs.
"""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import typer

from reco_cli.page import ListOptions
from reco_store.errors import StoreNotReady
from reco_terminal.console import guard

if TYPE_CHECKING:
    from reco_store import Reader
    from reco_store.connection.waiting import Waiting

_STORE: Final = "Store"  # section of the help
DEFAULT_NAMESPACE: Final = "reco"
#: Options of every command but `status`.
READING: Final = ("as_json", "redis_url", "namespace", "generation", "home")
#: Options of every listing.
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


def _option(metavar: str, text: str, **more: Any) -> Any:  # noqa: ANN401 - as typer's
    """Return an option that is named as its field."""
    return typer.Option(metavar=metavar, help=text, **more)


class Where(NamedTuple):
    """Store that a command reads.

    Attributes:
        redis_url: address of a server; None or empty for the embedded store.
        namespace: prefix of every key.
        generation: generation to read, live or not; None for the live one.
        home: folder of the embedded store; None for the default one.
    """

    redis_url: str | None
    namespace: str
    home: str | None
    generation: str | None = None

    @property
    def label(self) -> str:
        """Address without its password, or `embedded`."""
        from reco_store import mask_url  # noqa: PLC0415 - loads redis

        return mask_url(self.redis_url) if self.redis_url else "embedded"

    def __repr__(self) -> str:
        which = f"namespace={self.namespace!r}, generation={self.generation!r}"
        return f"Where({self.label}, {which}, home={self.home!r})"

    def open(self) -> "Reader":
        """Return a reader of the store.

        Raises:
            UsageError: the address, the namespace or the generation has an unknown form.
            StoreError: the store cannot be read.
        """
        # Loads redis, which takes longer than everything else: help and completion need no store.
        from reco_store import Reader  # noqa: PLC0415

        home = None if self.home is None else Path(self.home).expanduser()
        return Reader(self.redis_url or None, self.namespace, home=home, generation=self.generation)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # an address has a password
class Options:
    """Values of the shared options, in the order of the help. Without an option: its default."""

    n: Annotated[int, typer.Option("-n", metavar="N", help="Number of movies to show.")] = 10
    exclude: Annotated[list[str] | None, _option("ID", "Movie to leave out; may be repeated.")] = (
        None
    )
    genre: Annotated[
        list[str] | None, _option("GENRE", "Genre to show; if repeated, any of them.")
    ] = None
    from_year: Annotated[int | None, _option("YEAR", "First year of movies to show.")] = None
    to_year: Annotated[int | None, _option("YEAR", "Last year of movies to show.")] = None
    available: Annotated[
        bool, typer.Option("--available", help="Show only movies in the set of available movies.")
    ] = False
    available_in: Annotated[
        str | None, _option("NAME", "Show only movies in the set of this name.")
    ] = None
    available_missing: Annotated[
        Literal["all", "none"], _option("KIND", "Show all or none if that set does not exist.")
    ] = "all"
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
    redis_url: Annotated[
        str | None,
        _option(
            "URL",
            "Redis or Valkey server to read. Default: the embedded store.",
            envvar="REDIS_URL",
            rich_help_panel=_STORE,
        ),
    ] = None
    namespace: Annotated[
        str,
        _option(
            "NAME",
            "Recommender to read, if several share a server.",
            envvar="RECO_NAMESPACE",
            rich_help_panel=_STORE,
        ),
    ] = DEFAULT_NAMESPACE
    namespaces: Annotated[  # replaces `namespace` in commands that read several at once
        list[str] | None,
        typer.Option(
            "--namespace",
            metavar="NAME",
            help="Recommender to read; may be repeated, to compare them. "
            f"Default: {DEFAULT_NAMESPACE}.",
            envvar="RECO_NAMESPACE",
            rich_help_panel=_STORE,
        ),
    ] = None
    generation: Annotated[
        str | None,
        _option(
            "GENERATION",
            "Generation to read, such as a staged one. Default: the live one.",
            rich_help_panel=_STORE,
        ),
    ] = None
    # Text, not Path: typer would convert a path with pydantic (see `quick_commands`).
    home: Annotated[
        str | None,
        _option(
            "DIR",
            "Folder of the embedded store. Default: the user's data folder.",
            envvar="RECO_HOME",
            rich_help_panel=_STORE,
        ),
    ] = None

    @property
    def list_options(self) -> ListOptions:
        """Options of a listing. Naming a set of available movies implies `available`."""
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
        """Store to read."""
        # Files of variables with foreign line ends leave blanks around the values.
        return Where(
            None if self.redis_url is None else self.redis_url.strip(),
            self.namespace.strip() or DEFAULT_NAMESPACE,
            None if self.home is None else self.home.strip() or None,
            self.generation,
        )


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add shared options to a command, after its own.

    The command gets `Options` as its first argument. `RecoError`s that it raises become exit codes.

    Args:
        names: fields of `Options`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]

        @wraps(command)
        def run(**arguments: Any) -> None:  # noqa: ANN401 - from typer
            options = Options(**{name: arguments.pop(name) for name in names})
            with guard():
                _patiently(lambda: command(options, **arguments))

        shared = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for field in fields(Options)
            if field.name in names
        ]
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        return run

    return decorate


def _patiently(command: Callable[[], None]) -> None:
    """Run a command, and repeat it for up to a minute while the store is not ready.

    A command prints only after it has read everything, so nothing is printed twice.
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
    """Return whether a parameter was given as an option, not by the environment."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"
