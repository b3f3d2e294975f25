"""What can be asked of a namespace, without asking: requests for ``Reader`` and ``AsyncReader``.

How a request pins a generation stands in ``pinning.py``, how a list is answered in ``listing.py``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reco_store.answers import FOR_RATINGS, PERSONAL, RANKED, SIMILAR, Answer, Movie, Status
from reco_store.blend import require_few
from reco_store.choice import check_choice
from reco_store.codec import decode_ids, decode_movie
from reco_store.errors import UsageError
from reco_store.experiment import Experiment
from reco_store.hold import Hold
from reco_store.keys import (
    Keys,
    because_suffix,
    movie_suffix,
    popular_suffix,
    ranked_suffix,
    search_suffix,
    seen_suffix,
    similar_suffix,
    title_suffix,
    user_suffix,
)
from reco_store.listing import Listing
from reco_store.pinning import MAX_MOVES, Moved, Pinning, Step
from reco_store.search import best_matches, question_words
from reco_store.wish import Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from reco_store.choice import Choice
    from reco_store.pinning import Request

__all__ = ["Core"]


class Core:
    """The requests of one namespace, and what is remembered between them.

    Args:
        keys: the namespace's keys.
        clock: seconds since 1970.
    """

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._clock = clock
        self._pinning = Pinning(keys, clock)
        self._listing = Listing(self._pinning)

    def user(self, user_id: str, *, why: bool = False, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for a user's retrieval list, and why each movie is in it."""
        filters = check_choice(self._keys, **choice)
        because = because_suffix(user_id) if why else None
        wish = Wish(user_suffix(user_id), PERSONAL, filters, seen_suffix(user_id), because=because)
        return self._listing.answer(wish)

    def ranked(self, user_id: str, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for a user's list by predicted rating."""
        filters = check_choice(self._keys, **choice)
        wish = Wish(ranked_suffix(user_id), RANKED, filters, seen_suffix(user_id))
        return self._listing.answer(wish)

    def similar(self, movie_id: str, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for a movie's similar movies."""
        filters = check_choice(self._keys, **choice)
        wish = Wish(similar_suffix(movie_id), SIMILAR, filters, itself=movie_id)
        return self._listing.answer(wish)

    def for_ratings(
        self, ratings: Mapping[str, float], **choice: Unpack[Choice]
    ) -> Request[Answer]:
        """Ask for what suits somebody of whom a few ratings are known."""
        require_few(ratings)
        filters = check_choice(self._keys, **choice)
        return self._listing.answer(Wish("", FOR_RATINGS, filters, ratings=dict(ratings)))

    def popular(self, by: str, genre: str | None, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for what is popular."""
        filters = check_choice(self._keys, **choice)
        return self._listing.answer(Wish(popular_suffix(by, genre), by, filters, fill=False))

    def movie(self, movie_id: str) -> Request[Movie | None]:
        """Ask for a movie's label."""
        value = (yield from self._pinning.one(movie_suffix(movie_id)))[1]
        return None if value is None else Movie(movie_id, *decode_movie(value))

    def seen(self, user_id: str) -> Request[tuple[str, ...]]:
        """Ask for what a user rated."""
        value = (yield from self._pinning.one(seen_suffix(user_id)))[1]
        return () if value is None else tuple(decode_ids(value))

    def find_title(self, title: str) -> Request[tuple[Movie, ...]]:
        """Ask for the movies that bear a title."""
        for _ in range(MAX_MOVES):
            view, value = yield from self._pinning.one(title_suffix(title))
            if value is None:
                return ()
            ids = decode_ids(value)
            try:
                values, _ = yield from self._pinning.more(view, map(movie_suffix, ids))
            except Moved:
                continue
            return tuple(
                Movie(movie_id, *decode_movie(label))
                for movie_id, label in zip(ids, values, strict=True)
                if label is not None
            )
        raise self._pinning.never_still()

    def assign(self, user_id: str) -> Request[str]:
        """Ask for the namespace that a user's answers come from."""
        experiment = yield from self.experiment()
        return self._keys.namespace if experiment is None else experiment.assign(user_id)

    def experiment(self) -> Request[Experiment | None]:
        """Ask for how users are split."""
        (value,) = yield Step((self._keys.experiment,))
        return None if value is None else Experiment.load(value)

    def search(self, text: str, n: int) -> Request[tuple[Movie, ...]]:
        """Ask for movies by words of their titles."""
        words = question_words(text)
        if n <= 0:
            raise UsageError(f"n {n}: expected 1 or more")
        suffixes = tuple(dict.fromkeys(map(search_suffix, words)))
        return self._search(words, suffixes, n)

    def _search(
        self, words: tuple[str, ...], suffixes: tuple[str, ...], n: int
    ) -> Request[tuple[Movie, ...]]:
        for _ in range(MAX_MOVES):
            view, values, _ = yield from self._pinning.pin(suffixes)
            found = [movie_id for value in values if value for movie_id in decode_ids(value)]
            ids = list(dict.fromkeys(found))
            asked = (("SMISMEMBER", self._keys.hidden, *ids),) if ids else ()
            try:
                cards, replies = yield from self._pinning.more(
                    view, map(movie_suffix, ids), asked, missing=None in values
                )
            except Moved:
                continue
            hidden = replies[0] if ids else ()
            movies = (
                Movie(movie_id, *decode_movie(card))
                for movie_id, card, away in zip(ids, cards, hidden, strict=True)
                if card is not None and not away
            )
            return best_matches(movies, words, n)
        raise self._pinning.never_still()

    def status(self) -> Request[Status]:
        """Ask for what is live."""
        view, _, (hidden,) = yield from self._pinning.pin((), (("SCARD", self._keys.hidden),))
        (hold_value,) = yield Step((self._keys.hold,))
        hold = None if hold_value is None else Hold.load(hold_value)
        if hold is not None and hold.until.timestamp() <= self._clock():
            hold = None
        return Status(
            namespace=self._keys.namespace,
            generation=view.generation,
            created=str(view.manifest["created"]),
            age_seconds=self._pinning.age(view),
            entries=int(view.manifest["entries"]),
            size_bytes=int(view.manifest["bytes"]),
            counts=dict(view.manifest.get("counts", {})),
            manifest=view.manifest,
            held_until=None if hold is None else hold.until_iso,
            held_reason=None if hold is None else hold.reason,
            hidden=int(hidden),
        )
