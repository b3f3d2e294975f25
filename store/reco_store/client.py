"""Connections to the store, and the translation of the client library's errors.

One kind of address serves all: ``redis://``, ``rediss://`` (verified TLS), ``unix://``, and
``redis+cluster://`` or ``?cluster=true`` for Redis Cluster. No address means the embedded store.
Everything else in this package takes a client as a parameter, made here or by the caller.

Retries are off, unless asked for: a repeated command can hide that the server was restarted in
between and lost what it had (a reader may ask for them, a publisher must not).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from redis import Redis, RedisCluster, connection, exceptions
from redis.backoff import AbstractBackoff, ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from reco_store.errors import (
    ContractMismatch,
    RecoError,
    StoreUnfit,
    StoreUnreachable,
    UsageError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncRedisCluster

__all__ = ["Client", "connect", "is_cluster", "mask_url", "store_errors", "translate"]

Client: TypeAlias = Redis | RedisCluster
AsyncClient: TypeAlias = "AsyncRedis | AsyncRedisCluster"

#: What the client library raises; one of its bases stands apart from the others.
CLIENT_ERRORS: Final = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
DEFAULT_TIMEOUT_SECONDS: Final = 5.0
EMBEDDED_SOCKET: Final = "store.sock"
_MASK: Final = "***"
_SECRET_OPTIONS: Final = frozenset({"password", "ssl_password", "ssl_keyfile_password"})
_SCHEMES: Final = {
    "redis": ("redis", False),
    "rediss": ("rediss", False),
    "unix": ("unix", False),
    "redis+cluster": ("redis", True),
    "rediss+cluster": ("rediss", True),
}
# Older versions of the client library have no such option, and send what a server may refuse.
_NO_CLIENT_INFO: Final = {"driver_info": None} if hasattr(connection, "DriverInfo") else {}
_TRUE: Final = frozenset({"1", "true", "yes"})


class Address(NamedTuple):
    """An address in the client library's own form."""

    url: str
    cluster: bool
    label: str  # safe to print


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

    A single server is contacted by the first command, a cluster at once.

    Args:
        url: address of the store; None means the embedded store, started if need be.
        home: folder of the embedded store; unused with a URL.
        cluster: treat the URL as one node of a Redis Cluster.
        retries: how often a command is repeated after a lost connection.
        timeout_seconds: for connecting, and for each reply.
        start: start the embedded store even if it has no snapshot to serve.

    Raises:
        UsageError: the URL has an unknown form, or switches the TLS check off.
        NothingPublished: the embedded store has nothing to serve, and ``start`` is False.
        StoreUnreachable: the cluster does not answer.
        StoreUnfit: the embedded store does not start or does not answer.
        NotInstalled: the embedded store is wanted, but its extra is missing.
    """
    address = resolve(url, home=home, cluster=cluster, start=start)
    options = client_options(timeout_seconds)
    retry = Retry(_backoff(retries), retries)
    with store_errors(address.label):
        try:
            if address.cluster:
                return RedisCluster.from_url(address.url, retry=retry, **options)
            client = Redis.from_url(address.url, retry=retry, **options)
            # Unknown options would show only when the first command connects.
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"the address {address.label} is not understood: an option or its value is unknown"
            ) from error
    return client


def resolve(url: str | None, *, home: Path | None, cluster: bool, start: bool = True) -> Address:
    """Bring an address into the client library's form; start the embedded store for None.

    Raises:
        UsageError: the URL has an unknown form, or switches the TLS check off.
        NothingPublished: the embedded store has nothing to serve, and ``start`` is False.
        StoreUnfit: the embedded store does not start or does not answer.
        NotInstalled: the embedded store is wanted, but its extra is missing.
    """
    if url is None:
        # Not needed by anyone who has a server, and not installed with the base package.
        from reco_store.embedded import ensure_server  # noqa: PLC0415

        url = ensure_server(home, start=start)
    if _is_cut_short(url):
        raise UsageError(
            f"the address {mask_url(url)} is not understood; "
            "percent-encode / ? # @ % in the password"
        )
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise UsageError(
            f"the address {mask_url(url)} is not understood; expected redis://, rediss://, "
            "unix://, redis+cluster:// or rediss+cluster://"
        )
    scheme, clustered = _SCHEMES[parts.scheme]
    query = dict(parse_qsl(parts.query))
    clustered = clustered or cluster or query.pop("cluster", "").lower() in _TRUE
    if query.get("ssl_cert_reqs", "required") != "required" or (
        query.get("ssl_check_hostname", "true").lower() not in _TRUE
    ):
        raise UsageError(
            f"the address {mask_url(url)} switches the TLS check off; name the certificate "
            "authority with ?ssl_ca_certs=FILE instead"
        )
    plain = urlunsplit((scheme, parts.netloc, parts.path, urlencode(query), ""))
    if scheme == "unix":  # urlunsplit drops the empty host
        plain = f"unix://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")
    return Address(plain, clustered, mask_url(url))


def client_options(timeout_seconds: float) -> dict[str, Any]:
    """Return the options that every client shares, all but ``retry``.

    RESP2 and no client info, so that the handshake needs no right beyond the commands used.
    """
    return {
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        **_NO_CLIENT_INFO,
    }


def _backoff(retries: int) -> AbstractBackoff:
    return ExponentialWithJitterBackoff(cap=0.5, base=0.02) if retries else NoBackoff()


def is_cluster(client: Client) -> bool:
    """Tell whether commands on several keys must be sent key by key."""
    return isinstance(client, RedisCluster)


def require_bytes(client: object) -> None:
    """Refuse a client that decodes replies: values are bytes, and ids may be no text.

    Raises:
        UsageError: the client was made with ``decode_responses=True``.
    """
    pool = getattr(client, "connection_pool", None)
    encoder = pool.get_encoder() if pool is not None else getattr(client, "encoder", None)
    if getattr(encoder, "decode_responses", False):
        raise UsageError("the client decodes replies; make it with decode_responses=False")


def mask_url(url: str) -> str:
    """Return an address that is safe to print: passwords are masked."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        user = parts.username or ""
        secret = parts.password is not None
    except ValueError:  # a broken port or IPv6 address: show nothing of it
        return _MASK
    if not parts.netloc and "@" in url:  # no address at all, but maybe a password
        return _MASK
    if _is_cut_short(url) or "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme}://{_MASK}"
    login = f"{quote(user)}:{_MASK}@" if secret else f"{quote(user)}@" if user else ""
    query = "&".join(
        f"{name}={_MASK if name in _SECRET_OPTIONS else value}"
        for name, value in parse_qsl(parts.query)
    )
    tail = f"?{query}" if query else ""
    return f"{parts.scheme}://{login}{host}{parts.path}{tail}"


def _is_cut_short(url: str) -> bool:
    """Tell whether a letter such as / in the password ended the part that names the host."""
    try:
        parts = urlsplit(url)
        if "@" not in parts.netloc:
            _ = parts.port  # a piece of a password is no number
    except ValueError:
        return True
    return bool(parts.netloc) and parts.scheme != "unix" and "@" in parts.path + parts.fragment


def label_of(client: object) -> str:
    """Return a printable address of a client that the caller made, sync or async."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return "its Redis Cluster"
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    return f"redis://{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def place_of(client: object) -> str:
    """Return where a client reads, as the end of a sentence."""
    folder = embedded_folder_of(client)
    return f"at {label_of(client)}" if folder is None else in_embedded(folder)


def embedded_folder_of(client: object) -> Path | None:
    """Return the folder of the embedded store that a client reads; None if it reads another one."""
    socket = Path(label_of(client).removeprefix("unix://"))
    if socket.name != EMBEDDED_SOCKET:
        return None
    folder = socket.parent  # or a link to it, where its own path is too long to connect to
    return folder if folder.name == "store" else folder.resolve()


def in_embedded(folder: Path) -> str:
    """Return which embedded store is read, and why, as the end of a sentence."""
    return (
        f"in the embedded store in {folder}, which is used because no server is named "
        "(--redis-url, REDIS_URL)"
    )


class store_errors:  # noqa: N801  used as a verb: with store_errors(url)
    """Context manager: errors of the client library leave it as errors of this package.

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
            where = self._where if isinstance(self._where, str) else label_of(self._where)
            raise translate(error, where) from error


def translate(error: Exception, where: str) -> RecoError:
    """Return the error of this package that says what an error of the client library means.

    Args:
        error: a RedisError, or an OSError of its socket.
        where: printable address of the store.
    """
    reason = str(error) or type(error).__name__
    if isinstance(error, exceptions.NoPermissionError):
        return StoreUnfit(
            f"the store at {where} does not allow this user a command it needs ({reason})",
            "Use the writer's account for publishing; docs/keys.md lists the rights.",
        )
    if isinstance(error, exceptions.OutOfMemoryError):
        return StoreUnfit(
            f"the store at {where} is full",
            "Raise maxmemory, or keep fewer generations.",
        )
    if isinstance(error, exceptions.ReadOnlyError):
        return StoreUnfit(
            f"the server at {where} is a replica", "Publish to the primary of this store."
        )
    if isinstance(error, exceptions.ResponseError) and "WRONGTYPE" in reason:
        return ContractMismatch(
            f"a key of another type at {where}",
            "strings, and sets where docs/keys.md has them",
            "Something else writes under this namespace; choose another with --namespace.",
        )
    if isinstance(error, exceptions.ResponseError) and not isinstance(
        error, exceptions.ClusterDownError
    ):
        return StoreUnfit(
            f"the store at {where} refused a command ({reason})",
            "See the server's log.",
        )
    return StoreUnreachable(where, reason)
