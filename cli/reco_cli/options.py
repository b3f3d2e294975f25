"""The options that the commands share: the only place that reads the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
