"""Asyncio reader: the requests of the blocking reader, awaited."""

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
    location_of,
    require_bytes,
    store_errors,
)
from reco_store.connection.connect import (
    DEFAULT_TIMEOUT_SECONDS,
    ClientClasses,
    open_client,
    resolve,
)
from reco_store.connection.waiting import READER_SECONDS, Waiting
from reco_store.contract.keys import BY_MOST_RATED, Keys
from reco_store.errors import NothingPublished
from reco_store.read.list_query import DEFAULT_N
from reco_store.read.pinning import flattened, queue
from reco_store.read.reader import RETRIES
from reco_store.read.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self, Unpack

    from reco_store.connection.client import AsyncClient
    from reco_store.contract.arguments import Id, Recent
    from reco_store.contract.experiment import Experiment
    from reco_store.read.answer_types import Answer, Movie, Status, StoredGeneration
    from reco_store.read.list_query import ListFilters
    from reco_store.read.pinning import Request, Step

__all__ = ["AsyncReader"]

_T = TypeVar("_T")


class AsyncReader:
    """Asyncio reader of the published lists. Tasks may share one.

    Arguments, answers and errors are those of ``Reader``. The first request connects, and reports
    unknown options of the address.
    """

    def __init__(
        self,
        url: str | None = None,
        namespace: str = "reco",
        *,
        home: Path | None = None,
        client: AsyncClient | None = None,
        clock: Callable[[], float] = time.time,
        generation: str | None = None,
    ) -> None:
        self._requests = Requests(Keys(namespace), clock, generation)
        if url is not None and client is None:
            resolve(url, home=home, cluster=False)  # a wrong address is refused here, as by Reader
        self._url = url if client is None else None
        self._home = home
        self._own = client is None
        self._client = client
        self._connecting = asyncio.Lock()
        if client is not None:
            require_bytes(client)

    async def user(
        self,
        user_id: Id,
        *,
        why: bool = False,
        recent: Recent | None = None,
        **filters: Unpack[ListFilters],
    ) -> Answer:
        """Return the best movies for a user, by the retrieval model and the recent movies."""
        return await self._run(self._requests.user(user_id, why=why, recent=recent, **filters))

    async def ranked(self, user_id: Id, **filters: Unpack[ListFilters]) -> Answer:
        """Return the best movies for a user, by predicted rating."""
        return await self._run(self._requests.ranked(user_id, **filters))

    async def similar(self, movie_id: Id, **filters: Unpack[ListFilters]) -> Answer:
        """Return the movies most similar to a movie, never itself."""
        return await self._run(self._requests.similar(movie_id, **filters))

    async def for_ratings(
        self, ratings: Mapping[str, float] | Mapping[int, float], **filters: Unpack[ListFilters]
    ) -> Answer:
        """Return movies for a new user with a few ratings (cold start)."""
        return await self._run(self._requests.for_ratings(ratings, **filters))

    async def popular(
        self, by: str = BY_MOST_RATED, genre: str | None = None, **filters: Unpack[ListFilters]
    ) -> Answer:
        """Return popular movies of all genres or of one; for ``by`` see ``Reader.popular``."""
        return await self._run(self._requests.popular(by, genre, **filters))

    async def movie(self, movie_id: Id) -> Movie | None:
        """Return a movie's label; None if it is unknown."""
        return await self._run(self._requests.movie(movie_id))

    async def movies(self, movie_ids: Sequence[Id]) -> tuple[Movie | None, ...]:
        """Return the labels of several movies, in their order; None for each that is unknown."""
        return await self._run(self._requests.movies(movie_ids))

    async def find_title(self, title: str) -> tuple[Movie, ...]:
        """Return the movies with a title, with or without its year, ignoring case and accents."""
        return await self._run(self._requests.find_title(title))

    async def search(
        self, text: str, *, n: int = DEFAULT_N, partial: bool = False
    ) -> tuple[Movie, ...]:
        """Return movies by words of their titles, or by prefixes of words."""
        return await self._run(self._requests.search(text, n, partial=partial))

    async def seen(self, user_id: Id) -> tuple[str, ...]:
        """Return the ids of the movies that a user rated, newest first."""
        return await self._run(self._requests.seen(user_id))

    async def assign(self, user_id: Id) -> str:
        """Return the namespace that an experiment assigns to a user, or the reader's namespace."""
        return await self._run(self._requests.assign(user_id))

    async def experiment(self) -> Experiment | None:
        """Return the experiment that splits users between namespaces; None if there is none."""
        return await self._run(self._requests.experiment())

    async def generations(self) -> tuple[StoredGeneration, ...]:
        """Return the generations that are complete in the store, newest first."""
        return await self._run(self._requests.generations())

    async def status(self) -> Status:
        """Return the status of the live generation, or of the one that the reader names."""
        return await self._run(self._requests.status())

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
            place = f"at {mask_url(self._url)}" if self._url else location_of(client)
            raise NothingPublished(error.namespace, place) from None

    async def _connect(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                # Starting the embedded store takes a moment, which must not block the loop.
                address = await asyncio.to_thread(
                    resolve, self._url, home=self._home, cluster=False, start=False
                )
                with store_errors(address.label):
                    self._client = open_client(
                        address,
                        ClientClasses(Redis, RedisCluster, Sentinel),
                        retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), RETRIES),
                        timeout_seconds=DEFAULT_TIMEOUT_SECONDS,
                    )
            return self._client


async def _take_patiently(client: AsyncClient, step: Step) -> Sequence[Any]:
    """Make one round trip, and retry for READER_SECONDS if the server is not ready."""
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
