"""Facts about a client: its kind, its printable address, its account, and its errors.

All other modules of this package take a client as a parameter. ``connect`` makes one from an
address; the caller may also pass a client of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redis import Redis, RedisCluster, exceptions

from reco_store.connection.explain import translate
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncRedisCluster

    from reco_store.errors import RecoError

__all__ = [
    "CLIENT_ERRORS",
    "EMBEDDED_SOCKET",
    "AsyncClient",
    "Client",
    "account_of",
    "embedded_folder_of",
    "explained",
    "follows_sentinel",
    "in_embedded",
    "is_cluster",
    "label_of",
    "location_of",
    "require_bytes",
    "store_errors",
]

Client: TypeAlias = Redis | RedisCluster
AsyncClient: TypeAlias = "AsyncRedis | AsyncRedisCluster"

#: Base classes of the errors that the client library raises.
CLIENT_ERRORS: Final = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
#: Name of the embedded store's socket, in its folder.
EMBEDDED_SOCKET: Final = "store.sock"


def is_cluster(client: Client) -> bool:
    """Return whether commands on several keys must be sent key by key."""
    return isinstance(client, RedisCluster)


def require_bytes(client: object) -> None:
    """Refuse a client that decodes replies: values are bytes, and ids need not be valid UTF-8.

    Raises:
        UsageError: the client was made with ``decode_responses=True``.
    """
    pool = getattr(client, "connection_pool", None)
    encoder = pool.get_encoder() if pool is not None else getattr(client, "encoder", None)
    if getattr(encoder, "decode_responses", False):
        raise UsageError("the client decodes replies; make it with decode_responses=False")


def label_of(client: object) -> str:
    """Return a printable address of a client that the caller made, sync or async."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return "its Redis Cluster"
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    # Compared by name: importing the asyncio classes takes long.
    scheme = "rediss" if "SSL" in pool.connection_class.__name__ else "redis"
    database = f"/{options['db']}" if options.get("db") else ""
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        hosts = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
        return f"{scheme}-sentinel://{','.join(map(_shown, hosts))}/{pool.service_name}{database}"
    return f"{scheme}://{_shown(options)}{database}"


def _shown(options: dict[str, Any]) -> str:
    """Return host and port in the notation of an address."""
    host = str(options.get("host", "localhost"))
    return f"{f'[{host}]' if ':' in host else host}:{options.get('port', 6379)}"


def follows_sentinel(client: object) -> bool:
    """Return whether the client asks Sentinels for the primary, so a failover is a reconnect."""
    return hasattr(getattr(client, "connection_pool", None), "sentinel_manager")


def account_of(client: object) -> str:
    """Return the name of the account with which a client logs in; empty if unknown."""
    holder = getattr(client, "connection_pool", None) or getattr(client, "nodes_manager", None)
    options = getattr(holder, "connection_kwargs", None)
    if options is None or options.get("credential_provider") is not None:
        return ""
    return str(options.get("username") or "default")


def location_of(client: object) -> str:
    """Return the location of a client's store, as the end of a sentence."""
    folder = embedded_folder_of(client)
    return f"at {label_of(client)}" if folder is None else in_embedded(folder)


def embedded_folder_of(client: object) -> Path | None:
    """Return the folder of the embedded store that a client uses; None for any other store."""
    socket = Path(label_of(client).removeprefix("unix://"))
    if socket.name != EMBEDDED_SOCKET:
        return None
    folder = socket.parent  # or a link to it, if its path is too long for a socket
    return folder if folder.name == "store" else folder.resolve()


def in_embedded(folder: Path) -> str:
    """Return the location of the embedded store, and why it is used, as the end of a sentence."""
    return (
        f"in the embedded store in {folder}, which is used because no server is named "
        "(--redis-url, REDIS_URL)"
    )


class store_errors:  # noqa: N801  used as a verb: with store_errors(url)
    """Context manager that turns errors of the client library into errors of this package.

    Args:
        where: printable address of the store, or the client in use.
    """

    __slots__ = ("_where",)

    def __init__(self, where: object) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, CLIENT_ERRORS):
            raise explained(error, self._where) from error


def explained(error: Exception, where: object) -> RecoError:
    """Return the error of this package that explains an error of the client library.

    Args:
        error: a RedisError, or an OSError of its socket.
        where: printable address of the store, or the client in use.
    """
    if isinstance(where, str):
        return translate(error, where)
    return translate(error, label_of(where), account_of(where))
