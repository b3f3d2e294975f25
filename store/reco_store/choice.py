"""What a caller may ask of every list: how many, and which movies it may show.

Pure: checks what was asked, and tells by a movie's label whether it may be shown. What is hidden or
available is known by the store alone (``listing.py``).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, TypedDict

from reco_store.arguments import id_texts, list_length, name_texts, year_number
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reco_store.keys import Keys
    from reco_store.view import Label

__all__ = ["Choice", "Filters"]

DEFAULT_N: Final = 10
SHOW_ALL: Final = "all"
SHOW_NONE: Final = "none"

#: An id in a call; integers of NumPy are taken as well.
Id: TypeAlias = "str | int"


class Choice(TypedDict, total=False):
    """The options of every list; each may be left out."""

    n: int
    """How many; fewer only if no more of what is published may be shown. 10."""
    exclude: Iterable[Id]
    """Movies not to be shown."""
    genres: Iterable[str]
    """Only movies of at least one of these, in any case; none means all."""
    year_from: int | None
    """Only movies of this year or a later one; a movie without a year is left out."""
    year_to: int | None
    """Only movies of this year or an earlier one."""
    available: bool | str
    """Only movies in the set of available movies, or in the set of this name."""
    available_missing: Literal["all", "none"]
    """Movies to show if that set is missing or empty, which Redis does not distinguish: "all", the
    default, or "none". The answer's notes contain ``available_missing`` either way."""


class Filters(NamedTuple):
    """A choice that was checked."""

    n: int
    exclude: frozenset[str]
    genres: tuple[str, ...]
    year_from: int | None
    year_to: int | None
    available: str | None  # key of the set
    available_missing: str = SHOW_ALL

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
    exclude: Iterable[Id] = (),
    genres: Iterable[str] = (),
    year_from: int | None = None,
    year_to: int | None = None,
    available: bool | str = False,
    available_missing: str = SHOW_ALL,
    **unknown: object,
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
        available_missing: "all" or "none".
        unknown: options that do not exist, such as a misspelt one.

    Raises:
        UsageError: an option does not exist, its value has another type or range, a text is given
            where several are expected, or the years are in the wrong order.
    """
    if unknown:
        raise UsageError(
            f"option {', '.join(map(repr, unknown))}: expected one of "
            f"{', '.join(Choice.__annotations__)}"
        )
    if available_missing not in (SHOW_ALL, SHOW_NONE):
        raise UsageError(f"available_missing {available_missing!r}: expected 'all' or 'none'")
    first, last = year_number(year_from, "year_from"), year_number(year_to, "year_to")
    if first is not None and last is not None and first > last:
        raise UsageError(f"years {first} to {last}: expected the earlier one first")
    return Filters(
        list_length(n),
        frozenset(id_texts(exclude, "exclude")),
        name_texts(genres, "genres"),
        first,
        last,
        _set_of(keys, available),
        available_missing,
    )


def _set_of(keys: Keys, available: object) -> str | None:
    """Return the key of the set of available movies; None if any movie may be shown."""
    if available is None or available is False:
        return None
    if available is True:
        return keys.available()
    if not isinstance(available, str):
        raise UsageError(f"available {available!r}: expected True, False or the name of a set")
    return keys.available(available)
