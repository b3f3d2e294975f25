"""The store and the folder that a command works on, as the settings name them."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reco_batch.settings.fields import DEFAULT_NAMESPACE, Settings
from reco_store import (
    ContractMismatch,
    Keys,
    StoreNotReady,
    StoreUnfit,
    UsageError,
    connect,
    mask_url,
    store_errors,
)
from reco_store.connection.client import Client
from reco_store.connection.home import default_home
from reco_store.connection.waiting import WRITER_SECONDS, Waiting


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command publishes to."""

    redis_url: str | None
    namespace: str
    folder: Path | None
    """Home folder of reco's files; None if none is named and the account has no home folder."""

    @classmethod
    def of(cls, redis_url: str | None, namespace: str, home: Path | None) -> "Target":
        """Fill in the user's own folder where none is given."""
        folder = _usual_home() if home is None else _expanded(home)
        return cls(redis_url or None, namespace, None if folder is None else folder.absolute())

    @classmethod
    def from_settings(cls, settings: Settings) -> "Target":
        """Return where the settings say."""
        return cls.of(settings.redis_url, settings.namespace, settings.home)

    @property
    def keys(self) -> Keys:
        """The namespace's keys."""
        return Keys(self.namespace)

    @property
    def home(self) -> Path:
        """The folder of reco's own files.

        Raises:
            UsageError: none is named, and the account has no home.
        """
        return default_home() if self.folder is None else self.folder

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
            ("--home", "RECO_HOME", None if self.redis_url else str(self.home), str(self.folder)),
        ]
        usual = {"--namespace": DEFAULT_NAMESPACE, "--home": str(_usual_home())}
        return "".join(
            f" {option} {shlex.quote(shown)}"
            for option, variable, value, shown in said
            if value and value not in (os.environ.get(variable, "").strip(), usual.get(option))
        )

    def connect(self, say: Callable[[str], None] | None = None, *, start: bool = False) -> Client:
        """Return a client of the named Redis, or of the embedded store, started if need be.

        A server that cannot answer yet is waited for.

        Args:
            say: takes a line about the wait; None: it goes to standard error.
            start: start an embedded store that has nothing to serve yet. Only commands that
                publish do: if REDIS_URL is missing, others must not show an empty store instead.

        Raises:
            NothingPublished: the embedded store has nothing to serve, and ``start`` is False.
            UsageError, StoreUnreachable: as `reco_store.connect`, and by a first command.
        """
        waiting, told = Waiting(WRITER_SECONDS), False
        while True:
            try:
                return self._connect(start=start)
            except StoreNotReady as error:
                pause = waiting.pause(error)
                if pause is None:
                    raise
                if not told:
                    line = f"{self.label}: {error.reason}; waiting for up to {WRITER_SECONDS:g} s"
                    (say or _to_stderr)(line)
                told = True
                time.sleep(pause)

    def _connect(self, *, start: bool) -> Client:
        home = self.folder if self.redis_url else self.home
        client = connect(self.redis_url, home=home, start=start)
        # Only whether it answers by now; everything else is for the command itself to find.
        with suppress(StoreUnfit, ContractMismatch), store_errors(client):
            client.get(self.keys.current)
        return client

    def make_durable(self, client: Client) -> None:
        """Write a change to disk; a server in production has its own configuration.

        Args:
            client: connection to the store.

        Raises:
            StoreUnfit: the disk is full or the folder cannot be written.
        """
        if self.redis_url is None:
            from reco_store.connection.embedded.server import save  # noqa: PLC0415

            try:
                save(client)
            except StoreUnfit as error:
                raise StoreUnfit(
                    f"the change is in effect, but in memory only: {error.reason}", error.next_step
                ) from error


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"note: {line}\n")


def _usual_home() -> Path | None:
    """Return the folder where none is named; None for an account without a home."""
    try:
        return default_home()
    except UsageError:  # reported to the commands that need the folder
        return None


def _expanded(home: Path) -> Path:
    """Return a folder whose `~` is replaced.

    Raises:
        UsageError: the home folder that `~` refers to is not known.
    """
    try:
        return home.expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"--home {str(home)!r}: the home folder that ~ stands for is not known; expected HOME "
            "in the environment, or a path that begins with /"
        ) from error
