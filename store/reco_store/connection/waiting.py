"""Waiting for a server that replies that it is not ready.

A server that loads its data after a start, a replica that lost its primary, a cluster in a failover
and a server blocked by a script usually recover within a minute. Other errors are raised at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from redis import exceptions

from reco_store.connection.explain import is_passing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["READER_SECONDS", "WRITER_SECONDS", "Waiting"]

WRITER_SECONDS: Final = 60.0
#: Long enough for a failover of a small store, short enough that requests do not pile up.
READER_SECONDS: Final = 2.0
_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Waiting:
    """Retry timer: pauses between attempts to reach a server, up to a limit.

    Args:
        limit_seconds: seconds after which waiting ends.
        with_lost: also wait after lost connections, until Sentinels name another primary.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        limit_seconds: float,
        *,
        with_lost: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._with_lost = with_lost
        self._clock = clock
        self._until = clock() + limit_seconds
        self._pause = _SHORTEST_PAUSE

    def pause(self, error: Exception) -> float | None:
        """Return the seconds until the next attempt; None if another attempt is useless."""
        left = self._until - self._clock()
        if left <= 0 or not (is_passing(error) or (self._with_lost and _is_lost(error))):
            return None
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return min(pause, left)


def _is_lost(error: Exception) -> bool:
    return isinstance(
        error, exceptions.ConnectionError | exceptions.TimeoutError
    ) and not isinstance(error, exceptions.AuthenticationError)
