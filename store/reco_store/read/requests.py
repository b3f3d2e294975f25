"""Requests of one namespace, as generators that ``Reader`` and ``AsyncReader`` drive.

``pinning`` pins the generation of a request; ``list_answer`` answers list queries.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from reco_store.contract.arguments import (
    id_text,
    list_length,
    name_text,
    recent_by_id,
    stars_by_id,
)
from reco_store.contract.codec import decode_head, decode_ids, decode_movie
from reco_store.contract.experiment import Experiment
from reco_store.contract.hold import Hold
from reco_store.contract.keys import (
    MOST_RATED_SUFFIX,
    Keys,
    because_suffix,
    movie_suffix,
    parse_generation_id,
    popular_suffix,
    ranked_suffix,
    seen_suffix,
    similar_suffix,
    user_suffix,
)
from reco_store.read.answer_types import (
    FOR_RATINGS,
    PERSONAL,
    RANKED,
    SIMILAR,
    Answer,
    Movie,
    Status,
    StoredGeneration,
)
from reco_store.read.list_answer import ListAnswerer
from reco_store.read.list_query import ListQuery, check_filters
from reco_store.read.pinning import MAX_MOVES, Moved, Pinning, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from reco_store.contract.arguments import Id, Recent
    from reco_store.read.list_query import CheckedFilters, ListFilters
    from reco_store.read.pinning import Request
    from reco_store.read.snapshot import Snapshot
    from reco_store.read.title_match import Question

__all__ = ["Requests"]

_MOST_SAMPLED: Final = 100


class Requests:
    """Requests of one namespace, with a cache that they share.

    Args:
        keys: keys of the namespace.
        clock: returns seconds since 1970.
        generation: generation to read; None reads the live one.

    Raises:
        UsageError: the generation is no name of one.
    """

    def __init__(
        self,
        keys: Keys,
        clock: Callable[[], float] = time.time,
        generation: str | None = None,
    ) -> None:
        if generation is not None:
            parse_generation_id(generation)
        self._keys = keys
        self._clock = clock
        self._pinning = Pinning(keys, clock, generation)
        self._lists = ListAnswerer(self._pinning)
        self._unfiltered = check_filters(keys)

    def _checked(self, filters: ListFilters) -> CheckedFilters:
        """Return the checked filters; the usual request has none and need not wait for a check."""
        return check_filters(self._keys, **filters) if filters else self._unfiltered

    def user(
        self,
        user_id: Id,
        *,
        why: bool = False,
        recent: Recent | None = None,
        **filters: Unpack[ListFilters],
    ) -> Request[Answer]:
        """Request a user's list by the retrieval model, with explanations if `why`.

        It is re-ordered by the `recent` movies.
        """
        user_id = id_text(user_id, "user")
        checked = self._checked(filters)
        because = because_suffix(user_id) if why else None
        query = ListQuery(
            user_suffix(user_id),
            PERSONAL,
            checked,
            seen_suffix(user_id),
            because=because,
            recent={} if recent is None else recent_by_id(recent),
        )
        return self._lists.answer(query)

    def ranked(self, user_id: Id, **filters: Unpack[ListFilters]) -> Request[Answer]:
        """Request a user's list by predicted rating."""
        user_id = id_text(user_id, "user")
        checked = self._checked(filters)
        query = ListQuery(ranked_suffix(user_id), RANKED, checked, seen_suffix(user_id))
        return self._lists.answer(query)

    def similar(self, movie_id: Id, **filters: Unpack[ListFilters]) -> Request[Answer]:
        """Request the movies most similar to a movie."""
        movie_id = id_text(movie_id, "movie")
        checked = self._checked(filters)
        query = ListQuery(similar_suffix(movie_id), SIMILAR, checked, itself=movie_id)
        return self._lists.answer(query)

    def for_ratings(
        self, ratings: Mapping[str, float] | Mapping[int, float], **filters: Unpack[ListFilters]
    ) -> Request[Answer]:
        """Request a list for a user with a few ratings (cold start)."""
        from reco_store.read.cold_start import require_few  # noqa: PLC0415  not for user lists

        stars = stars_by_id(ratings)
        require_few(stars)
        checked = self._checked(filters)
        return self._lists.answer(ListQuery("", FOR_RATINGS, checked, ratings=stars))

    def popular(
        self, by: str, genre: str | None, **filters: Unpack[ListFilters]
    ) -> Request[Answer]:
        """Request a popular list."""
        checked = self._checked(filters)
        genre = None if genre is None else name_text(genre, "genre")
        named = None if genre is None else (by, genre)
        suffix = popular_suffix(by, genre)
        return self._lists.answer(ListQuery(suffix, by, checked, fill=False, popular=named))

    def movie(self, movie_id: Id) -> Request[Movie | None]:
        """Request a movie's label."""
        movie_id = id_text(movie_id, "movie")
        value = (yield from self._pinning.one(movie_suffix(movie_id)))[1]
        return None if value is None else Movie(movie_id, *decode_movie(value))

    def movies(self, movie_ids: Sequence[Id]) -> Request[tuple[Movie | None, ...]]:
        """Request the labels of several movies."""
        ids = [id_text(movie_id, "movie") for movie_id in movie_ids]
        if not ids:
            return ()
        found = (yield from self._pinning.some([*map(movie_suffix, ids)]))[1]
        values = (found.get(movie_suffix(movie_id)) for movie_id in ids)
        return tuple(
            None if value is None else Movie(movie_id, *decode_movie(value))
            for movie_id, value in zip(ids, values, strict=True)
        )

    def seen(self, user_id: Id) -> Request[tuple[str, ...]]:
        """Request the movies that a user rated."""
        value = (yield from self._pinning.one(seen_suffix(id_text(user_id, "user"))))[1]
        return () if value is None else tuple(decode_ids(value))

    def find_title(self, title: str) -> Request[tuple[Movie, ...]]:
        """Request the movies with a title, or else with a loose form of it."""
        from reco_store.contract.titles import split_year  # noqa: PLC0415  not for lists
        from reco_store.read.title_match import title_question  # noqa: PLC0415  as above

        suffixes, year = title_question(name_text(title, "title"))
        for _ in range(MAX_MOVES):
            snapshot, found = yield from self._pinning.some(suffixes)
            if not found:
                return ()
            suffix = next(suffix for suffix in suffixes if suffix in found)
            ids = decode_ids(found[suffix])
            try:
                values, _ = yield from self._pinning.more(snapshot, map(movie_suffix, ids))
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
        raise self._pinning.pointer_moves_error()

    def assign(self, user_id: Id) -> Request[str]:
        """Request the namespace that an experiment assigns to a user."""
        user_id = id_text(user_id, "user")
        experiment = yield from self.experiment()
        return self._keys.namespace if experiment is None else experiment.assign(user_id)

    def experiment(self) -> Request[Experiment | None]:
        """Request the experiment."""
        (value,) = yield Step((self._keys.experiment,))
        return None if value is None else Experiment.load(value)

    def search(self, text: str, n: int, *, partial: bool) -> Request[tuple[Movie, ...]]:
        """Request movies by words of their titles."""
        from reco_store.read.title_match import question_of  # noqa: PLC0415  not for lists

        question = question_of(name_text(text, "search"))
        return self._search(question, list_length(n), partial=partial)

    def _search(self, question: Question, n: int, *, partial: bool) -> Request[tuple[Movie, ...]]:
        from reco_store.read.title_match import (  # noqa: PLC0415  not for lists
            best_matches,
            candidates,
        )

        suffixes = question.suffixes
        for _ in range(MAX_MOVES):
            snapshot, found = yield from self._pinning.some(suffixes)
            lists = {suffix: decode_ids(value) for suffix, value in found.items()}
            likely = candidates(question, lists, n)
            ids = likely.ids
            if not ids:
                return ()
            hidden_check = (("SMISMEMBER", self._keys.hidden, *ids),)
            try:
                cards, (hidden,) = yield from self._pinning.more(
                    snapshot,
                    map(movie_suffix, ids),
                    hidden_check,
                    missing=len(found) < len(suffixes),
                )
            except Moved:
                continue
            movies = (
                Movie(movie_id, *decode_movie(card))
                for movie_id, card, away in zip(ids, cards, hidden, strict=True)
                if card is not None and not away
            )
            return best_matches(movies, question, likely, n, partial=partial)
        raise self._pinning.pointer_moves_error()

    def generations(self) -> Request[tuple[StoredGeneration, ...]]:
        """Request the generations that are complete in the store."""
        from reco_store.control.generation_registry import parse_control  # noqa: PLC0415  seldom

        (registry, pointer) = yield Step((self._keys.generations, self._keys.current))
        control = parse_control(registry, pointer)
        return tuple(
            StoredGeneration(
                generation=record.id,
                state=control.state_of(record),
                created=record.created,
                live_since=record.since,
                entries=record.entries,
                size_bytes=record.size_bytes,
                note=record.note,
            )
            for record in control.records
            if record.is_complete
        )

    def status(self) -> Request[Status]:
        """Request the status of the live generation, or of the named one."""
        sizes = (("SCARD", self._keys.hidden),)
        snapshot, (popular,), (hidden,) = yield from self._pinning.pin((MOST_RATED_SUFFIX,), sizes)
        sample = _sample(snapshot, popular)
        # Keys that are missing because the generation was retired meanwhile are not lost.
        own = (self._keys.hold, self._keys.current, self._pinning.mark)
        hold_value, pointer, mark, *values = yield Step((*own, *map(snapshot.key, sample)))
        missing = values.count(None) if mark == snapshot.mark else 0
        hold = None if hold_value is None else Hold.load(hold_value)
        if hold is not None and hold.until.timestamp() <= self._clock():
            hold = None
        return Status(
            namespace=self._keys.namespace,
            generation=snapshot.generation,
            created=str(snapshot.manifest["created"]),
            age_seconds=self._pinning.age(snapshot),
            entries=int(snapshot.manifest["entries"]),
            size_bytes=int(snapshot.manifest["bytes"]),
            counts=dict(snapshot.manifest.get("counts", {})),
            manifest=snapshot.manifest,
            held_until=None if hold is None else hold.until_iso,
            held_reason=None if hold is None else hold.reason,
            hidden=int(hidden),
            sampled=len(sample),
            missing=missing,
            is_live=pointer == snapshot.generation.encode(),
        )


def _sample(snapshot: Snapshot, popular: bytes | None) -> tuple[str, ...]:
    """Return suffixes of keys that the generation must have: a list, and the labels in it."""
    ids = decode_head(popular, _MOST_SAMPLED)[0] if popular and snapshot.counts.get("movie") else []
    own = (MOST_RATED_SUFFIX,) if snapshot.counts.get("popular") else ()
    return (*own, *map(movie_suffix, ids))
