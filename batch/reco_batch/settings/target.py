"""Store, namespace and folder that a command works on."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reco_batch.settings.all_settings import DEFAULT_NAMESPACE, Settings
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
    """Store to publish to, and folder for artifacts, downloads and the embedded store."""

    redis_url: str | None
    """Address of a server; None for the embedded store."""
    namespace: str
    """Prefix of every key."""
    folder: Path | None
    """Absolute home folder; None if no setting names one and the account has no home."""

    @classmethod
    def of(cls, redis_url: str | None, namespace: str, home: Path | None) -> "Target":
        """Return a target, with the user's data folder if none is given."""
        folder = _default_home() if home is None else _expanded(home)
        return cls(redis_url or None, namespace, None if folder is None else folder.absolute())

    @classmethod
    def from_settings(cls, settings: Settings) -> "Target":
        """Return the target of the settings."""
        return cls.of(settings.redis_url, settings.namespace, settings.home)

    @property
    def keys(self) -> Keys:
        """Keys of the namespace."""
        return Keys(self.namespace)

    @property
    def home(self) -> Path:
        """Folder of artifacts, downloads and the embedded store.

        Raises:
            UsageError: no setting names one, and the account has no home.
        """
        return default_home() if self.folder is None else self.folder

    @property
    def artifacts(self) -> Path:
        """Folder of all artifacts."""
        return self.home / "artifacts"

    @property
    def label(self) -> str:
        """Name of the store for messages, without its password."""
        return mask_url(self.redis_url) if self.redis_url else f"embedded in {self.home / 'store'}"

    @property
    def reading_options(self) -> str:
        """Options that make `reco` read this store, except those that the environment sets."""
        options = [
            ("--redis-url", "REDIS_URL", self.redis_url, self.label),
            ("--namespace", "RECO_NAMESPACE", self.namespace, self.namespace),
            ("--home", "RECO_HOME", None if self.redis_url else str(self.home), str(self.folder)),
        ]
        defaults = {"--namespace": DEFAULT_NAMESPACE, "--home": str(_default_home())}
        return "".join(
            f" {option} {shlex.quote(shown)}"
            for option, variable, value, shown in options
            if value and value not in (os.environ.get(variable, "").strip(), defaults.get(option))
        )

    def connect(
        self, report: Callable[[str], None] | None = None, *, start: bool = False
    ) -> Client:
        """Return a client of the server, or of the embedded store, which is started if necessary.

        Waits for a server that is not ready.

        Args:
            report: receives a line about the wait; None: the line goes to standard error.
            start: start an embedded store that has nothing to serve. For commands that publish:
                if REDIS_URL is missing, others must not show an empty store instead.

        Raises:
            NothingPublished: the embedded store has nothing to serve, and ``start`` is False.
            UsageError: the address or the namespace has an unknown form.
            StoreUnreachable: the server does not answer.
        """
        waiting, reported = Waiting(WRITER_SECONDS), False
        while True:
            try:
                return self._connect(start=start)
            except StoreNotReady as error:
                pause = waiting.pause(error)
                if pause is None:
                    raise
                if not reported:
                    line = f"{self.label}: {error.reason}; waiting for up to {WRITER_SECONDS:g} s"
                    (report or _to_stderr)(line)
                reported = True
                time.sleep(pause)

    def _connect(self, *, start: bool) -> Client:
        home = self.folder if self.redis_url else self.home
        client = connect(self.redis_url, home=home, start=start)
        # Only tests that the server answers; the command itself finds everything else.
        with suppress(StoreUnfit, ContractMismatch), store_errors(client):
            client.get(self.keys.current)
        return client

    def make_durable(self, client: Client) -> None:
        """Save a change in the embedded store to disk; other servers are configured for this.

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


def _default_home() -> Path | None:
    """Return the user's data folder; None for an account without a home."""
    try:
        return default_home()
    except UsageError:  # reported to the commands that need the folder
        return None


def _expanded(home: Path) -> Path:
    """Return a folder with `~` expanded.

    Raises:
        UsageError: the home folder of the account is not known.
    """
    try:
        return home.expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"--home {str(home)!r}: the home folder for ~ is not known; expected HOME "
            "in the environment, or a path that begins with /"
        ) from error
