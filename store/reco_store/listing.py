"""How a list is answered: its own movies first, then the chain of what stands in for them.

    own list -> most rated of the genres asked for -> most rated of all

All of them pass the same filters: what the caller excludes, genres, years, the set of available
movies, the hide list; and what stands in for a user's list leaves out what the user has seen.

A filtered answer takes two steps of a reader that knows the generation. The first reads every list
of the chain and the sizes of the sets; the second the labels that are not remembered yet, and which
candidates are in the sets. A warm reader needs the first alone where no set has to be asked, and
a list that is not filtered is read without its chain while nothing is hidden.
"""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from reco_store.answers import MOST_RATED, MOST_RATED_IN_GENRE, Answer, Item
from reco_store.arrivals import blend_lists
from reco_store.choice import Filters
from reco_store.codec import decode_head, decode_ids
from reco_store.keys import BY_MOST_RATED, next_suffix, popular_suffix
from reco_store.pinning import MAX_MOVES, Moved, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reco_store.pinning import Command, Pinned, Pinning, Request
    from reco_store.view import Label

__all__ = ["Listing", "Wish"]

#: Candidates that are looked at in one step, where filters may refuse many of them ...
_WINDOW: Final = 500
#: ... and how many more than are wanted, where only the hide list may.
_SLACK: Final = 50
_WHOLE: Final = 1 << 30


class Wish(NamedTuple):
    """A list that is asked for."""

    suffix: str
    source: str
    filters: Filters
    seen: str | None = None  # suffix of what the user rated
    itself: str | None = None  # the movie whose list it is
    fill: bool = True  # where the list is short; a missing one has a stand-in always
    ratings: Mapping[str, float] | None = None  # of somebody who has no list of their own

    @property
    def excluded(self) -> frozenset[str]:
        """Which single movies may not be shown."""
        excluded = self.filters.exclude
        if self.ratings is not None:
            return excluded.union(self.ratings)
        return excluded if self.itself is None else excluded | {self.itself}

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The own list, those that stand in for it, and what the user rated."""
        genres = (popular_suffix(BY_MOST_RATED, genre) for genre in self.filters.genres)
        seen = () if self.seen is None else (self.seen,)
        own = (self.suffix,) if self.ratings is None else map(next_suffix, self.ratings)
        return (*own, *genres, popular_suffix(BY_MOST_RATED), *seen)


#: A movie's id, its score, and the source of both. No class: hundreds are looked at for an answer.
_Candidate: TypeAlias = "tuple[str, float, str]"


class _Sets(NamedTuple):
    """Which sets have to be asked; None: not this one."""

    hidden: str | None
    available: str | None

    def commands(self, ids: Sequence[str]) -> tuple[Command, ...]:
        """Return the commands that ask, none if there are no ids."""
        return tuple(("SMISMEMBER", key, *ids) for key in self if key is not None and ids)

    def kept(self, ids: Sequence[str], replies: Sequence[Sequence[int]]) -> set[str]:
        """Return which movies may be shown, by the replies to the commands."""
        kept, answers = set(ids), iter(replies)
        for key, wanted in ((self.hidden, 0), (self.available, 1)):
            if key is not None and ids:
                inside = zip(ids, next(answers), strict=True)
                kept &= {movie_id for movie_id, found in inside if found == wanted}
        return kept


class Listing:
    """Answers wishes, and remembers whether anything is hidden.

    Args:
        pinning: of the namespace.
    """

    def __init__(self, pinning: Pinning) -> None:
        self._pinning = pinning
        self._current = pinning.keys.current
        self._hidden = pinning.keys.hidden
        self._how_many_hidden: tuple[Command, ...] = (("SCARD", self._hidden),)
        self._hiding = False

    def answer(self, wish: Wish) -> Request[Answer]:
        """Answer a wish.

        Raises:
            RecoError: as ``Pinning.pin``.
        """
        view = self._pinning.view
        plain = not wish.filters.restricts and wish.ratings is None
        if view is not None and plain and not self._hiding:
            # The warm path, kept short: one step, and no nested generator.
            names = (self._current, view.key(wish.suffix))
            pointer, value, hidden = yield Step(names, self._how_many_hidden)
            if pointer == view.pointer and value is not None and not hidden:
                ids, scores = _head(value, wish)
                if len(ids) == wish.filters.n:
                    try:
                        items = _items(view.labels, zip(ids, scores, repeat(wish.source)))
                        return Answer(view.generation, self._pinning.age(view), tuple(items))
                    except KeyError:  # a label that is not known yet
                        pass
        return (yield from self._answer_slowly(wish))

    def _answer_slowly(self, wish: Wish) -> Request[Answer]:
        available = wish.filters.available
        sizes = self._how_many_hidden
        if available is not None:
            sizes = (*sizes, ("SCARD", available))
        for _ in range(MAX_MOVES):
            pinned = yield from self._pinning.pin(wish.suffixes, sizes)
            view, _, (hidden, *others) = pinned
            self._hiding = bool(hidden)
            sets = _Sets(self._hidden if hidden else None, available if any(others) else None)
            try:
                items = yield from self._choose(wish, pinned, sets)
            except Moved:
                continue
            return Answer(view.generation, self._pinning.age(view), tuple(items))
        raise self._pinning.never_still()

    def _choose(self, wish: Wish, pinned: Pinned, sets: _Sets) -> Request[list[Item]]:
        """Return the best that pass; rather than nothing, movies that the user has seen."""
        if wish.ratings is not None:
            filters = wish.filters
            looked_at = _WINDOW if filters.restricts else filters.n + _SLACK
            arrival = yield from blend_lists(self._pinning, pinned, wish.ratings, looked_at)
            rest = pinned.values[len(wish.ratings) :]
            pinned = pinned._replace(values=[(arrival.ids, arrival.scores), *rest])
            items = yield from self._pick(wish, pinned, sets, missing=False)
            return [item._replace(because=arrival.reasons.get(item.movie_id)) for item in items]
        missing = None in pinned.values
        items = yield from self._pick(wish, pinned, sets, missing=missing)
        if not items and wish.seen is not None and not wish.filters.restricts:
            wish, pinned = wish._replace(seen=None), pinned._replace(values=pinned.values[:-1])
            return (yield from self._pick(wish, pinned, sets, missing=False))
        return items

    def _pick(
        self, wish: Wish, pinned: Pinned, sets: _Sets, *, missing: bool
    ) -> Request[list[Item]]:
        """Look at candidates, so many at a time, until there are enough that pass."""
        view, n = pinned.view, wish.filters.n
        admits = wish.filters.admission()
        items: list[Item] = []
        rest = _candidates(wish, pinned.values, view.labels, admits)
        while len(items) < n:
            window = _window(rest, view.labels, sets, wanted=n - len(items), sure=admits is None)
            if not (window or missing):
                break
            ids = [movie_id for movie_id, _, _ in window]
            labels, replies = yield from self._pinning.labels(
                view, ids, sets.commands(ids), missing=missing
            )
            missing = False  # that step has made sure
            kept = sets.kept(ids, replies)
            passed = [
                candidate
                for candidate in window
                if candidate[0] in kept and (admits is None or admits(labels[candidate[0]]))
            ]
            items += _items(labels, passed[: n - len(items)])
        return items


def _items(labels: Mapping[str, Label], candidates: Iterable[tuple[str, float, str]]) -> list[Item]:
    new = tuple.__new__  # half the time of Item(), which only names its arguments
    return [
        new(Item, (movie_id, score, source, *labels[movie_id][:3], None))
        for movie_id, score, source in candidates
    ]


def _window(
    rest: Iterator[_Candidate],
    labels: Mapping[str, Label],
    sets: _Sets,
    *,
    wanted: int,
    sure: bool,
) -> list[_Candidate]:
    """Take as many candidates as one step should look at.

    Args:
        rest: candidates that are not refused so far.
        labels: those that are remembered.
        sets: those that will be asked.
        wanted: how many have to pass.
        sure: whether those without a remembered label pass as well.
    """
    if sets.available is not None:
        return list(islice(rest, _WINDOW))
    if sets.hidden is not None:
        return list(islice(rest, _WINDOW if not sure else wanted + _SLACK))
    if sure:
        return list(islice(rest, wanted))
    window = []
    for candidate in islice(rest, _WINDOW):
        window.append(candidate)
        wanted -= candidate[0] in labels
        if not wanted:
            break
    return window


def _candidates(
    wish: Wish,
    values: Sequence[bytes | None],
    labels: Mapping[str, Label],
    admits: Callable[[Label], bool] | None,
) -> Iterator[_Candidate]:
    """Yield the movies of the chain, each once, but those whose remembered label is refused."""
    taken = set(wish.excluded)
    for ids, scores, source in _chain(wish, values, taken):
        for movie_id, score in zip(ids, scores, strict=True):
            if movie_id in taken:
                continue
            taken.add(movie_id)
            label = labels.get(movie_id)
            if admits is None or label is None or admits(label):
                yield movie_id, score, source


def _chain(
    wish: Wish, values: Sequence[bytes | None], taken: set[str]
) -> Iterator[tuple[list[str], list[float], str]]:
    """Yield the columns of each list in turn, decoded when it is reached.

    What the user has seen is taken before anything that stands in for the own list.
    """
    own, *popular = values if wish.seen is None else values[:-1]
    if own is not None:
        columns = own if isinstance(own, tuple) else decode_head(own, _WHOLE)
        yield *columns, wish.source
        if not wish.fill:
            return
    if wish.seen is not None and values[-1] is not None:
        taken.update(decode_ids(values[-1]))
    *of_genres, of_all = [value and decode_head(value, _WHOLE) for value in popular]
    if of_genres:
        pairs = [pair for columns in of_genres if columns for pair in zip(*columns, strict=True)]
        pairs.sort(key=lambda pair: -pair[1])
        yield [pair[0] for pair in pairs], [pair[1] for pair in pairs], MOST_RATED_IN_GENRE
    if of_all:
        yield *of_all, MOST_RATED


def _head(value: bytes, wish: Wish) -> tuple[list[str], list[float]]:
    """Return the first of a stored list that are not excluded."""
    excluded, n = wish.excluded, wish.filters.n
    ids, scores = decode_head(value, n + len(excluded))
    if not excluded:
        return ids, scores
    kept = [place for place, movie_id in enumerate(ids) if movie_id not in excluded][:n]
    return [ids[place] for place in kept], [scores[place] for place in kept]
