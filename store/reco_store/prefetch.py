"""Prefetching: compute the next pieces in other threads while the caller uses the last one."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["prefetch", "prefetch_map"]

_T = TypeVar("_T")
_U = TypeVar("_U")
_END: Final = object()


def prefetch(pieces: Iterable[_T]) -> Iterator[_T]:
    """Yield the pieces of an iterable, each computed in another thread while the last one is used.

    Useful if either side releases the interpreter lock: sockets, hashes of long texts, NumPy,
    Arrow. At most one piece waits, and an error is raised in place of its piece.

    Args:
        pieces: the iterable; advanced by one thread at a time, never by the caller's.
    """
    rest = iter(pieces)
    with ThreadPoolExecutor(1) as pool:  # an early end waits for the piece in progress
        coming = pool.submit(next, rest, _END)
        while (piece := coming.result()) is not _END:
            coming = pool.submit(next, rest, _END)
            yield piece  # type: ignore[misc]


def prefetch_map(
    function: Callable[[_T], _U], pieces: Iterable[_T], *, threads: int
) -> Iterator[_U]:
    """Yield the result of a function for each piece, in order, computing the next ones meanwhile.

    Useful if the function releases the interpreter lock. At most twice as many results as threads
    are in progress or wait. An error of the function is raised in place of its result, an error of
    the pieces at once.

    Args:
        function: called in other threads.
        pieces: the iterable; advanced in the caller's thread.
        threads: number of threads.
    """
    coming: deque[Future[_U]] = deque()
    with ThreadPoolExecutor(threads) as pool:  # an early end waits for results in progress
        for piece in pieces:
            coming.append(pool.submit(function, piece))
            if len(coming) == 2 * threads:  # wait until the first of them is done
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
