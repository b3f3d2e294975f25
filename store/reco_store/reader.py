"""The blocking reader: one GET's worth of time for an answer.

What is asked and what it means stands in ``core.py``; here is only the connection.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from reco_store.client import CLIENT_ERRORS, connect, is_cluster, label_of, require_bytes, translate
from reco_store.core import DEFAULT_N, Core
from reco_store.keys import BY_MOST_RATED, Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from redis import Redis

    from reco_store.answers import Answer, Movie, Status
    from reco_store.client import Client
    from reco_store.core import Request

__all__ = ["Reader"]

RETRIES = 2  # reading may be repeated without harm

_T = TypeVar("_T")


class Reader:
    """Reads what is published. Threads may share one.

    Each request is answered from one generation. A user or movie that is unknown gets the most
    rated movies, and each item says where it comes from.

    Args:
        url: address of the store; None means the embedded store.
        namespace: which of the models that live side by side.
        home: folder of the embedded store; unused with a URL or a client.
        client: a connection to use instead; it is not closed with the reader.
        clock: seconds since 1970.

    Raises:
        UsageError: the address or namespace has an unknown form, or the client decodes replies.
        StoreUnreachable: a cluster or the embedded store does not answer.
        NotInstalled: the embedded store is wanted, but its extra is missing.

    Every request raises:
        NothingPublished: the namespace has no live generation.
        ContractMismatch: it was published under another contract.
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
        self._client = connect(url, home=home, retries=RETRIES) if client is None else client
        require_bytes(self._client)
        # One MGET for all keys of a step: as quick as a single GET, and they are of one moment.
        # A cluster has them on several servers.
        self._fetch: Callable[..., Sequence[bytes | None]]
        if is_cluster(self._client):
            self._fetch = self._fetch_each
        elif self._own:
            self._fetch = partial(_mget, cast("Redis", self._client))
        else:  # which may do more around a command than one of our own making
            self._fetch = partial(self._client.execute_command, "MGET")

    def user(self, user_id: str, *, n: int = DEFAULT_N, exclude: Iterable[str] = ()) -> Answer:
        """Return the best movies for a user, by the retrieval model.

        Args:
            user_id: who; anyone unknown gets the most rated movies.
            n: how many; fewer only if the whole of what is stored is fewer.
            exclude: movies not to be shown.

        Raises:
            UsageError: ``n`` is below 1.
        """
        return self._run(self._core.user(user_id, n, exclude))

    def ranked(self, user_id: str, *, n: int = DEFAULT_N, exclude: Iterable[str] = ()) -> Answer:
        """Return the best movies for a user, by predicted rating; otherwise as ``user``."""
        return self._run(self._core.ranked(user_id, n, exclude))

    def similar(self, movie_id: str, *, n: int = DEFAULT_N, exclude: Iterable[str] = ()) -> Answer:
        """Return the movies most like a movie, never itself; otherwise as ``user``."""
        return self._run(self._core.similar(movie_id, n, exclude))

    def popular(
        self,
        by: str = BY_MOST_RATED,
        genre: str | None = None,
        *,
        n: int = DEFAULT_N,
        exclude: Iterable[str] = (),
    ) -> Answer:
        """Return what is popular.

        Args:
            by: most_rated or highest_rated.
            genre: of one genre only; an unknown one gets the most rated movies of all.
            n: how many.
            exclude: movies not to be shown.

        Raises:
            UsageError: ``by`` is neither, or ``n`` is below 1.
        """
        return self._run(self._core.popular(by, genre, n, exclude))

    def movie(self, movie_id: str) -> Movie | None:
        """Return a movie's label; None if it is unknown."""
        return self._run(self._core.movie(movie_id))

    def find_title(self, title: str) -> tuple[Movie, ...]:
        """Return the movies of a title, with or without its year, whatever case and accents."""
        return self._run(self._core.find_title(title))

    def seen(self, user_id: str) -> tuple[str, ...]:
        """Return the ids of the movies that a user rated, newest first."""
        return self._run(self._core.seen(user_id))

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
        fetch = self._fetch
        send = request.send
        try:
            keys = next(request)
            while True:
                keys = send(fetch(*keys))
        except StopIteration as end:
            return cast("_T", end.value)
        except CLIENT_ERRORS as error:
            raise translate(error, label_of(self._client)) from error

    def _fetch_each(self, *keys: str | bytes) -> Sequence[bytes | None]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
        values: list[bytes | None] = pipeline.execute()
        return values


def _mget(client: Redis, *keys: str | bytes) -> Sequence[bytes | None]:
    """Read keys as a client of `connect` does, in three quarters of its time.

    What is left out is what the client does around each command: statistics, options, and packing
    arguments of any kind. Connections and retries are its own.

    Raises:
        redis.RedisError: the server refuses, or does not answer.
    """
    encoded = [key.encode() if isinstance(key, str) else key for key in keys]
    arguments = b"".join([b"$%d\r\n%b\r\n" % (len(key), key) for key in encoded])
    command = [b"*%d\r\n$4\r\nMGET\r\n%b" % (1 + len(keys), arguments)]
    pool = client.connection_pool
    connection = pool.get_connection()

    def ask() -> Sequence[bytes | None]:
        connection.send_packed_command(command)  # type: ignore[no-untyped-call]
        values: Sequence[bytes | None] = connection.read_response()
        return values

    try:
        return connection.retry.call_with_retry(
            ask,
            lambda _: connection.disconnect(),  # type: ignore[no-untyped-call]
        )
    finally:
        pool.release(connection)
