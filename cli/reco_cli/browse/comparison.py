"""Differences of two lists of a user, as marks of their rows. Pure functions."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from reco_store import Item

ENTERED: Final = "new"
LEFT: Final = "gone"
UP: Final = "up"
DOWN: Final = "down"
_MINUS: Final = "\N{MINUS SIGN}"


class Mark(NamedTuple):
    """Difference of one row from the other list."""

    kind: str
    """new or gone (only in this list), up or down (by ranks), or empty."""
    text: str


class Compared(NamedTuple):
    """Marks of two lists, and how much they share."""

    first: tuple[Mark, ...]
    second: tuple[Mark, ...]
    shared: int
    """Number of movies in both."""


def compare(first: Sequence[Item], second: Sequence[Item]) -> Compared:
    """Mark each row of two lists by its place in the other one.

    Args:
        first: the list to start from; its rows that the second lacks are gone.
        second: the list to compare; its rows that the first lacks are new, others may have moved.
    """
    before = {item.movie_id: rank for rank, item in enumerate(first)}
    after = {item.movie_id for item in second}
    gone, none = Mark(LEFT, "only here"), Mark("", "")
    return Compared(
        tuple(none if item.movie_id in after else gone for item in first),
        tuple(_marks(second, before)),
        len(before.keys() & after),
    )


def _marks(items: Sequence[Item], before: dict[str, int]) -> Iterator[Mark]:
    for rank, item in enumerate(items):
        if item.movie_id not in before:
            yield Mark(ENTERED, "only here")
        elif ranks := before[item.movie_id] - rank:
            yield Mark(UP, f"+{ranks}") if ranks > 0 else Mark(DOWN, f"{_MINUS}{-ranks}")
        else:
            yield Mark("", "")
