"""Queries of lists: how many items, which filters, and the keys that answer them.

Pure functions and values. Hidden and available items are known to the store alone
(``list_answer``).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict

from reco_store.contract.arguments import id_texts, list_length, name_texts, year_number
from reco_store.contract.keys import BY_MOST_RATED, next_suffix, popular_suffix
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reco_store.contract.arguments import Id
    from reco_store.contract.keys import Keys
    from reco_store.read.pinning import Command
    from reco_store.read.snapshot import Label, View

__all__ = ["Choice", "Filters", "Sets", "Wish", "check_choice"]

DEFAULT_N: Final = 10
SHOW_ALL: Final = "all"
SHOW_NONE: Final = "none"


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


class Wish(NamedTuple):
    """A list that is asked for."""

    suffix: str
    source: str
    filters: Filters
    seen: str | None = None  # suffix of what the user rated
    itself: str | None = None  # the movie whose list it is
    fill: bool = True  # where the list is short; a missing one has a stand-in always
    ratings: Mapping[str, float] | None = None  # of somebody who has no list of their own
    because: str | None = None  # suffix of the reasons, if they are asked for
    popular: tuple[str, str] | None = None  # kind and genre, as asked for, of the list of a genre

    def spelt(self, view: View, *, verified: bool) -> Wish:
        """Return the wish with its genres as a generation spells them.

        Raises:
            UsageError: as ``View.spelt``.
        """
        wish = self
        if self.filters.genres:
            genres = view.spelt(self.filters.genres, verified=verified)
            wish = wish._replace(filters=self.filters._replace(genres=genres))
        if self.popular is not None:
            by, genre = self.popular
            (genre, *_) = view.spelt((genre,), verified=verified)
            wish = wish._replace(suffix=popular_suffix(by, genre))
        return wish

    @property
    def excluded(self) -> frozenset[str]:
        """Which single movies may not be shown."""
        excluded = self.filters.exclude
        if self.ratings is not None:
            return excluded.union(self.ratings)
        return excluded if self.itself is None else excluded | {self.itself}

    @property
    def first(self) -> int:
        """How many of the own list are enough, if all but the excluded ones may be shown."""
        return self.filters.n + len(self.excluded)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The own list, those that stand in for it, what the user rated, and the reasons."""
        genres = (popular_suffix(BY_MOST_RATED, genre) for genre in self.filters.genres)
        seen = () if self.seen is None else (self.seen,)
        own = (self.suffix,) if self.ratings is None else map(next_suffix, self.ratings)
        because = () if self.because is None else (self.because,)
        return (*own, *genres, popular_suffix(BY_MOST_RATED), *seen, *because)


class Sets(NamedTuple):
    """Which sets have to be asked; None: not this one."""

    hidden: str | None
    available: str | None

    def commands(self, ids: Sequence[str]) -> tuple[Command, ...]:
        """Return the commands that ask, none if there are no ids."""
        return tuple(("SMISMEMBER", key, *ids) for key in self if key is not None and ids)

    def kept(
        self, ids: Sequence[str], replies: Sequence[Sequence[int]]
    ) -> tuple[set[str], set[str]]:
        """Return which movies may be shown, and which may be named: all that are not hidden."""
        kept, answers = set(ids), iter(replies)
        named = kept
        for key, wanted in ((self.hidden, 0), (self.available, 1)):
            if key is not None and ids:
                inside = zip(ids, next(answers), strict=True)
                kept = kept & {movie_id for movie_id, found in inside if found == wanted}
            if key is self.hidden:
                named = kept
        return kept, named
