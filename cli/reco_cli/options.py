"""The options that the commands share: the only place that reads the environment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_cli.page import Asked

if TYPE_CHECKING:
    from reco_store import Reader

_WHERE = "Where it is read"  # heading of three options in the help
DEFAULT_COUNT = 10
DEFAULT_NAMESPACE = "reco"

Count = Annotated[int, typer.Option("-n", metavar="N", help="How many movies to show.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="ID", help="A movie to leave out; may be repeated."),
]
Genre = Annotated[
    list[str] | None,
    typer.Option(
        "--genre", metavar="GENRE", help="Only movies of this genre; repeated: of one of these."
    ),
]
FromYear = Annotated[
    int | None, typer.Option("--from-year", metavar="YEAR", help="Only movies from this year on.")
]
ToYear = Annotated[
    int | None, typer.Option("--to-year", metavar="YEAR", help="Only movies up to this year.")
]
Available = Annotated[
    bool, typer.Option("--available", help="Only what is in the set of available movies.")
]
AvailableIn = Annotated[
    str | None,
    typer.Option("--available-in", metavar="NAME", help="Only what is in the set of this name."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        envvar="REDIS_URL",
        metavar="URL",
        rich_help_panel=_WHERE,
        help="Redis or Valkey server: redis://, rediss://, unix:// or redis+cluster://. "
        "Default: the embedded store.",
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        envvar="RECO_NAMESPACE",
        metavar="NAME",
        rich_help_panel=_WHERE,
        help="Recommender to read, where several share a server.",
    ),
]
Namespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace",
        envvar="RECO_NAMESPACE",
        metavar="NAME",
        rich_help_panel=_WHERE,
        help="Recommender to read, where several share a server; repeated: side by side. "
        f"Default: {DEFAULT_NAMESPACE}.",
    ),
]
# Text, not Path: typer would convert a path with pydantic (see `quick`).
Home = Annotated[
    str | None,
    typer.Option(
        "--home",
        envvar="RECO_HOME",
        metavar="DIR",
        rich_help_panel=_WHERE,
        help="Folder of the embedded store. Default: the user's data folder.",
    ),
]


def asked_for(
    namespace: str,
    n: int,
    exclude: Sequence[str] | None,
    genres: Sequence[str] | None,
    years: tuple[int | None, int | None],
    *,
    available: bool,
    name: str | None,
) -> Asked:
    """Gather the options of a listing.

    Args:
        namespace: of the recommender.
        n: how many movies.
        exclude: ids not to be shown, or None.
        genres: names, or None.
        years: the first and the last.
        available: whether to show available movies only.
        name: of another set of available movies, which says `available` too.
    """
    chosen = name if name is not None else "" if available else None
    return Asked(namespace, n, tuple(exclude or ()), tuple(genres or ()), *years, chosen)


def is_on_command_line(context: typer.Context, parameter: str) -> bool:
    """Tell whether a command's parameter was given as an option, not by the environment."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


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
