"""The asyncio reader: the same requests, awaited. See ``core.py`` and ``reader.py``."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff

from reco_store.connection.addresses import mask_url
from reco_store.connection.client import (
    CLIENT_ERRORS,
    explained,
    follows_sentinel,
    place_of,
    require_bytes,
    store_errors,
)
from reco_store.connection.connect import DEFAULT_TIMEOUT_SECONDS, Kinds, open_client, resolve
from reco_store.connection.waiting import READER_SECONDS, Waiting
from reco_store.contract.keys import BY_MOST_RATED, Keys
from reco_store.errors import NothingPublished
from reco_store.read.list_query import DEFAULT_N
from reco_store.read.pinning import flattened, queue
from reco_store.read.reader import RETRIES
from reco_store.read.requests import Core

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self, Unpack

    from reco_store.connection.client import AsyncClient
    from reco_store.contract.arguments import Id
    from reco_store.contract.experiment import Experiment
    from reco_store.read.answers import Answer, Movie, Status
    from reco_store.read.list_query import Choice
    from reco_store.read.pinning import Request, Step

__all__ = ["AsyncReader"]

_T = TypeVar("_T")


class AsyncReader:
    """Reads what is published, without blocking the event loop. Tasks may share one.

    Arguments, answers and errors are those of ``Reader``; the connection is made by the first
    request, which reports options of the address that are unknown.
    """

    def __init__(
        self,
        url: str | None = None,
        namespace: str = "reco",
        *,
        home: Path | None = None,
        client: AsyncClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._core = Core(Keys(namespace), clock)
        if url is not None and client is None:
            resolve(url, home=home, cluster=False)  # a wrong address is refused here, as by Reader
        self._url = url if client is None else None
        self._home = home
        self._own = client is None
        self._client = client
        self._connecting = asyncio.Lock()
        if client is not None:
            require_bytes(client)

    async def user(self, user_id: Id, *, why: bool = False, **choice: Unpack[Choice]) -> Answer:
        """Return the best movies for a user, by the retrieval model, and why, if that is asked."""
        return await self._run(self._core.user(user_id, why=why, **choice))

    async def ranked(self, user_id: Id, **choice: Unpack[Choice]) -> Answer:
        """Return the best movies for a user, by predicted rating."""
        return await self._run(self._core.ranked(user_id, **choice))

    async def similar(self, movie_id: Id, **choice: Unpack[Choice]) -> Answer:
        """Return the movies most like a movie, never itself."""
        return await self._run(self._core.similar(movie_id, **choice))

    async def for_ratings(
        self, ratings: Mapping[str, float] | Mapping[int, float], **choice: Unpack[Choice]
    ) -> Answer:
        """Return movies for somebody who has no list yet, by a few ratings of theirs."""
        return await self._run(self._core.for_ratings(ratings, **choice))

    async def popular(
        self, by: str = BY_MOST_RATED, genre: str | None = None, **choice: Unpack[Choice]
    ) -> Answer:
        """Return what is popular, most_rated or highest_rated, of all or of one genre."""
        return await self._run(self._core.popular(by, genre, **choice))

    async def movie(self, movie_id: Id) -> Movie | None:
        """Return a movie's label; None if it is unknown."""
        return await self._run(self._core.movie(movie_id))

    async def find_title(self, title: str) -> tuple[Movie, ...]:
        """Return the movies of a title, with or without its year, whatever case and accents."""
        return await self._run(self._core.find_title(title))

    async def search(
        self, text: str, *, n: int = DEFAULT_N, partial: bool = False
    ) -> tuple[Movie, ...]:
        """Return movies by words of their titles, or by the words' beginnings."""
        return await self._run(self._core.search(text, n, partial=partial))

    async def seen(self, user_id: Id) -> tuple[str, ...]:
        """Return the ids of the movies that a user rated, newest first."""
        return await self._run(self._core.seen(user_id))

    async def assign(self, user_id: Id) -> str:
        """Return the namespace that an experiment gives a user; without one, the reader's own."""
        return await self._run(self._core.assign(user_id))

    async def experiment(self) -> Experiment | None:
        """Return how users are split between namespaces; None: everybody is in the reader's own."""
        return await self._run(self._core.experiment())

    async def status(self) -> Status:
        """Return what is live."""
        return await self._run(self._core.status())

    async def close(self) -> None:
        """Close the connection, if the reader made it."""
        if self._own and self._client is not None:
            pool = getattr(self._client, "connection_pool", None)
            await self._client.aclose()
            for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
                await sentinel.aclose()
            self._client = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, request: Request[_T]) -> _T:
        client = self._client or await self._connect()
        try:
            step = next(request)
            while True:
                step = request.send(await _take_patiently(client, step))
        except StopIteration as end:
            return cast("_T", end.value)
        except CLIENT_ERRORS as error:
            raise explained(error, client) from error
        except NothingPublished as error:
            place = f"at {mask_url(self._url)}" if self._url else place_of(client)
            raise NothingPublished(error.namespace, place) from None

    async def _connect(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                # Starting the embedded store takes a moment, which the loop need not wait.
                address = await asyncio.to_thread(
                    resolve, self._url, home=self._home, cluster=False, start=False
                )
                with store_errors(address.label):
                    self._client = open_client(
                        address,
                        Kinds(Redis, RedisCluster, Sentinel),
                        retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), RETRIES),
                        timeout_seconds=DEFAULT_TIMEOUT_SECONDS,
                    )
            return self._client


async def _take_patiently(client: AsyncClient, step: Step) -> Sequence[Any]:
    """Make one round trip, again for a moment if the server cannot answer yet."""
    try:
        return await _take(client, step)
    except CLIENT_ERRORS as error:
        waiting = Waiting(READER_SECONDS, with_lost=follows_sentinel(client))
        last = error
    while (pause := waiting.pause(last)) is not None:
        await asyncio.sleep(pause)
        try:
            return await _take(client, step)
        except CLIENT_ERRORS as error:
            last = error
    raise last


async def _take(client: AsyncClient, step: Step) -> Sequence[Any]:
    """Make one round trip."""
    clustered = isinstance(client, RedisCluster)
    pipeline = client.pipeline(transaction=False)
    queue(pipeline, step, clustered=clustered)
    return flattened(await pipeline.execute(), step, clustered=clustered)
