"""What a caller may ask of every list: how many, and which movies it may show.

Pure: checks what was asked, and tells by a movie's label whether it may be shown. What is hidden or
available is known by the store alone (``listing.py``).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reco_store.keys import Keys
    from reco_store.view import Label

__all__ = ["Choice", "Filters"]

DEFAULT_N: Final = 10


class Choice(TypedDict, total=False):
    """The options of every list; each may be left out."""

    n: int
    """How many; fewer only if no more of what is published may be shown. 10."""
    exclude: Iterable[str]
    """Movies not to be shown."""
    genres: Iterable[str]
    """Only movies of at least one of these, spelt as published; none means all."""
    year_from: int | None
    """Only movies of this year or a later one; a movie without a year is left out."""
    year_to: int | None
    """Only movies of this year or an earlier one."""
    available: bool | str
    """Only what stands in the set of available movies, or in the one of this name; a set that
    does not exist restricts nothing."""


class Filters(NamedTuple):
    """A choice that was checked."""

    n: int
    exclude: frozenset[str]
    genres: tuple[str, ...]
    year_from: int | None
    year_to: int | None
    available: str | None  # key of the set

    @property
    def restricts(self) -> bool:
        """Whether anything but the number and single movies is asked for."""
        years = self.year_from is not None or self.year_to is not None
        return years or bool(self.genres) or self.available is not None

    def admission(self) -> Callable[[Label], bool] | None:
        """Return what tells by a movie's label whether it may be shown; None if any may.

        Made once for an answer, as it is asked of hundreds of movies.
        """
        genres, low, high = frozenset(self.genres), self.year_from, self.year_to
        if low is None and high is None:
            return (lambda label: not genres.isdisjoint(label[2])) if genres else None
        first, last = -inf if low is None else low, inf if high is None else high

        def admits(label: Label) -> bool:
            _, year, own, _ = label
            if year is None or not first <= year <= last:
                return False
            return not (genres and genres.isdisjoint(own))

        return admits


def check_choice(
    keys: Keys,
    *,
    n: int = DEFAULT_N,
    exclude: Iterable[str] = (),
    genres: Iterable[str] = (),
    year_from: int | None = None,
    year_to: int | None = None,
    available: bool | str = False,
) -> Filters:
    """Check what is asked of a list.

    Args:
        keys: of the namespace, which name the sets of available movies.
        n: these and the following: see ``Choice``.
        exclude: movies.
        genres: names.
        year_from: the first year.
        year_to: the last year.
        available: whether, or the name of the set.

    Raises:
        UsageError: ``n`` is below 1, the years are in the wrong order, a text stands where
            several are expected, or the set's name has another form.
    """
    if n <= 0:
        raise UsageError(f"n {n}: expected 1 or more")
    for name, texts in (("exclude", exclude), ("genres", genres)):
        if isinstance(texts, str):  # whose letters would be taken for ids
            raise UsageError(f"{name} {texts!r}: expected several texts, such as [{texts!r}]")
    if year_from is not None and year_to is not None and year_from > year_to:
        raise UsageError(f"years {year_from} to {year_to}: expected the earlier one first")
    return Filters(
        n,
        frozenset(exclude),
        tuple(genres),
        year_from,
        year_to,
        None if available is False else keys.available(None if available is True else available),
    )
