"""The options that several `batch` commands share, and what they mean together."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from reco_store import Keys, StoreUnfit, connect, mask_url
from reco_store.client import Client

DEFAULT_NAMESPACE = "reco"
DEFAULT_KEEP = 3

Data = Annotated[
    str,
    typer.Option(
        envvar="RECO_DATA",
        help="Folder with ratings.csv and movies.csv (or .csv.gz, .parquet); or demo, "
        "ml-latest-small, ml-25m, ml-32m.",
    ),
]
PresetName = Annotated[
    str, typer.Option(help="Hyper-parameters: default, or notebook for the notebook's.")
]
Parameters = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Hyper-parameters other than the preset's (`batch tune`)."),
]
SplitName = Annotated[
    str, typer.Option(help="Held-out ratings: random, or time for each user's latest fifth.")
]
RatingScale = Annotated[str, typer.Option(metavar="LOW:HIGH", help="Ratings outside are refused.")]
Encoding = Annotated[str, typer.Option(help="Of CSV files.")]
Threads = Annotated[int | None, typer.Option(help="Of scoring; by default one for each processor.")]
RedisUrl = Annotated[
    str | None,
    typer.Option(envvar="REDIS_URL", help="Redis to publish to; without it, the embedded store."),
]
Namespace = Annotated[
    str, typer.Option(envvar="RECO_NAMESPACE", help="Prefix of every key, one for each model.")
]
Home = Annotated[
    Path | None,
    typer.Option(
        envvar="RECO_HOME",
        help="Folder of artifacts, downloads and the embedded store; by default the user's own.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Keep = Annotated[int, typer.Option(min=1, help="Generations to keep, the live one among them.")]
GateBound = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECO_GATE_BOUNDS",
        metavar="NAME=VALUE",
        help="Another bound of the gate, such as churn=0.9; may be repeated.",
    ),
]
Force = Annotated[
    str | None,
    typer.Option(metavar="REASON", help="Serve it whatever the gate finds; this stays on record."),
]
GenerationId = Annotated[
    str, typer.Argument(metavar="GENERATION", help="Such as 20261124T031502Z-7f3a.")
]

MovieIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of movies.")]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command publishes to."""

    redis_url: str | None
    namespace: str
    home: Path

    @classmethod
    def of(cls, redis_url: str | None, namespace: str, home: Path | None) -> "Target":
        """Fill in the user's own folder where none is given."""
        return cls(redis_url or None, namespace, (home or _default_home()).absolute())

    @property
    def keys(self) -> Keys:
        """The namespace's keys."""
        return Keys(self.namespace)

    @property
    def artifacts(self) -> Path:
        """The folder of all artifacts."""
        return self.home / "artifacts"

    @property
    def label(self) -> str:
        """What to call the store, without its password."""
        return mask_url(self.redis_url) if self.redis_url else f"embedded in {self.home / 'store'}"

    @property
    def reading_options(self) -> str:
        """The options that make `reco` read here, as far as the environment does not say them."""
        said = [
            ("--redis-url", "REDIS_URL", self.redis_url, self.label),
            ("--namespace", "RECO_NAMESPACE", self.namespace, self.namespace),
            ("--home", "RECO_HOME", None if self.redis_url else str(self.home), str(self.home)),
        ]
        usual = {"--namespace": DEFAULT_NAMESPACE, "--home": str(_default_home())}
        return "".join(
            f" {option} {shlex.quote(shown)}"
            for option, variable, value, shown in said
            if value and value not in (os.environ.get(variable), usual.get(option))
        )

    def connect(self) -> Client:
        """Return a client of the named Redis, or of the embedded store, started if need be."""
        return connect(self.redis_url, home=self.home)

    def make_durable(self, client: Client) -> None:
        """Write the embedded store to disk; a server in production has its own configuration.

        Raises:
            StoreUnfit: the disk is full or the folder cannot be written.
        """
        if self.redis_url is None:
            from reco_store.embedded import save  # noqa: PLC0415

            try:
                save(client)
            except StoreUnfit as error:
                raise StoreUnfit(
                    "what is published is in memory only: the embedded store cannot be written "
                    f"to {self.home / 'store'}",
                    "Make room there, then run `batch store stop`.",
                ) from error


def _default_home() -> Path:
    from platformdirs import user_data_path  # noqa: PLC0415  # not needed for --help

    return user_data_path("reco")
