"""Clients made from an address: of a server, a cluster, Sentinels, or the embedded store.

Retries are off by default: a repeated command can hide that the server restarted in between and
lost data. A reader may turn them on, a publisher must not.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis import Redis, RedisCluster, connection, exceptions
from redis.backoff import AbstractBackoff, ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from reco_store.connection.addresses import Address, parse_address
from reco_store.connection.client import Client, store_errors
from reco_store.connection.explain import ENDED_AFTER_HANDSHAKE
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "DEFAULT_TIMEOUT_SECONDS",
    "ClientClasses",
    "client_options",
    "connect",
    "open_client",
    "resolve",
]

DEFAULT_TIMEOUT_SECONDS: Final = 5.0
#: Turns the client information off; older versions of the client library have no such option.
_NO_CLIENT_INFO: Final = {"driver_info": None} if hasattr(connection, "DriverInfo") else {}


class ClientClasses(NamedTuple):
    """Client classes of the library, blocking or asyncio."""

    single: Any
    cluster: Any
    sentinel: Any


def connect(
    url: str | None,
    *,
    home: Path | None = None,
    cluster: bool = False,
    retries: int = 0,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    start: bool = True,
) -> Client:
    """Return a client of the store.

    A cluster is contacted at once, a single server by the first command.

    Args:
        url: address of the store; None means the embedded store, which is started if necessary.
        home: folder of the embedded store; unused with a URL.
        cluster: treat the URL as one node of a Redis Cluster.
        retries: number of times that a command is repeated after a lost connection.
        timeout_seconds: timeout in seconds of connecting and of each reply.
        start: start the embedded store even if it has no snapshot to serve.

    Raises:
        UsageError: the URL has an unknown form, or switches the TLS check off.
        NothingPublished: the embedded store has nothing to serve, and ``start`` is False.
        StoreUnreachable: the cluster does not answer.
        StoreUnfit: the embedded store does not start or does not answer.
        NotInstalled: the embedded store needs an extra that is not installed.
    """
    address = resolve(url, home=home, cluster=cluster, start=start)
    with store_errors(address.label):
        client: Client = open_client(
            address,
            ClientClasses(Redis, RedisCluster, Sentinel),
            retry=Retry(_backoff(retries), retries),
            timeout_seconds=timeout_seconds,
            hook=_tls_hook(address),
        )
    return client


def resolve(url: str | None, *, home: Path | None, cluster: bool, start: bool = True) -> Address:
    """Return an address in the form of the client library; start the embedded store for None.

    Raises:
        UsageError: the URL has an unknown form, or switches the TLS check off.
        NothingPublished: the embedded store has nothing to serve, and ``start`` is False.
        StoreUnfit: the embedded store does not start or does not answer.
        NotInstalled: the embedded store needs an extra that is not installed.
    """
    if url is None:
        # Only the embedded store needs it, which is an extra.
        from reco_store.connection.embedded.server import ensure_server  # noqa: PLC0415

        url = ensure_server(home, start=start)
    return parse_address(url, cluster=cluster)


def open_client(
    address: Address,
    kinds: ClientClasses,
    *,
    retry: object,
    timeout_seconds: float,
    hook: Mapping[str, Any] = MappingProxyType({}),
) -> Any:  # noqa: ANN401  one of the kinds
    """Return a client for an address.

    Args:
        address: the address, from `resolve`.
        kinds: blocking or asyncio client classes.
        retry: retry policy of the client library, blocking or asyncio like the classes.
        timeout_seconds: timeout in seconds of connecting and of each reply.
        hook: options of some clients only.

    Raises:
        UsageError: an option of the address is unknown, or its value is invalid.
        redis.RedisError: a cluster does not answer.
    """
    options = {"retry": retry, **client_options(timeout_seconds), **hook}
    try:
        if address.cluster:
            return kinds.cluster.from_url(address.url, **options)
        if address.sentinels:
            client = _client_by_sentinel(address, kinds, options)
        else:
            client = kinds.single.from_url(address.url, **options)
        # Otherwise unknown options would raise only when the first command connects.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (TypeError, ValueError) as error:
        option = re.search(r"'(\w+)'", str(error))
        which = f"its option {option[1]}" if option else "an option"
        raise UsageError(
            f"the address {address.label} is not understood: {which} or its value is unknown"
        ) from error
    return client


def _tls_hook(address: Address) -> dict[str, Any]:
    """Return the option that lets a blocking client use a TLS connection without a password.

    A server sends TLS 1.3 session tickets after the handshake. Until something is read, a new
    connection looks as if it had an unread reply, and the client library drops it.
    """
    if not address.url.startswith("rediss"):
        return {}

    def read_something(connection: Any) -> None:  # noqa: ANN401  the client library's
        try:
            connection.send_command("HELLO", "2", check_health=False)
            connection.read_response()
        except (exceptions.ResponseError, exceptions.AuthenticationError):
            return  # the tickets are read; the first command will report the error
        except exceptions.ConnectionError as error:
            if isinstance(error.__context__, OSError) or "closed by server" in str(error):
                raise exceptions.ConnectionError(f"{ENDED_AFTER_HANDSHAKE}: {error}") from error
            raise

    def greet(connection: Any) -> None:  # noqa: ANN401  as above
        connection.on_connect()
        read_something(connection)

    return {"redis_connect_func": read_something if address.cluster else greet}


def _client_by_sentinel(address: Address, kinds: ClientClasses, options: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return a client that asks Sentinels for the primary at each new connection."""
    parsed = connection.parse_url(address.url)  # type: ignore[no-untyped-call]
    for name in ("host", "port"):
        parsed.pop(name, None)
    tls = {name: value for name, value in parsed.items() if name.startswith("ssl_")}
    if parsed.pop("connection_class", None) is not None:  # rediss
        tls["ssl"] = True
    own = {
        name: parsed.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in parsed
    }
    manager = kinds.sentinel(
        list(address.sentinels),
        sentinel_kwargs={**options, **tls, **own},
        **{**options, **parsed, **tls},
    )
    return manager.master_for(address.service, redis_class=kinds.single)


def client_options(timeout_seconds: float) -> dict[str, Any]:
    """Return the options that all clients share, except ``retry``.

    RESP2 without client information: the handshake needs no rights beyond the commands used.
    """
    return {
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        **_NO_CLIENT_INFO,
    }


def _backoff(retries: int) -> AbstractBackoff:
    return ExponentialWithJitterBackoff(cap=0.5, base=0.02) if retries else NoBackoff()
