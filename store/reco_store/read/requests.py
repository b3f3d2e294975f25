"""What can be asked of a namespace, without asking: requests for ``Reader`` and ``AsyncReader``.

How a request pins a generation stands in ``pinning.py``, how a list is answered in ``listing.py``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from reco_store.contract.arguments import id_text, list_length, name_text, stars_by_id
from reco_store.contract.codec import decode_head, decode_ids, decode_movie
from reco_store.contract.experiment import Experiment
from reco_store.contract.hold import Hold
from reco_store.contract.keys import (
    EVERYBODY,
    Keys,
    because_suffix,
    movie_suffix,
    popular_suffix,
    ranked_suffix,
    seen_suffix,
    similar_suffix,
    user_suffix,
)
from reco_store.contract.titles import split_year
from reco_store.read.answers import FOR_RATINGS, PERSONAL, RANKED, SIMILAR, Answer, Movie, Status
from reco_store.read.list_answer import Listing
from reco_store.read.list_fusion import require_few
from reco_store.read.list_query import Wish, check_choice
from reco_store.read.pinning import MAX_MOVES, Moved, Pinning, Step
from reco_store.read.title_match import best_matches, candidates, question_of, title_question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from reco_store.contract.arguments import Id
    from reco_store.read.list_query import Choice
    from reco_store.read.pinning import Request
    from reco_store.read.snapshot import View
    from reco_store.read.title_match import Question

__all__ = ["Core"]

_MOST_SAMPLED: Final = 100


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

    def user(self, user_id: Id, *, why: bool = False, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for a user's retrieval list, and why each movie is in it."""
        user_id = id_text(user_id, "user")
        filters = check_choice(self._keys, **choice)
        because = because_suffix(user_id) if why else None
        wish = Wish(user_suffix(user_id), PERSONAL, filters, seen_suffix(user_id), because=because)
        return self._listing.answer(wish)

    def ranked(self, user_id: Id, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for a user's list by predicted rating."""
        user_id = id_text(user_id, "user")
        filters = check_choice(self._keys, **choice)
        wish = Wish(ranked_suffix(user_id), RANKED, filters, seen_suffix(user_id))
        return self._listing.answer(wish)

    def similar(self, movie_id: Id, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for a movie's similar movies."""
        movie_id = id_text(movie_id, "movie")
        filters = check_choice(self._keys, **choice)
        wish = Wish(similar_suffix(movie_id), SIMILAR, filters, itself=movie_id)
        return self._listing.answer(wish)

    def for_ratings(
        self, ratings: Mapping[str, float] | Mapping[int, float], **choice: Unpack[Choice]
    ) -> Request[Answer]:
        """Ask for what suits somebody of whom a few ratings are known."""
        stars = stars_by_id(ratings)
        require_few(stars)
        filters = check_choice(self._keys, **choice)
        return self._listing.answer(Wish("", FOR_RATINGS, filters, ratings=stars))

    def popular(self, by: str, genre: str | None, **choice: Unpack[Choice]) -> Request[Answer]:
        """Ask for what is popular."""
        filters = check_choice(self._keys, **choice)
        genre = None if genre is None else name_text(genre, "genre")
        named = None if genre is None else (by, genre)
        suffix = popular_suffix(by, genre)
        return self._listing.answer(Wish(suffix, by, filters, fill=False, popular=named))

    def movie(self, movie_id: Id) -> Request[Movie | None]:
        """Ask for a movie's label."""
        movie_id = id_text(movie_id, "movie")
        value = (yield from self._pinning.one(movie_suffix(movie_id)))[1]
        return None if value is None else Movie(movie_id, *decode_movie(value))

    def seen(self, user_id: Id) -> Request[tuple[str, ...]]:
        """Ask for what a user rated."""
        value = (yield from self._pinning.one(seen_suffix(id_text(user_id, "user"))))[1]
        return () if value is None else tuple(decode_ids(value))

    def find_title(self, title: str) -> Request[tuple[Movie, ...]]:
        """Ask for the movies that bear a title, or else a loose form of it."""
        suffixes, year = title_question(name_text(title, "title"))
        for _ in range(MAX_MOVES):
            view, found = yield from self._pinning.some(suffixes)
            if not found:
                return ()
            suffix = next(suffix for suffix in suffixes if suffix in found)
            ids = decode_ids(found[suffix])
            try:
                values, _ = yield from self._pinning.more(view, map(movie_suffix, ids))
            except Moved:
                continue
            movies = (
                Movie(movie_id, *decode_movie(label))
                for movie_id, label in zip(ids, values, strict=True)
                if label is not None
            )
            if year is not None and suffix != suffixes[0]:
                return tuple(m for m in movies if year in (m.year, split_year(m.title)[1]))
            return tuple(movies)
        raise self._pinning.never_still()

    def assign(self, user_id: Id) -> Request[str]:
        """Ask for the namespace that a user's answers come from."""
        user_id = id_text(user_id, "user")
        experiment = yield from self.experiment()
        return self._keys.namespace if experiment is None else experiment.assign(user_id)

    def experiment(self) -> Request[Experiment | None]:
        """Ask for how users are split."""
        (value,) = yield Step((self._keys.experiment,))
        return None if value is None else Experiment.load(value)

    def search(self, text: str, n: int, *, partial: bool) -> Request[tuple[Movie, ...]]:
        """Ask for movies by words of their titles."""
        question = question_of(name_text(text, "search"))
        return self._search(question, list_length(n), partial=partial)

    def _search(self, question: Question, n: int, *, partial: bool) -> Request[tuple[Movie, ...]]:
        suffixes = question.suffixes
        for _ in range(MAX_MOVES):
            view, found = yield from self._pinning.some(suffixes)
            lists = {suffix: decode_ids(value) for suffix, value in found.items()}
            likely = candidates(question, lists, n)
            ids = likely.ids
            if not ids:
                return ()
            asked = (("SMISMEMBER", self._keys.hidden, *ids),)
            try:
                cards, (hidden,) = yield from self._pinning.more(
                    view, map(movie_suffix, ids), asked, missing=len(found) < len(suffixes)
                )
            except Moved:
                continue
            movies = (
                Movie(movie_id, *decode_movie(card))
                for movie_id, card, away in zip(ids, cards, hidden, strict=True)
                if card is not None and not away
            )
            return best_matches(movies, question, likely, n, partial=partial)
        raise self._pinning.never_still()

    def status(self) -> Request[Status]:
        """Ask for what is live."""
        sizes = (("SCARD", self._keys.hidden),)
        view, (popular,), (hidden,) = yield from self._pinning.pin((EVERYBODY,), sizes)
        sample = _sample(view, popular)
        # Whatever is missing because the generation was retired meanwhile is not lost.
        own: tuple[str | bytes, ...] = (self._keys.hold, self._keys.current)
        hold_value, pointer, *values = yield Step((*own, *map(view.key, sample)))
        missing = values.count(None) if pointer == view.pointer else 0
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
            sampled=len(sample),
            missing=missing,
        )


def _sample(view: View, popular: bytes | None) -> tuple[str, ...]:
    """Return suffixes of keys that the generation must have: a list, and the cards in it."""
    ids = decode_head(popular, _MOST_SAMPLED)[0] if popular and view.counts.get("movie") else []
    own = (EVERYBODY,) if view.counts.get("popular") else ()
    return (*own, *map(movie_suffix, ids))
