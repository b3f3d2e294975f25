"""Answers of list queries: the stored list first, then its fallbacks.

    own list -> most rated of the requested genres -> most rated of all

If the manifest names another kind of popular list as ``stand_in``, such as trending, its lists
precede the most rated ones in the same way.

All of them pass the same filters: excluded movies, genres, years, the set of available movies, the
hide list. Fallbacks of a user's list also leave out movies that the user has rated. So an answer
may be short, or empty for a user who rated everything; its notes contain the reason.

A filtered answer takes two steps if the reader has cached the generation's manifest. The first step
reads all lists and the sizes of the sets; the second reads labels that are not cached, and checks
which candidates are in the sets. With all labels cached and no set to check, the first step is
enough. Without filters and hidden movies, it reads the own list alone. Explanations are read in the
same steps: the movies with the list, their labels with its labels. The lists of recent movies are
read with the own list.
"""

from __future__ import annotations

from itertools import chain, islice, repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from reco_store.contract.codec import decode_head, decode_ids, decode_reasons
from reco_store.contract.keys import MOST_RATED_SUFFIX
from reco_store.errors import DataLost
from reco_store.read.answer_types import (
    ALL_SEEN,
    AVAILABLE_MISSING,
    DATA_LOST,
    IN_GENRE,
    NEXT,
    USED_UP,
    Answer,
    Item,
    Reason,
)
from reco_store.read.list_query import SHOW_NONE, Sets
from reco_store.read.pinning import MAX_MOVES, Moved, Step
from reco_store.read.recent import followed, reasons_of, reorder

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from reco_store.read.list_query import ListQuery
    from reco_store.read.pinning import Command, Pinned, Pinning, Request
    from reco_store.read.snapshot import Label, Snapshot

__all__ = ["ListAnswerer"]

#: Candidates checked in one step if filters may refuse many of them.
_WINDOW: Final = 500
#: Candidates checked beyond the number still needed if only the hide list may refuse some.
_SLACK: Final = 50
_WHOLE: Final = 1 << 30


#: A movie's id, its score, and their source. A plain tuple: an answer may check hundreds.
_Candidate: TypeAlias = "tuple[str, float, str]"


class ListAnswerer:
    """Answers of list queries in one namespace; caches whether any movie is hidden.

    Args:
        pinning: pins generations of the namespace.
    """

    def __init__(self, pinning: Pinning) -> None:
        self._pinning = pinning
        self._hidden = pinning.keys.hidden
        self._how_many_hidden: tuple[Command, ...] = (("SCARD", self._hidden),)
        self._hiding = False

    def answer(self, query: ListQuery) -> Request[Answer]:
        """Answer a query.

        Raises:
            RecoError: see ``Pinning.pin``.
            DataLost: the list and its fallbacks are gone.
            UsageError: a requested genre is unknown.
        """
        original, snapshot = query, self._pinning.snapshot
        if snapshot is not None:
            query = original.spelled(snapshot, verified=False)
        plain = not (query.filters.restricts or query.recent) and query.ratings is None
        if snapshot is not None and plain and not self._hiding:
            # The warm path, kept short: one step, and no nested generator.
            names: tuple[str | bytes, ...] = (self._pinning.mark, snapshot.key(query.suffix))
            if query.because is not None and snapshot.has_reasons:
                names = (*names, snapshot.key(query.because))
            mark, value, *because, hidden = yield Step(names, self._how_many_hidden)
            whole = value is not None and None not in because
            if mark == snapshot.mark and whole and not hidden:
                ids, scores = _head(value, query)
                if len(ids) == query.filters.n:
                    try:
                        items = _items(snapshot.labels, zip(ids, scores, repeat(query.source)))
                        if because:
                            reasons = _reasons(value, because[0], query.first)
                            items = _explained(items, reasons, snapshot.labels)
                        return Answer(
                            snapshot.generation,
                            self._pinning.age(snapshot),
                            tuple(items),
                            words=snapshot.words,
                        )
                    except KeyError:  # a label that is not cached yet
                        pass
        return (yield from self._answer_slowly(original))

    def _answer_slowly(self, original: ListQuery) -> Request[Answer]:
        available = original.filters.available
        sizes = self._how_many_hidden
        if available is not None:
            sizes = (*sizes, ("SCARD", available))
        for _ in range(MAX_MOVES):
            known = self._pinning.snapshot
            query = original if known is None else original.spelled(known, verified=False)
            pinned = yield from self._pinning.pin(query.suffixes, sizes)
            snapshot, _, (hidden, *others) = pinned
            if original.spelled(snapshot, verified=True) != query:
                continue  # the lists of these genres have other names
            self._hiding = bool(hidden)
            missing = available is not None and not any(others)
            sets = Sets(self._hidden if hidden else None, None if missing else available)
            items: list[Item] = []
            if not missing or query.filters.available_missing != SHOW_NONE:
                try:
                    items = yield from self._choose(query, pinned, sets)
                except Moved:
                    continue
            notes = (AVAILABLE_MISSING,) if missing else ()
            notes = (*notes, *_shortage(query, pinned, len(items)))
            age = self._pinning.age(snapshot)
            return Answer(snapshot.generation, age, tuple(items), notes, snapshot.words)
        raise self._pinning.pointer_moves_error()

    def _choose(self, query: ListQuery, pinned: Pinned, sets: Sets) -> Request[list[Item]]:
        """Return the best movies that pass the filters."""
        if query.ratings is not None:
            from reco_store.read.cold_start import blend_lists  # noqa: PLC0415  not for user lists

            filters = query.filters
            looked_at = _WINDOW if filters.restricts else filters.n + _SLACK
            cold_start = yield from blend_lists(self._pinning, pinned, query.ratings, looked_at)
            rest = pinned.values[len(query.ratings) :]
            columns = (cold_start.ids, cold_start.scores, repeat(query.source))
            pinned = pinned._replace(values=[columns, *rest])
            return (
                yield from self._pick(
                    query, pinned, sets, missing=False, reasons=cold_start.reasons
                )
            )
        reasons: Mapping[str, str] = {}
        values, missing = pinned.values, None in pinned.values
        if query.because is not None:
            *values, because = pinned.values
            missing = None in (pinned.values if pinned.snapshot.has_reasons else values)
            reasons = _reasons(values[0], because)
        if query.recent:
            values, by_recent = _with_recent(query, values, pinned.snapshot)
            reasons = {**reasons, **by_recent}
        pinned = pinned._replace(values=values)
        return (yield from self._pick(query, pinned, sets, missing=missing, reasons=reasons))

    def _pick(
        self,
        query: ListQuery,
        pinned: Pinned,
        sets: Sets,
        *,
        missing: bool,
        reasons: Mapping[str, str] = MappingProxyType({}),
    ) -> Request[list[Item]]:
        """Check candidates, a window at a time, until enough of them pass."""
        snapshot, n = pinned.snapshot, query.filters.n
        admits = query.filters.admission()
        items: list[Item] = []
        rest = _candidates(query, pinned.values, snapshot.labels, admits)
        while len(items) < n:
            window = _window(
                rest, snapshot.labels, sets, wanted=n - len(items), sure=admits is None
            )
            if not (window or missing):
                break
            ids = [movie_id for movie_id, _, _ in window]
            if reasons:
                own = (reasons[movie_id] for movie_id in ids if movie_id in reasons)
                ids = list(dict.fromkeys((*ids, *own)))
            labels, replies = yield from self._pinning.labels(
                snapshot, ids, sets.commands(ids), missing=missing
            )
            missing = False  # that step has checked the generation
            kept, named = sets.kept(ids, replies)
            passed = [
                candidate
                for candidate in window
                if candidate[0] in kept and (admits is None or admits(labels[candidate[0]]))
            ]
            picked = _items(labels, passed[: n - len(items)])
            items += _explained(picked, reasons, labels, named) if reasons else picked
        return items


def _with_recent(
    query: ListQuery, values: Sequence[Any], snapshot: Snapshot
) -> tuple[list[Any], Mapping[str, str]]:
    """Add the lists of recent movies to the own list, or to the popular list in its place.

    Args:
        query: query with recent movies.
        values: own list, lists of recent movies, fallbacks, rated movies.
        snapshot: the generation, whose rating scale decides which recent movies count.

    Returns:
        The values without the lists of recent movies; and, if explanations are requested,
        recommended movie -> recent movie.

    Raises:
        UsageError: stars are above the scale.
    """
    own, *rest = values
    newest = dict(zip(query.newest, rest, strict=False))
    rest = rest[len(newest) :]
    lists = {
        movie_id: decode_head(value, _WHOLE)
        for movie_id in followed(query.recent, snapshot.manifest.get("rating_scale"))
        if (value := newest[movie_id]) is not None
    }
    if not lists:
        return [own, *rest], {}
    source = query.source
    if own is None:
        of_all = rest[len(query.filters.genres) : -1 : len(query.filters.genres) + 1]
        kinds = zip(of_all, query.fallbacks, strict=True)
        own, source = next((pair for pair in kinds if pair[0] is not None), (None, source))
    columns = ([], []) if own is None else decode_head(own, _WHOLE)
    seen = () if rest[-1] is None else decode_ids(rest[-1])
    if values[0] is None:  # a popular list has what the user has rated
        columns = _without(columns, seen)
    reordered = reorder(columns, source, lists.values(), NEXT, seen)
    return [tuple(reordered), *rest], reasons_of(columns, lists) if query.because else {}


def _without(
    columns: tuple[Sequence[str], Sequence[float]], seen: Iterable[str]
) -> tuple[list[str], list[float]]:
    """Return ids and scores of a list without those of some movies."""
    left_out = set(seen)
    kept = [pair for pair in zip(*columns, strict=True) if pair[0] not in left_out]
    return [movie_id for movie_id, _ in kept], [score for _, score in kept]


def _shortage(query: ListQuery, pinned: Pinned, shown: int) -> tuple[str, ...]:
    """Return why an answer has fewer movies than requested; empty if it is complete.

    Raises:
        DataLost: the answer is empty because the store lost the lists.
    """
    if shown == query.filters.n:
        return ()
    values = dict(zip(query.suffixes, pinned.values, strict=True))
    notes = [USED_UP]
    if query.fill or values[query.suffix] is None:
        try:
            pinned.snapshot.require("popular", values[MOST_RATED_SUFFIX], MOST_RATED_SUFFIX)
        except DataLost:
            if not shown:
                raise
            notes.append(DATA_LOST)
    seen = None if query.seen is None else values[query.seen]
    only_seen = not (shown or query.filters.restricts or query.excluded)
    if only_seen and seen is not None and decode_ids(seen):
        notes.append(ALL_SEEN)
    return tuple(notes)


def _items(labels: Mapping[str, Label], candidates: Iterable[tuple[str, float, str]]) -> list[Item]:
    new = tuple.__new__  # half the time of Item(...)
    return [
        new(Item, (movie_id, score, source, *labels[movie_id][:3], None))
        for movie_id, score, source in candidates
    ]


def _reasons(value: bytes | None, because: bytes | None, most: int = _WHOLE) -> Mapping[str, str]:
    """Return the explanations of a stored list's first movies: recommended movie -> rated movie."""
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
    """Add explanations to the items that have one.

    Args:
        items: the items; those of a fallback have no explanation.
        reasons: recommended movie -> rated movie.
        labels: labels of the rated movies, among others.
        named: movies that are not hidden; None: no movie is hidden.
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
    """Take the candidates to check in one step.

    Args:
        rest: candidates that no filter has refused so far.
        labels: cached labels.
        sets: sets that this step will check.
        wanted: number of candidates that have to pass.
        sure: True if candidates without a cached label pass as well.
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
    query: ListQuery,
    values: Sequence[bytes | None],
    labels: Mapping[str, Label],
    admits: Callable[[Label], bool] | None,
) -> Iterator[_Candidate]:
    """Yield the movies of all lists, each once, except those whose cached label is refused."""
    taken = set(query.excluded)
    for ids, scores, sources in _chain(query, values, taken):
        for movie_id, score, source in zip(ids, scores, sources, strict=False):
            if movie_id in taken:
                continue
            taken.add(movie_id)
            label = labels.get(movie_id)
            if admits is None or label is None or admits(label):
                yield movie_id, score, source


def _chain(
    query: ListQuery, values: Sequence[bytes | None], taken: set[str]
) -> Iterator[tuple[list[str], list[float], Iterable[str]]]:
    """Yield ids, scores and sources of each list in turn, decoded when it is reached.

    Movies that the user has rated are added to `taken` before the first fallback.
    """
    own, *popular = values if query.seen is None else values[:-1]
    if own is not None:
        yield own if isinstance(own, tuple) else (*decode_head(own, _WHOLE), repeat(query.source))
        if not query.fill:
            return
    if query.seen is not None and values[-1] is not None:
        taken.update(decode_ids(values[-1]))
    width = len(query.filters.genres) + 1
    for place, by in enumerate(query.fallbacks):
        some = popular[place * width : (place + 1) * width]
        *of_genres, of_all = [value and decode_head(value, _WHOLE) for value in some]
        if of_genres:
            lists = (zip(*columns, strict=True) for columns in of_genres if columns)
            pairs = sorted(chain.from_iterable(lists), key=lambda pair: -pair[1])
            yield (
                [pair[0] for pair in pairs],
                [pair[1] for pair in pairs],
                repeat(f"{by}{IN_GENRE}"),
            )
        if of_all:
            yield *of_all, repeat(by)


def _head(value: bytes, query: ListQuery) -> tuple[list[str], list[float]]:
    """Return the first movies of a stored list that are not excluded."""
    excluded, n = query.excluded, query.filters.n
    ids, scores = decode_head(value, query.first)
    if not excluded:
        return ids, scores
    kept = [at for at, movie_id in enumerate(ids) if movie_id not in excluded][:n]
    return [ids[at] for at in kept], [scores[at] for at in kept]
