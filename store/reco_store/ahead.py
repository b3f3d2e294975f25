"""Computing the next piece while the last one is used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ahead"]

_T = TypeVar("_T")
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
