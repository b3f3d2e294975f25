"""How a list is answered: its own movies first, then the chain of what stands in for them.

    own list -> most rated of the genres asked for -> most rated of all

All of them pass the same filters: what the caller excludes, genres, years, the set of available
movies, the hide list; and fallbacks for a user's list leave out movies that the user has seen. So
an answer may be short, or empty for a user who rated everything; its notes contain the reason.

A filtered answer takes two steps of a reader that knows the generation. The first reads every list
of the chain and the sizes of the sets; the second the labels that are not remembered yet, and which
candidates are in the sets. A warm reader needs the first alone where no set has to be asked, and
a list that is not filtered is read without its chain while nothing is hidden. Why a movie is in a
user's list is read in the same steps: the reasons beside the list, their labels beside its labels.
"""

from __future__ import annotations

from itertools import islice, repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from reco_store.contract.codec import decode_head, decode_ids, decode_reasons
from reco_store.contract.keys import EVERYBODY
from reco_store.errors import DataLost
from reco_store.read.answers import (
    ALL_SEEN,
    AVAILABLE_MISSING,
    DATA_LOST,
    MOST_RATED,
    MOST_RATED_IN_GENRE,
    USED_UP,
    Answer,
    Item,
    Reason,
)
from reco_store.read.cold_start import blend_lists
from reco_store.read.list_query import SHOW_NONE, Sets
from reco_store.read.pinning import MAX_MOVES, Moved, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from reco_store.read.list_query import Wish
    from reco_store.read.pinning import Command, Pinned, Pinning, Request
    from reco_store.read.snapshot import Label

__all__ = ["Listing"]

#: Candidates that are looked at in one step, where filters may refuse many of them ...
_WINDOW: Final = 500
#: ... and how many more than are wanted, where only the hide list may.
_SLACK: Final = 50
_WHOLE: Final = 1 << 30


#: A movie's id, its score, and the source of both. No class: hundreds are looked at for an answer.
_Candidate: TypeAlias = "tuple[str, float, str]"


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
            DataLost: the list and its fallbacks are gone.
            UsageError: no genre has a name that is asked for.
        """
        asked, view = wish, self._pinning.view
        if view is not None:
            wish = asked.spelt(view, verified=False)
        plain = not wish.filters.restricts and wish.ratings is None
        if view is not None and plain and not self._hiding:
            # The warm path, kept short: one step, and no nested generator.
            names: tuple[str | bytes, ...] = (self._current, view.key(wish.suffix))
            if wish.because is not None and view.has_reasons:
                names = (*names, view.key(wish.because))
            pointer, value, *because, hidden = yield Step(names, self._how_many_hidden)
            whole = value is not None and None not in because
            if pointer == view.pointer and whole and not hidden:
                ids, scores = _head(value, wish)
                if len(ids) == wish.filters.n:
                    try:
                        items = _items(view.labels, zip(ids, scores, repeat(wish.source)))
                        if because:
                            reasons = _reasons(value, because[0], wish.first)
                            items = _explained(items, reasons, view.labels)
                        return Answer(view.generation, self._pinning.age(view), tuple(items))
                    except KeyError:  # a label that is not known yet
                        pass
        return (yield from self._answer_slowly(asked))

    def _answer_slowly(self, asked: Wish) -> Request[Answer]:
        available = asked.filters.available
        sizes = self._how_many_hidden
        if available is not None:
            sizes = (*sizes, ("SCARD", available))
        for _ in range(MAX_MOVES):
            known = self._pinning.view
            wish = asked if known is None else asked.spelt(known, verified=False)
            pinned = yield from self._pinning.pin(wish.suffixes, sizes)
            view, _, (hidden, *others) = pinned
            if asked.spelt(view, verified=True) != wish:
                continue  # the lists of these genres have other names
            self._hiding = bool(hidden)
            missing = available is not None and not any(others)
            sets = Sets(self._hidden if hidden else None, None if missing else available)
            items: list[Item] = []
            if not missing or wish.filters.available_missing != SHOW_NONE:
                try:
                    items = yield from self._choose(wish, pinned, sets)
                except Moved:
                    continue
            notes = (AVAILABLE_MISSING,) if missing else ()
            notes = (*notes, *_shortage(wish, pinned, len(items)))
            return Answer(view.generation, self._pinning.age(view), tuple(items), notes)
        raise self._pinning.never_still()

    def _choose(self, wish: Wish, pinned: Pinned, sets: Sets) -> Request[list[Item]]:
        """Return the best that pass."""
        if wish.ratings is not None:
            filters = wish.filters
            looked_at = _WINDOW if filters.restricts else filters.n + _SLACK
            arrival = yield from blend_lists(self._pinning, pinned, wish.ratings, looked_at)
            rest = pinned.values[len(wish.ratings) :]
            pinned = pinned._replace(values=[(arrival.ids, arrival.scores), *rest])
            return (
                yield from self._pick(wish, pinned, sets, missing=False, reasons=arrival.reasons)
            )
        reasons: Mapping[str, str] = {}
        missing = None in pinned.values
        if wish.because is not None:
            *values, because = pinned.values
            missing = None in (pinned.values if pinned.view.has_reasons else values)
            reasons = _reasons(values[0], because)
            pinned = pinned._replace(values=values)
        return (yield from self._pick(wish, pinned, sets, missing=missing, reasons=reasons))

    def _pick(
        self,
        wish: Wish,
        pinned: Pinned,
        sets: Sets,
        *,
        missing: bool,
        reasons: Mapping[str, str] = MappingProxyType({}),
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
            if reasons:
                own = (reasons[movie_id] for movie_id in ids if movie_id in reasons)
                ids = list(dict.fromkeys((*ids, *own)))
            labels, replies = yield from self._pinning.labels(
                view, ids, sets.commands(ids), missing=missing
            )
            missing = False  # that step has made sure
            kept, named = sets.kept(ids, replies)
            passed = [
                candidate
                for candidate in window
                if candidate[0] in kept and (admits is None or admits(labels[candidate[0]]))
            ]
            picked = _items(labels, passed[: n - len(items)])
            items += _explained(picked, reasons, labels, named) if reasons else picked
        return items


def _shortage(wish: Wish, pinned: Pinned, shown: int) -> tuple[str, ...]:
    """Return why an answer has fewer movies than asked for; nothing if it has them all.

    Raises:
        DataLost: it has none, because the store lost the lists.
    """
    if shown == wish.filters.n:
        return ()
    values = dict(zip(wish.suffixes, pinned.values, strict=True))
    notes = [USED_UP]
    if wish.fill or values[wish.suffix] is None:
        try:
            pinned.view.require("popular", values[EVERYBODY], EVERYBODY)
        except DataLost:
            if not shown:
                raise
            notes.append(DATA_LOST)
    seen = None if wish.seen is None else values[wish.seen]
    only_seen = not (shown or wish.filters.restricts or wish.excluded)
    if only_seen and seen is not None and decode_ids(seen):
        notes.append(ALL_SEEN)
    return tuple(notes)


def _items(labels: Mapping[str, Label], candidates: Iterable[tuple[str, float, str]]) -> list[Item]:
    new = tuple.__new__  # half the time of Item(), which only names its arguments
    return [
        new(Item, (movie_id, score, source, *labels[movie_id][:3], None))
        for movie_id, score, source in candidates
    ]


def _reasons(value: bytes | None, because: bytes | None, most: int = _WHOLE) -> Mapping[str, str]:
    """Return why a stored list's first movies are in it, by movie, as far as that is known."""
    if value is None or because is None:
        return {}
    ids, _ = decode_head(value, most)
    pairs = zip(ids, decode_reasons(because), strict=False)
    return {movie_id: reason for movie_id, reason in pairs if reason is not None}


def _explained(
    items: Iterable[Item],
    reasons: Mapping[str, str],
    labels: Mapping[str, Label],
    named: Container[str] | None = None,
) -> list[Item]:
    """Add the reasons to the movies that have one.

    Args:
        items: of which those of a stand-in for the own list have none.
        reasons: by movie.
        labels: of these as well.
        named: the movies that are not hidden; None: no movie is.
    """
    return [
        item._replace(because=Reason(reason, labels[reason][0]))
        if (reason := reasons.get(item.movie_id)) is not None and (named is None or reason in named)
        else item
        for item in items
    ]


def _window(
    rest: Iterator[_Candidate],
    labels: Mapping[str, Label],
    sets: Sets,
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
    ids, scores = decode_head(value, wish.first)
    if not excluded:
        return ids, scores
    kept = [place for place, movie_id in enumerate(ids) if movie_id not in excluded][:n]
    return [ids[place] for place in kept], [scores[place] for place in kept]
