"""The blocking reader: one GET's worth of time for an answer.

What is asked and what it means stands in ``core.py``; here is only the connection.
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
    place_of,
    require_bytes,
)
from reco_store.connection.connect import connect
from reco_store.connection.waiting import READER_SECONDS, Waiting
from reco_store.contract.keys import BY_MOST_RATED, Keys
from reco_store.errors import NothingPublished
from reco_store.read.list_query import DEFAULT_N
from reco_store.read.pinning import flattened, queue
from reco_store.read.requests import Core

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self, Unpack

    from redis import Redis

    from reco_store.connection.client import Client
    from reco_store.contract.arguments import Id
    from reco_store.contract.experiment import Experiment
    from reco_store.read.answers import Answer, Movie, Status
    from reco_store.read.list_query import Choice
    from reco_store.read.pinning import Request, Step

__all__ = ["Reader"]

RETRIES = 2  # reading may be repeated without harm

_T = TypeVar("_T")


class Reader:
    """Reads what is published. Threads may share one.

    Each request is answered from one generation. A user or movie that is unknown gets the most
    rated movies, and each item has its source. No answer for a user has a movie that the user
    rated: it is short or empty instead, and its notes contain the reason.

    Ids are texts; integers are taken as well, those of NumPy included.

    Args:
        url: address of the store; None means the embedded store.
        namespace: which of the models that live side by side.
        home: folder of the embedded store; unused with a URL or a client.
        client: a connection to use instead; it is not closed with the reader.
        clock: seconds since 1970.

    Raises:
        UsageError: the address or namespace has an unknown form, or the client decodes replies.
        NothingPublished: the embedded store has nothing to serve, so it is not started.
        StoreUnreachable: a cluster does not answer.
        StoreUnfit: the embedded store does not start or does not answer.
        NotInstalled: the embedded store is wanted, but its extra is missing.

    Every request raises:
        NothingPublished: the namespace has no live generation.
        DataLost: keys of the live generation are gone.
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
    ) -> None:
        self._core = Core(Keys(namespace), clock)
        self._own = client is None
        if client is None:
            client = connect(url, home=home, retries=RETRIES, start=False)
        self._client = client
        self._url = url if self._own else None
        require_bytes(self._client)
        self._clustered = is_cluster(self._client)
        #: Another's client may do more around a command than one of our own making.
        self._own_server = self._own and not self._clustered

    def user(self, user_id: Id, *, why: bool = False, **choice: Unpack[Choice]) -> Answer:
        """Return the best movies for a user, by the retrieval model.

        Args:
            user_id: an unknown user gets the most rated movies; a user who rated all movies gets
                none.
            why: add to each item, as ``because``, the rated movie that contributes most to it.
                Fallbacks for a short list have no explanation, nor has any item of a generation
                published without explanations.
            choice: how many, and which: see ``Choice``.

        Raises:
            UsageError: an argument has another type or range, or a genre is unknown.
        """
        return self._run(self._core.user(user_id, why=why, **choice))

    def ranked(self, user_id: Id, **choice: Unpack[Choice]) -> Answer:
        """Return the best movies for a user, by predicted rating; otherwise as ``user``."""
        return self._run(self._core.ranked(user_id, **choice))

    def similar(self, movie_id: Id, **choice: Unpack[Choice]) -> Answer:
        """Return the movies most like a movie, never itself; otherwise as ``user``."""
        return self._run(self._core.similar(movie_id, **choice))

    def for_ratings(
        self, ratings: Mapping[str, float] | Mapping[int, float], **choice: Unpack[Choice]
    ) -> Answer:
        """Return movies for somebody who has no list yet, by a few ratings of theirs.

        Each item says under ``because`` which of the rated movies speaks most for it, of those with
        no fewer stars than the mean; None if there is none, or if that one is hidden.

        Args:
            ratings: stars by movie id, on the scale of the published data; up to fifty.
            choice: how many, and which: see ``Choice``. Rated movies are left out.

        Raises:
            UsageError: no rating, too many, one that is not on the scale, or a value of the
                choice cannot be.
        """
        return self._run(self._core.for_ratings(ratings, **choice))

    def popular(
        self, by: str = BY_MOST_RATED, genre: str | None = None, **choice: Unpack[Choice]
    ) -> Answer:
        """Return what is popular.

        Args:
            by: most_rated or highest_rated.
            genre: of one genre only, in any case.
            choice: how many, and which: see ``Choice``.

        Raises:
            UsageError: ``by`` is neither, the genre is unknown, or a value of the choice cannot
                be.
        """
        return self._run(self._core.popular(by, genre, **choice))

    def movie(self, movie_id: Id) -> Movie | None:
        """Return a movie's label; None if it is unknown."""
        return self._run(self._core.movie(movie_id))

    def find_title(self, title: str) -> tuple[Movie, ...]:
        """Return the movies of a title, with or without its year, whatever case and accents.

        Where no movie has exactly this title: those whose title differs in punctuation or its
        article only, or has it in brackets.
        """
        return self._run(self._core.find_title(title))

    def search(self, text: str, *, n: int = DEFAULT_N, partial: bool = False) -> tuple[Movie, ...]:
        """Return movies by words of their titles, or by the words' beginnings.

        Args:
            text: words; case, accents, hyphens, apostrophes and the order do not matter, and
                articles may be left out. All words must be there.
            n: how many.
            partial: whether some of the words are enough.

        Returns:
            Movies of exactly this title first, then those with the most words, the most whole
            words and the most ratings; no hidden movie.

        Raises:
            UsageError: there is no word, or ``n`` is below 1.
        """
        return self._run(self._core.search(text, n, partial=partial))

    def seen(self, user_id: Id) -> tuple[str, ...]:
        """Return the ids of the movies that a user rated, newest first."""
        return self._run(self._core.seen(user_id))

    def assign(self, user_id: Id) -> str:
        """Return the namespace that an experiment gives a user; without one, the reader's own."""
        return self._run(self._core.assign(user_id))

    def experiment(self) -> Experiment | None:
        """Return how users are split between namespaces; None: everybody is in the reader's own."""
        return self._run(self._core.experiment())

    def status(self) -> Status:
        """Return what is live."""
        return self._run(self._core.status())

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
            place = f"at {mask_url(self._url)}" if self._url else place_of(self._client)
            raise NothingPublished(error.namespace, place) from None

    def _take_patiently(self, step: Step) -> Sequence[Any]:
        """Make one round trip, again for a moment if the server cannot answer yet."""
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
    """Return what a pipeline of a step would, in a third less of the time.

    What is left out is what the client does around each command: statistics, options, and packing
    arguments of any kind. Connections and retries are its own.

    Raises:
        redis.RedisError: the server refuses, or does not answer.
    """
    commands: tuple[tuple[str | bytes, ...], ...] = (("MGET", *step.keys), *step.commands)
    packed = [b"".join(map(_packed, commands))]
    pool = client.connection_pool
    connection = pool.get_connection()

    def ask() -> list[Any]:
        connection.send_packed_command(packed)  # type: ignore[no-untyped-call]
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except ResponseError as error:  # the other replies are on their way all the same
                replies.append(error)
        return replies

    try:
        replies = connection.retry.call_with_retry(
            ask,
            lambda _: connection.disconnect(),  # type: ignore[no-untyped-call]
        )
    finally:
        pool.release(connection)
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies


def _packed(command: tuple[str | bytes, ...]) -> bytes:
    words = [word.encode() if isinstance(word, str) else word for word in command]
    return b"*%d\r\n%b" % (
        len(words),
        b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]),
    )
