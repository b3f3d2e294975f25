"""Blocking reader: answers in the time of one GET.

``requests`` contains the logic of the requests; this module contains the connection.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar, cast

from redis.exceptions import ResponseError

from reco_store.connection.addresses import mask_url
from reco_store.connection.client import (
    CLIENT_ERRORS,
    explained,
    follows_sentinel,
    is_cluster,
    location_of,
    require_bytes,
)
from reco_store.connection.connect import connect
from reco_store.connection.resp import exchange
from reco_store.connection.waiting import READER_SECONDS, Waiting
from reco_store.contract.keys import BY_MOST_RATED, Keys
from reco_store.errors import NothingPublished
from reco_store.read.list_query import DEFAULT_N
from reco_store.read.pinning import flattened, queue
from reco_store.read.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self, Unpack

    from redis import Redis

    from reco_store.connection.client import Client
    from reco_store.contract.arguments import Id, Recent
    from reco_store.contract.experiment import Experiment
    from reco_store.read.answer_types import Answer, Movie, Status, StoredGeneration
    from reco_store.read.list_query import ListFilters
    from reco_store.read.pinning import Request, Step

__all__ = ["Reader"]

RETRIES = 2  # reads are idempotent

_T = TypeVar("_T")


class Reader:
    """Blocking reader of the published lists. Threads may share one.

    Each request is answered from one generation. An unknown user or movie gets the most rated
    movies, and each item contains its source. No answer for a user contains a movie that the user
    rated: it is short or empty instead, and its notes contain the reason.

    Ids are strings or integers, including NumPy integers.

    Args:
        url: address of the store; None means the embedded store.
        namespace: namespace of the model; a store may contain several.
        home: folder of the embedded store; unused with a URL or a client.
        client: a connection to use instead; the reader does not close it.
        clock: returns seconds since 1970.
        generation: generation to read, live or not, such as one that is staged; None: the live one.

    Raises:
        UsageError: the address, the namespace or the generation has an unknown form, or the client
            decodes replies.
        NothingPublished: the embedded store has nothing to serve, so it is not started.
        StoreUnreachable: a cluster does not answer.
        StoreUnfit: the embedded store does not start or does not answer.
        NotInstalled: the embedded store needs an extra that is not installed.

    Every request raises:
        NothingPublished: the namespace has no live generation.
        UnknownGeneration: the generation that the reader names is not complete in the store.
        DataLost: keys of the generation are gone.
        ContractMismatch: it was published under another contract.
        StoreNotReady: the server is not ready (loading, for example) after two seconds of retries.
        StoreUnreachable, StoreUnfit: the store does not answer or refuses.
    """

    def __init__(
        self,
        url: str | None = None,
        namespace: str = "reco",
        *,
        home: Path | None = None,
        client: Client | None = None,
        clock: Callable[[], float] = time.time,
        generation: str | None = None,
    ) -> None:
        self._requests = Requests(Keys(namespace), clock, generation)
        self._own = client is None
        if client is None:
            client = connect(url, home=home, retries=RETRIES, start=False)
        self._client = client
        self._url = url if self._own else None
        require_bytes(self._client)
        self._clustered = is_cluster(self._client)
        #: A client of the caller may wrap its commands, so it is used through its own pipelines.
        self._own_server = self._own and not self._clustered

    def user(
        self,
        user_id: Id,
        *,
        why: bool = False,
        recent: Recent | None = None,
        **filters: Unpack[ListFilters],
    ) -> Answer:
        """Return the best movies for a user, by the retrieval model.

        Args:
            user_id: an unknown user gets the most rated movies; a user who rated all movies gets
                none.
            why: add to each item, as ``because``, the rated movie that contributes most to it.
                Fallbacks for a short list have no explanation, nor has any item of a generation
                published without explanations.
            recent: what the user did since the run: movie id -> stars, or None without stars;
                newest first. The answer leaves these movies out. The lists of the first ten, but
                not of those with stars below the middle of the scale (below 0 without a scale),
                are added to the user's list, or to the popular list in its place. A movie that
                comes from them has the source ``next``, and with ``why`` names the recent movie.
                Movies without a list, such as unknown ones, add nothing.
            filters: number and kind of the movies; see ``ListFilters``.

        Raises:
            UsageError: an argument has another type or range, or a genre is unknown.
        """
        return self._run(self._requests.user(user_id, why=why, recent=recent, **filters))

    def ranked(self, user_id: Id, **filters: Unpack[ListFilters]) -> Answer:
        """Return the best movies for a user, by predicted rating; otherwise like ``user``."""
        return self._run(self._requests.ranked(user_id, **filters))

    def similar(self, movie_id: Id, **filters: Unpack[ListFilters]) -> Answer:
        """Return the movies most similar to a movie, never itself; otherwise like ``user``."""
        return self._run(self._requests.similar(movie_id, **filters))

    def for_ratings(
        self, ratings: Mapping[str, float] | Mapping[int, float], **filters: Unpack[ListFilters]
    ) -> Answer:
        """Return movies for a new user with a few ratings (cold start).

        Each item contains, as ``because``, the rated movie that contributes most to it, among those
        with at least the mean rating; None if there is none, or if that movie is hidden.

        Args:
            ratings: movie id -> stars, on the scale of the published data; 1 to 50 ratings.
            filters: number and kind of the movies; see ``ListFilters``. Rated movies are left out.

        Raises:
            UsageError: there are no or too many ratings, one is not on the scale, or a filter has
                the wrong type or range.
        """
        return self._run(self._requests.for_ratings(ratings, **filters))

    def popular(
        self, by: str = BY_MOST_RATED, genre: str | None = None, **filters: Unpack[ListFilters]
    ) -> Answer:
        """Return popular movies.

        Args:
            by: most_rated, highest_rated, trending or new. A generation has the last two only if
                its run was configured for them; without them, most rated movies are returned.
            genre: return movies of this genre only; its case does not matter.
            filters: number and kind of the movies; see ``ListFilters``.

        Raises:
            UsageError: ``by`` has another value, the genre is unknown, or a filter has the wrong
                type or range.
        """
        return self._run(self._requests.popular(by, genre, **filters))

    def movie(self, movie_id: Id) -> Movie | None:
        """Return a movie's label; None if it is unknown."""
        return self._run(self._requests.movie(movie_id))

    def movies(self, movie_ids: Sequence[Id]) -> tuple[Movie | None, ...]:
        """Return the labels of several movies, in their order; None for each that is unknown."""
        return self._run(self._requests.movies(movie_ids))

    def find_title(self, title: str) -> tuple[Movie, ...]:
        """Return the movies with a title, with or without its year, ignoring case and accents.

        If no movie has exactly this title, return those whose title differs only in punctuation or
        its article, or contains it in brackets.
        """
        return self._run(self._requests.find_title(title))

    def search(self, text: str, *, n: int = DEFAULT_N, partial: bool = False) -> tuple[Movie, ...]:
        """Return movies by words of their titles, or by prefixes of words.

        Args:
            text: words, all of which must match. Case, accents, hyphens, apostrophes and the order
                do not matter, and articles may be left out.
            n: largest number of movies to return.
            partial: accept movies that match only some of the words.

        Returns:
            Movies of exactly this title first, then those with the most words, the most whole
            words and the most ratings; no hidden movie.

        Raises:
            UsageError: the text has no word, or ``n`` is below 1.
        """
        return self._run(self._requests.search(text, n, partial=partial))

    def seen(self, user_id: Id) -> tuple[str, ...]:
        """Return the ids of the movies that a user rated, newest first."""
        return self._run(self._requests.seen(user_id))

    def assign(self, user_id: Id) -> str:
        """Return the namespace that an experiment assigns to a user, or the reader's namespace."""
        return self._run(self._requests.assign(user_id))

    def experiment(self) -> Experiment | None:
        """Return the experiment that splits users between namespaces; None if there is none."""
        return self._run(self._requests.experiment())

    def generations(self) -> tuple[StoredGeneration, ...]:
        """Return the generations that are complete in the store, newest first.

        Raises:
            StoreUnfit: the account may not read the registry, which no other request needs.
        """
        return self._run(self._requests.generations())

    def status(self) -> Status:
        """Return the status of the live generation, or of the one that the reader names."""
        return self._run(self._requests.status())

    def close(self) -> None:
        """Close the connection, if the reader made it."""
        if self._own:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, request: Request[_T]) -> _T:
        try:
            step = next(request)
            while True:
                step = request.send(self._take_patiently(step))
        except StopIteration as end:
            return cast("_T", end.value)
        except CLIENT_ERRORS as error:
            raise explained(error, self._client) from error
        except NothingPublished as error:
            place = f"at {mask_url(self._url)}" if self._url else location_of(self._client)
            raise NothingPublished(error.namespace, place) from None

    def _take_patiently(self, step: Step) -> Sequence[Any]:
        """Make one round trip, and retry for READER_SECONDS if the server is not ready."""
        try:
            return self._take(step)
        except CLIENT_ERRORS as error:
            waiting = Waiting(READER_SECONDS, with_lost=follows_sentinel(self._client))
            last = error
        while (pause := waiting.pause(last)) is not None:
            time.sleep(pause)
            try:
                return self._take(step)
            except CLIENT_ERRORS as error:
                last = error
        raise last

    def _take(self, step: Step) -> Sequence[Any]:
        """Make one round trip."""
        if self._own_server:
            return flattened(_ask(cast("Redis", self._client), step), step, clustered=False)
        pipeline = self._client.pipeline(transaction=False)
        queue(pipeline, step, clustered=self._clustered)
        return flattened(pipeline.execute(), step, clustered=self._clustered)


def _ask(client: Redis, step: Step) -> list[Any]:
    """Return the replies to a step; connections and retries are those of the client.

    Raises:
        redis.RedisError: the server refuses, or does not answer.
    """
    commands: tuple[tuple[str | bytes, ...], ...] = (("MGET", *step.keys), *step.commands)
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        replies: list[Any] = connection.retry.call_with_retry(
            lambda: exchange(connection, commands),
            lambda _: connection.disconnect(),  # type: ignore[no-untyped-call]
        )
    finally:
        pool.release(connection)
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies
