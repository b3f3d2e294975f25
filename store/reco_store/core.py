"""What a reader does, without doing it: generators that yield keys and receive their values.

``Reader`` and ``AsyncReader`` drive them, so their logic exists once. A driver fetches all keys
of one step in one round trip and sends back the values in order.

One generation is pinned for a whole request. Every step asks for the pointer too. In the first
step a moved pointer means reading again, under the new generation. In a later step it does not:
the pinned generation's values stay what they are, unless one is missing, which may then be
because the generation was retired meanwhile; so the request starts over. A warm reader needs one
step for a personal list: movie labels are kept for the generation.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

from reco_store.answers import MOST_RATED, PERSONAL, RANKED, SIMILAR, Answer, Item, Movie, Status
from reco_store.codec import decode_head, decode_ids, decode_list, decode_movie
from reco_store.errors import NothingPublished, StoreUnfit, UsageError
from reco_store.hold import Hold
from reco_store.keys import (
    BY_MOST_RATED,
    Keys,
    movie_suffix,
    popular_suffix,
    ranked_suffix,
    seen_suffix,
    similar_suffix,
    title_suffix,
    user_suffix,
)
from reco_store.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reco_store.view import Label

__all__ = ["Core", "Request"]

_T = TypeVar("_T")
#: Yields keys, receives their values, returns the answer.
Request: TypeAlias = Generator["tuple[str | bytes, ...]", "Sequence[bytes | None]", _T]

MAX_LABELS: Final = 50_000
MAX_MOVES: Final = 50
DEFAULT_N: Final = 10


class _Moved(Exception):
    """The pinned generation may be gone: start over."""


class _Wish(NamedTuple):
    """A list that is asked for."""

    suffix: str
    source: str
    n: int
    excluded: frozenset[str]
    seen: str | None = None  # suffix of what the user rated
    fill: bool = True  # with the most rated, where the list is short


class Core:
    """The requests of one namespace, and what is remembered between them.

    Args:
        keys: the namespace's keys.
        clock: seconds since 1970.
    """

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._clock = clock
        self._view: View | None = None

    def user(self, user_id: str, n: int, exclude: Iterable[str]) -> Request[Answer]:
        """Ask for a user's retrieval list."""
        suffix, seen = user_suffix(user_id), seen_suffix(user_id)
        return self._answer(_Wish(suffix, PERSONAL, n, frozenset(exclude), seen))

    def ranked(self, user_id: str, n: int, exclude: Iterable[str]) -> Request[Answer]:
        """Ask for a user's list by predicted rating."""
        suffix, seen = ranked_suffix(user_id), seen_suffix(user_id)
        return self._answer(_Wish(suffix, RANKED, n, frozenset(exclude), seen))

    def similar(self, movie_id: str, n: int, exclude: Iterable[str]) -> Request[Answer]:
        """Ask for a movie's similar movies."""
        excluded = frozenset((*exclude, movie_id))
        return self._answer(_Wish(similar_suffix(movie_id), SIMILAR, n, excluded))

    def popular(
        self, by: str, genre: str | None, n: int, exclude: Iterable[str]
    ) -> Request[Answer]:
        """Ask for what is popular."""
        suffix = popular_suffix(by, genre)
        return self._answer(_Wish(suffix, by, n, frozenset(exclude), fill=False))

    def movie(self, movie_id: str) -> Request[Movie | None]:
        """Ask for a movie's label."""
        value = (yield from self._one(movie_suffix(movie_id)))[1]
        return None if value is None else Movie(movie_id, *decode_movie(value))

    def seen(self, user_id: str) -> Request[tuple[str, ...]]:
        """Ask for what a user rated."""
        value = (yield from self._one(seen_suffix(user_id)))[1]
        return () if value is None else tuple(decode_ids(value))

    def find_title(self, title: str) -> Request[tuple[Movie, ...]]:
        """Ask for the movies that bear a title."""
        for _ in range(MAX_MOVES):
            view, value = yield from self._one(title_suffix(title))
            if value is None:
                return ()
            ids = decode_ids(value)
            try:
                values = yield from self._more(view, map(movie_suffix, ids))
            except _Moved:
                continue
            return tuple(
                Movie(movie_id, *decode_movie(label))
                for movie_id, label in zip(ids, values, strict=True)
                if label is not None
            )
        raise self._never_still()

    def status(self) -> Request[Status]:
        """Ask for what is live."""
        view, _ = yield from self._pin(None)
        hold_value = (yield (self._keys.current, self._keys.hold))[1]
        hold = None if hold_value is None else Hold.load(hold_value)
        if hold is not None and hold.until.timestamp() <= self._clock():
            hold = None
        return Status(
            namespace=self._keys.namespace,
            generation=view.generation,
            created=str(view.manifest["created"]),
            age_seconds=self._age(view),
            entries=int(view.manifest["entries"]),
            size_bytes=int(view.manifest["bytes"]),
            counts=dict(view.manifest.get("counts", {})),
            manifest=view.manifest,
            held_until=None if hold is None else hold.until_iso,
            held_reason=None if hold is None else hold.reason,
        )

    def _answer(self, wish: _Wish) -> Request[Answer]:
        """Answer with a list; where it is missing or short, fill it up with most_rated."""
        if wish.n <= 0:
            raise UsageError(f"n {wish.n}: expected 1 or more")
        view = self._view
        if view is not None:  # the warm path, kept short: one step, and no nested generator
            pointer, value = yield (self._keys.current, view.key(wish.suffix))
            if pointer == view.pointer and value is not None:
                ids, scores = _head(value, wish)
                if len(ids) == wish.n:
                    try:
                        sources = repeat(wish.source)
                        return self._show(view, view.labels, ids, scores, sources)
                    except KeyError:  # a label that is not known yet
                        pass
        return (yield from self._answer_slowly(wish))

    def _answer_slowly(self, wish: _Wish) -> Request[Answer]:
        for _ in range(MAX_MOVES):
            view, value = yield from self._pin(wish.suffix)
            ids, scores = ([], []) if value is None else _head(value, wish)
            own = len(ids)
            try:
                if own == 0 or (wish.fill and own < wish.n):
                    more_ids, more_scores = yield from self._more_popular(view, ids, wish)
                    ids, scores = ids + more_ids, scores + more_scores
                labels = yield from self._label(view, ids)
            except _Moved:
                continue
            sources = chain(repeat(wish.source, own), repeat(MOST_RATED))
            return self._show(view, labels, ids, scores, sources)
        raise self._never_still()

    def _show(
        self,
        view: View,
        labels: Mapping[str, Label],
        ids: Sequence[str],
        scores: Sequence[float],
        sources: Iterable[str],
    ) -> Answer:
        new = tuple.__new__  # half the time of Item(), which only names its arguments
        items = [
            new(Item, (movie_id, score, source) + labels[movie_id])
            for movie_id, score, source in zip(ids, scores, sources)  # noqa: B905  endless sources
        ]
        return Answer(view.generation, self._age(view), tuple(items))

    def _pin(self, suffix: str | None) -> Request[tuple[View, bytes | None]]:
        """First step: pin the live generation and read one of its keys."""
        current = self._keys.current
        view = self._view
        for _ in range(MAX_MOVES):
            if view is None:
                (pointer,) = yield (current,)
                if pointer is None:
                    raise NothingPublished(self._keys.namespace)
                view = View(self._keys, pointer)
            key = current if suffix is None else view.key(suffix)
            if view.manifest:
                pointer, value = yield (current, key)
                if pointer == view.pointer:
                    return view, value
            else:
                names = (current, key, self._keys.manifest(view.generation))
                pointer, value, manifest = yield names
                if pointer == view.pointer:
                    view.learn(manifest)
                    self._view = view
                    return view, value
            view = None if pointer is None else View(self._keys, pointer)
        raise self._never_still()

    def _more(self, view: View, suffixes: Iterable[str]) -> Request[list[bytes | None]]:
        """Take a later step: read on under the pinned generation."""
        values = yield (self._keys.current, *map(view.key, suffixes))
        rest = list(values[1:])
        if values[0] != view.pointer and (not rest or None in rest):
            raise _Moved
        return rest

    def _one(self, suffix: str) -> Request[tuple[View, bytes | None]]:
        """Read one key; that it is missing is made sure of, as a cluster reads key by key."""
        for _ in range(MAX_MOVES):
            view, value = yield from self._pin(suffix)
            if value is not None:
                return view, value
            try:
                yield from self._more(view, ())
            except _Moved:
                continue
            return view, None
        raise self._never_still()

    def _more_popular(
        self, view: View, ids: Sequence[str], wish: _Wish
    ) -> Request[tuple[list[str], list[float]]]:
        """Return the most rated movies that are new to the user; seen ones if none is new."""
        suffixes = [popular_suffix(BY_MOST_RATED)] + ([wish.seen] if wish.seen else [])
        values = yield from self._more(view, suffixes)
        if values[0] is None:
            return [], []
        seen = frozenset(() if values[-1] is None or not wish.seen else decode_ids(values[-1]))
        taken = wish.excluded.union(ids)
        popular = zip(*decode_list(values[0]), strict=True)
        allowed = [pick for pick in popular if pick[0] not in taken]
        unseen = [pick for pick in allowed if pick[0] not in seen]
        chosen = (unseen if unseen or ids else allowed)[: wish.n - len(ids)]
        return [pick[0] for pick in chosen], [pick[1] for pick in chosen]

    def _label(self, view: View, ids: Sequence[str]) -> Request[Mapping[str, Label]]:
        """Read the labels that are not remembered yet; return these and the others."""
        labels = view.labels  # another request may replace it meanwhile, but removes nothing
        if len(labels) > MAX_LABELS:
            labels = view.labels = {}
        wanted = [movie_id for movie_id in ids if movie_id not in labels]
        if not wanted:
            return labels
        values = yield from self._more(view, map(movie_suffix, wanted))
        for movie_id, value in zip(wanted, values, strict=True):
            # A movie without a label is shown by its id.
            labels[movie_id] = (movie_id, None, ()) if value is None else decode_movie(value)[:3]
        return labels

    def _age(self, view: View) -> float:
        return max(0.0, self._clock() - view.created)

    def _never_still(self) -> StoreUnfit:
        return StoreUnfit(
            "the pointer moved at every attempt to read",
            f"Look for other programs that write {self._keys.current}.",
        )


def _head(value: bytes, wish: _Wish) -> tuple[list[str], list[float]]:
    """Return the first of a stored list that are not excluded."""
    excluded = wish.excluded
    ids, scores = decode_head(value, wish.n + len(excluded))
    if not excluded:
        return ids, scores
    kept = [place for place, movie_id in enumerate(ids) if movie_id not in excluded][: wish.n]
    return [ids[place] for place in kept], [scores[place] for place in kept]
