"""List queries: number of movies, filters, and the keys that answer them.

Pure functions and values. The sets of hidden and available movies are in the store; ``list_answer``
reads them.
"""

from __future__ import annotations

from itertools import islice
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict

from reco_store.contract.arguments import id_texts, list_length, name_texts, year_number
from reco_store.contract.keys import BY_MOST_RATED, next_suffix, popular_suffix
from reco_store.errors import UsageError
from reco_store.read.recent import MAX_RECENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reco_store.contract.arguments import Id
    from reco_store.contract.keys import Keys
    from reco_store.read.pinning import Command
    from reco_store.read.snapshot import Label, Snapshot

__all__ = ["CheckedFilters", "ListFilters", "ListQuery", "Sets", "check_filters"]

DEFAULT_N: Final = 10
SHOW_ALL: Final = "all"
SHOW_NONE: Final = "none"


class ListFilters(TypedDict, total=False):
    """Options of every list; each may be left out."""

    n: int
    """Number of movies, 10 by default. Fewer are returned only if no more may be shown."""
    exclude: Iterable[Id]
    """Movies to leave out."""
    genres: Iterable[str]
    """Return only movies of at least one of these genres, in any case; empty means all."""
    year_from: int | None
    """Return only movies of this year or later ones; movies without a year are left out."""
    year_to: int | None
    """Return only movies of this year or earlier ones; movies without a year are left out."""
    available: bool | str
    """Return only movies in the set of available movies (True), or in the set of this name."""
    available_missing: Literal["all", "none"]
    """Movies to show if that set is missing or empty, which Redis does not distinguish: "all", the
    default, or "none". The answer's notes contain ``available_missing`` either way."""


class CheckedFilters(NamedTuple):
    """List filters after their check."""

    n: int
    exclude: frozenset[str]
    genres: tuple[str, ...]
    year_from: int | None
    year_to: int | None
    available: str | None
    """Key of the set of available movies; None: any movie may be shown."""
    available_missing: str = SHOW_ALL

    @property
    def restricts(self) -> bool:
        """True if movies are filtered by year, genre or availability."""
        years = self.year_from is not None or self.year_to is not None
        return years or bool(self.genres) or self.available is not None

    def admission(self) -> Callable[[Label], bool] | None:
        """Return a predicate on labels for the genre and year filters; None if any movie passes.

        It is built once an answer, which may check hundreds of movies.
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


def check_filters(
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
) -> CheckedFilters:
    """Check the options of a list.

    Args:
        keys: keys of the namespace, with the names of the sets of available movies.
        n: for this and the following, see ``ListFilters``.
        exclude: movie ids.
        genres: genre names.
        year_from: the first year.
        year_to: the last year.
        available: True, False, or the name of a set.
        available_missing: "all" or "none".
        unknown: options that do not exist, such as misspelled ones.

    Raises:
        UsageError: an option does not exist, its value has the wrong type or range, a string is
            given in place of several, or the years are in the wrong order.
    """
    if unknown:
        raise UsageError(
            f"option {', '.join(map(repr, unknown))}: expected one of "
            f"{', '.join(ListFilters.__annotations__)}"
        )
    if available_missing not in (SHOW_ALL, SHOW_NONE):
        raise UsageError(f"available_missing {available_missing!r}: expected 'all' or 'none'")
    first, last = year_number(year_from, "year_from"), year_number(year_to, "year_to")
    if first is not None and last is not None and first > last:
        raise UsageError(f"years {first} to {last}: expected the earlier one first")
    return CheckedFilters(
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


class ListQuery(NamedTuple):
    """Query of one list: its key, its filters and its fallbacks."""

    suffix: str
    """Suffix of the list's key; empty with ``ratings``."""
    source: str
    """Source of the list's movies in the answer."""
    filters: CheckedFilters
    seen: str | None = None
    """Suffix of the user's rated movies, which fallbacks leave out."""
    itself: str | None = None
    """Movie whose similar movies are requested; it is left out."""
    fill: bool = True
    """Fill a short list with fallbacks; a missing list is always replaced."""
    ratings: Mapping[str, float] | None = None
    """Movie id -> stars of a user without a list (cold start)."""
    because: str | None = None
    """Suffix of the explanations, if requested."""
    recent: Mapping[str, float | None] = MappingProxyType({})
    """Movie id -> stars or None of what the user did since the run, newest first."""
    popular: tuple[str, str] | None = None
    """Kind and genre, as spelled by the caller, of the popular list of a genre."""
    stand_in: str = BY_MOST_RATED
    """Kind of popular lists that precede the most rated movies; from the manifest."""

    def spelled(self, snapshot: Snapshot, *, verified: bool) -> ListQuery:
        """Return the query with its genres spelled, and its fallbacks, as in a generation.

        Raises:
            UsageError: see ``Snapshot.spelled``.
        """
        query = self
        if self.stand_in != snapshot.stand_in:
            query = query._replace(stand_in=snapshot.stand_in)
        if self.filters.genres:
            genres = snapshot.spelled(self.filters.genres, verified=verified)
            query = query._replace(filters=self.filters._replace(genres=genres))
        if self.popular is not None:
            by, genre = self.popular
            (genre, *_) = snapshot.spelled((genre,), verified=verified)
            query = query._replace(suffix=popular_suffix(by, genre))
        return query

    @property
    def excluded(self) -> frozenset[str]:
        """Movies to leave out: excluded, rated, recent, or the movie itself."""
        excluded = self.filters.exclude
        if self.recent:
            return excluded.union(self.recent)
        if self.ratings is not None:
            return excluded.union(self.ratings)
        return excluded if self.itself is None else excluded | {self.itself}

    @property
    def first(self) -> int:
        """Number of movies of the own list that suffice if only excluded ones are left out."""
        return self.filters.n + len(self.excluded)

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Kinds of popular lists that replace a missing list, in their order."""
        return tuple(dict.fromkeys((self.stand_in, BY_MOST_RATED)))

    @property
    def newest(self) -> tuple[str, ...]:
        """Recent movies whose lists are read."""
        return tuple(islice(self.recent, MAX_RECENT))

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the own list, those of recent movies, fallbacks, rated movies, explanations.

        With ratings, those of the rated movies take the place of the own list.
        """
        popular = (
            popular_suffix(by, genre)
            for by in self.fallbacks
            for genre in (*self.filters.genres, None)
        )
        seen = () if self.seen is None else (self.seen,)
        own = (self.suffix,) if self.ratings is None else map(next_suffix, self.ratings)
        because = () if self.because is None else (self.because,)
        return (*own, *map(next_suffix, self.newest), *popular, *seen, *because)


class Sets(NamedTuple):
    """Keys of the sets to check; None: the set need not be checked."""

    hidden: str | None
    available: str | None

    def commands(self, ids: Sequence[str]) -> tuple[Command, ...]:
        """Return the commands that check movies in the sets; none if there are no ids."""
        return tuple(("SMISMEMBER", key, *ids) for key in self if key is not None and ids)

    def kept(
        self, ids: Sequence[str], replies: Sequence[Sequence[int]]
    ) -> tuple[set[str], set[str]]:
        """Return the movies that may be shown, and those that are not hidden."""
        kept, answers = set(ids), iter(replies)
        named = kept
        for key, wanted in ((self.hidden, 0), (self.available, 1)):
            if key is not None and ids:
                inside = zip(ids, next(answers), strict=True)
                kept = kept & {movie_id for movie_id, found in inside if found == wanted}
            if key is self.hidden:
                named = kept
        return kept, named
