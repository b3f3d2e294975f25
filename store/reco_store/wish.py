"""What is asked of a list, once it was checked: which keys answer it, and which sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reco_store.keys import BY_MOST_RATED, next_suffix, popular_suffix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reco_store.choice import Filters
    from reco_store.pinning import Command
    from reco_store.view import View

__all__ = ["Sets", "Wish"]


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
