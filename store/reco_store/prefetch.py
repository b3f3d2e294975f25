"""Computing the next pieces while the last one is used."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["ahead", "mapped_ahead"]

_T = TypeVar("_T")
_U = TypeVar("_U")
_END: Final = object()


def ahead(pieces: Iterable[_T]) -> Iterator[_T]:
    """Yield what an iterable yields, taking the next from it in another thread meanwhile.

    Worth it where either side lets go of the interpreter's lock: sockets, hashes of long texts,
    NumPy, Arrow. Never more than one piece is waiting, and an error comes where the piece would.

    Args:
        pieces: taken from by one thread at a time, never the caller's.
    """
    rest = iter(pieces)
    with ThreadPoolExecutor(1) as pool:  # ending early waits for the piece that is under way
        coming = pool.submit(next, rest, _END)
        while (piece := coming.result()) is not _END:
            coming = pool.submit(next, rest, _END)
            yield piece  # type: ignore[misc]


def mapped_ahead(
    function: Callable[[_T], _U], pieces: Iterable[_T], *, threads: int
) -> Iterator[_U]:
    """Yield what a function makes of each piece, in order, computing the next ones meanwhile.

    Worth it where the function lets go of the interpreter's lock. Never more than twice as many
    results as threads are under way or waiting. An error of the function comes where its result
    would, one of the pieces as soon as it is there.

    Args:
        function: called in another thread.
        pieces: taken from in the caller's thread.
        threads: at work at a time.
    """
    coming: deque[Future[_U]] = deque()
    with ThreadPoolExecutor(threads) as pool:  # ending early waits for those under way
        for piece in pieces:
            coming.append(pool.submit(function, piece))
            if len(coming) == 2 * threads:  # none waits until the first of them is done
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
