"""Run lock of a namespace: a lease, and a fencing token for a run that lost it.

The client chooses the token, so acquiring can be repeated after a lost reply. A lease cannot stop
a run that was paused for longer than it; the fencing token does, because the script that changes
what readers see (``change.lua``) compares tokens first. Acquiring never waits: if another run
holds the lock, the error names that run.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from reco_store.connection.client import CLIENT_ERRORS, Client, require_bytes, store_errors
from reco_store.connection.scripts import ACQUIRE, RENEW, UNLOCK, reply_text, run_script
from reco_store.connection.servers import runs_scripts_when_full
from reco_store.connection.waiting import WRITER_SECONDS
from reco_store.errors import Fenced, LockHeld

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from reco_store.contract.keys import Keys

__all__ = ["RunLock"]

DEFAULT_LEASE_SECONDS: Final = 60.0
RENEWALS_PER_LEASE: Final = 3


class RunLock:
    """Lock of one namespace, held while the ``with`` block runs.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        lease_seconds: time after which the lock of a killed run expires.
        heartbeat: renew the lease in a background thread, for long computations. A stopped process
            stops its heartbeat too.
        clock: monotonic clock, in seconds.

    Raises:
        UsageError: the client decodes replies.
        LockHeld: on entering, if another run holds the lock.
        StoreUnreachable, StoreUnfit: on entering, if the store does not answer or refuses.
    """

    def __init__(
        self,
        client: Client,
        keys: Keys,
        *,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        heartbeat: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_bytes(client)
        self.token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self.lease_seconds = lease_seconds
        self.client = client
        self.keys = keys
        self._clock = clock
        self._renewed_at = -float("inf")
        self._fenced_by: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True) if heartbeat else None

    def __enter__(self) -> Self:
        with store_errors(self.client):
            asked_at = self._clock()
            holder, left_ms = self._run(ACQUIRE, self._lease())
        if reply_text(holder) != self.token:
            raise LockHeld(reply_text(holder), max(0.0, left_ms / 1000))
        self._renewed_at = asked_at
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.release()

    def release(self) -> None:
        """Release the lock for the next run and stop renewing the lease.

        Called on leaving the block, and by a thread that ends the process without leaving it.
        """
        self._stop.set()
        self._fenced_by = self._fenced_by or "none: this run released its lock"
        with suppress(*CLIENT_ERRORS):  # the lease expires by itself
            self._run(UNLOCK, (), patience_seconds=0)

    def renew(self) -> None:
        """Renew the lease now.

        Raises:
            Fenced: another run took over.
            StoreUnreachable, StoreUnfit: the store does not answer or refuses.
        """
        with store_errors(self.client):
            self._renew()
        self._require_mine()

    def tick(self) -> None:
        """Renew the lease if a third of it has passed; cheap enough to call for every batch.

        Raises:
            Fenced: another run took over.
            StoreUnreachable, StoreUnfit: the store does not answer or refuses.
        """
        self._require_mine()
        if self._clock() - self._renewed_at > self.lease_seconds / RENEWALS_PER_LEASE:
            self.renew()

    def check(self) -> None:
        """Require that this run still holds the lock in the store; the same as ``renew``.

        Raises:
            Fenced: another run took over.
            StoreUnreachable, StoreUnfit: the store does not answer or refuses.
        """
        self.renew()

    def _renew(self, *, patience_seconds: float = WRITER_SECONDS) -> None:
        asked_at = self._clock()  # before the call: the lease begins on the server later
        owner = reply_text(self._run(RENEW, self._lease(), patience_seconds=patience_seconds))
        if owner != self.token:
            self._fenced_by = owner
        else:
            self._renewed_at = asked_at

    def _require_mine(self) -> None:
        if self._fenced_by is not None:
            raise Fenced(self._fenced_by)

    def _beat(self) -> None:
        while not self._stop.wait(self.lease_seconds / RENEWALS_PER_LEASE):
            try:
                self._renew(patience_seconds=0)  # the end of the run must not wait for this thread
            except CLIENT_ERRORS:
                continue  # the next beat or the run's next check finds out
            if self._fenced_by is not None:
                return

    def _lease(self) -> tuple[str]:
        return (str(max(1, round(self.lease_seconds * 1000))),)

    def _run(
        self,
        script: str,
        arguments: tuple[str, ...],
        *,
        patience_seconds: float = WRITER_SECONDS,
    ) -> Any:  # noqa: ANN401  replies of scripts differ
        return run_script(
            self.client,
            script,
            (self.keys.lock,) if script == UNLOCK else (self.keys.lock, self.keys.fence),
            (self.token, *arguments),
            allow_when_full=runs_scripts_when_full(self.client),
            patience_seconds=patience_seconds,
        )
