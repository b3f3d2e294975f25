"""Connections to the store, and the translation of the client library's errors.

One kind of address serves all: ``redis://``, ``rediss://`` (verified TLS), ``unix://``,
``redis+cluster://`` or ``?cluster=true`` for Redis Cluster, and ``redis-sentinel://`` for a primary
that Sentinels name. No address means the embedded store.
Everything else in this package takes a client as a parameter, made here or by the caller.

Retries are off, unless asked for: a repeated command can hide that the server was restarted in
between and lost what it had (a reader may ask for them, a publisher must not).
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from redis import Redis, RedisCluster, connection, exceptions
from redis.backoff import AbstractBackoff, ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from reco_store.errors import UsageError
from reco_store.explain import ENDED_AFTER_HANDSHAKE, translate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncRedisCluster

    from reco_store.errors import RecoError

__all__ = ["Client", "connect", "is_cluster", "mask_url", "store_errors", "translate"]

Client: TypeAlias = Redis | RedisCluster
AsyncClient: TypeAlias = "AsyncRedis | AsyncRedisCluster"

#: What the client library raises; one of its bases stands apart from the others.
CLIENT_ERRORS: Final = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
DEFAULT_TIMEOUT_SECONDS: Final = 5.0
EMBEDDED_SOCKET: Final = "store.sock"
DEFAULT_SENTINEL_PORT: Final = 26379
_MASK: Final = "***"
_EXPECTED: Final = (
    "expected redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, "
    "redis-sentinel:// or rediss-sentinel://"
)
_SINGLE, _CLUSTER, _SENTINEL = "single", "cluster", "sentinel"
_SCHEMES: Final = {
    "redis": ("redis", _SINGLE),
    "rediss": ("rediss", _SINGLE),
    "unix": ("unix", _SINGLE),
    "redis+cluster": ("redis", _CLUSTER),
    "rediss+cluster": ("rediss", _CLUSTER),
    "redis-sentinel": ("redis", _SENTINEL),
    "rediss-sentinel": ("rediss", _SENTINEL),
    "redis+sentinel": ("redis", _SENTINEL),
    "rediss+sentinel": ("rediss", _SENTINEL),
}
#: Options of the client library that an address shared with other programs may have; ignored,
#: since this client always uses its own values.
_SETTLED: Final = frozenset({"decode_responses", "protocol", "legacy_responses"})
_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?")
# Older versions of the client library have no such option, and send what a server may refuse.
_NO_CLIENT_INFO: Final = {"driver_info": None} if hasattr(connection, "DriverInfo") else {}
_TRUE: Final = frozenset({"1", "true", "yes"})


class Address(NamedTuple):
    """An address in the client library's own form."""

    url: str
    cluster: bool
    label: str  # safe to print
    sentinels: tuple[tuple[str, int], ...] = ()  # host and port of each
    service: str = ""  # by which the Sentinels know the primary


class Kinds(NamedTuple):
    """The client library's classes, blocking or asyncio."""

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
    with store_errors(address.label):
        client: Client = open_client(
            address,
            Kinds(Redis, RedisCluster, Sentinel),
            retry=Retry(_backoff(retries), retries),
            timeout_seconds=timeout_seconds,
            hook=_tls_hook(address),
        )
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
    url = _cleaned(url)
    parts = _require_whole(url)
    scheme, kind = _SCHEMES[parts.scheme]
    query = {name: value for name, value in parse_qsl(parts.query) if name not in _SETTLED}
    clustered = query.pop("cluster", "").lower() in _TRUE or cluster or kind == _CLUSTER
    netloc, path = parts.netloc, parts.path
    sentinels: tuple[tuple[str, int], ...] = ()
    service = ""
    if kind == _SENTINEL:
        clustered = False
        login, at, hosts = netloc.rpartition("@")
        sentinels = tuple(_host(host) for host in hosts.split(","))
        netloc = f"{login}{at}{hosts.split(',')[0]}"
        service, _, database = unquote(path).strip("/").partition("/")
        path = f"/{database}"
    _require_meaning(mask_url(url), scheme, path, query, service if sentinels else "-")
    plain = urlunsplit((scheme, netloc, path, urlencode(query), ""))
    if scheme == "unix":  # urlunsplit drops the empty host
        plain = f"unix://{netloc}{path}" + (f"?{urlencode(query)}" if query else "")
    return Address(plain, clustered, mask_url(url), sentinels, service)


def open_client(
    address: Address,
    kinds: Kinds,
    *,
    retry: object,
    timeout_seconds: float,
    hook: Mapping[str, Any] = MappingProxyType({}),
) -> Any:  # noqa: ANN401  one of the kinds
    """Make a client of an address.

    Args:
        address: as `resolve` returns it.
        kinds: of the client.
        retry: the client library's, blocking or asyncio as the kinds are.
        timeout_seconds: for connecting, and for each reply.
        hook: options that are for some clients only.

    Raises:
        UsageError: an option of the address is unknown, or its value cannot be.
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
        # Unknown options would show only when the first command connects.
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

    A server sends session tickets of TLS 1.3 after the handshake. Until something is read, they
    make a new connection look as if a reply had been left in it, and the client library drops it.
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


def _client_by_sentinel(address: Address, kinds: Kinds, options: dict[str, Any]) -> Any:  # noqa: ANN401
    """Make a client that asks Sentinels, at each new connection, who the primary is."""
    asked = connection.parse_url(address.url)  # type: ignore[no-untyped-call]
    for name in ("host", "port"):
        asked.pop(name, None)
    tls = {name: value for name, value in asked.items() if name.startswith("ssl_")}
    if asked.pop("connection_class", None) is not None:  # rediss
        tls["ssl"] = True
    own = {
        name: asked.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in asked
    }
    manager = kinds.sentinel(
        list(address.sentinels),
        sentinel_kwargs={**options, **tls, **own},
        **{**options, **asked, **tls},
    )
    return manager.master_for(address.service, redis_class=kinds.single)


def _cleaned(url: str) -> str:
    """Strip blanks, line ends and quotes, which files of variables leave around an address."""
    url = url.strip()
    if len(url) > 1 and url[0] == url[-1] and url[0] in "\"'":
        url = url[1:-1].strip()
    return url


def _require_whole(url: str) -> SplitResult:
    """Split an address of a known scheme.

    Raises:
        UsageError: it has none, or its password has letters that must be encoded.
    """
    label = mask_url(url)
    if "://" not in url:
        like = f", such as redis://{url}" if _is_host(url) else ""
        raise UsageError(f"the address {label} has no scheme; {_EXPECTED}{like}")
    if _is_cut_short(url):
        raise UsageError(
            f"the address {label} is not understood; percent-encode / ? # @ % [ ] in the password"
        )
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise UsageError(f"the address {label} is not understood; {_EXPECTED}")
    return parts


def _require_meaning(
    label: str, scheme: str, path: str, query: dict[str, str], service: str
) -> None:
    """Refuse errors that the client library would overlook, or report only on connecting.

    Raises:
        UsageError: the database number is not a number, TLS is not as it must be, or a Sentinel's
            address names no primary.
    """
    if not service:
        raise UsageError(
            f"the address {label} does not name the primary; expected its name after the hosts, "
            "as in redis-sentinel://HOST:26379,HOST:26379/NAME/0"
        )
    database = path.strip("/")
    if scheme != "unix" and database and not re.fullmatch(r"\d+", database):
        raise UsageError(
            f"the address {label} is not understood; expected the number of a database after "
            "the last /, such as 0"
        )
    of_tls = next((name for name in query if name.startswith("ssl_")), None)
    if of_tls is not None and scheme != "rediss":
        raise UsageError(
            f"the address {label} has the option {of_tls}, but does not use TLS; expected one "
            "that begins with rediss"
        )
    if query.get("ssl_cert_reqs", "required") != "required" or (
        query.get("ssl_check_hostname", "true").lower() not in _TRUE
    ):
        raise UsageError(
            f"the address {label} switches the TLS check off; name the certificate "
            "authority with ?ssl_ca_certs=FILE instead"
        )
    _require_tls_files(label, query)


def _require_tls_files(label: str, query: dict[str, str]) -> None:
    """Read the files of certificates that an address names.

    Raises:
        UsageError: one of them is missing or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority, certificate = query.get("ssl_ca_certs"), query.get("ssl_certfile")
    option, file = "ssl_ca_certs", authority
    try:
        if authority is not None:
            context.load_verify_locations(authority)
        if certificate is not None:
            key = query.get("ssl_keyfile")
            option, file = "ssl_certfile", f"{certificate} with the key {key or certificate}"
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, query.get("ssl_password", ""))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UsageError(
            f"the option {option} of the address {label} cannot be used: {file}: {reason}; "
            "expected a PEM file that this account can read"
        ) from error


def _is_host(text: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+(:\d{1,5})?", text))


def _host(text: str) -> tuple[str, int]:
    """Return host and port of a Sentinel; the address was found whole."""
    found = _HOST.fullmatch(text)
    host, port = (text, "") if found is None else (found[1], found[2])
    return host.strip("[]") or "localhost", int(port or DEFAULT_SENTINEL_PORT)


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
    url = _cleaned(url)
    if "://" not in url:  # no address at all, but maybe a password
        return url if _is_host(url) else _MASK
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        user = parts.username or ""
        secret = parts.password is not None
    except ValueError:  # a broken port or IPv6 address: show nothing of it
        return _MASK
    if not parts.netloc and "@" in url and parts.scheme != "unix":
        return _MASK
    if _is_cut_short(url) or "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme}://{_MASK}"
    login = f"{quote(user)}:{_MASK}@" if secret else f"{quote(user)}@" if user else ""
    query = "&".join(
        f"{name}={_MASK if 'password' in name.lower() else value}"
        for name, value in parse_qsl(parts.query)
    )
    tail = f"?{query}" if query else ""
    return f"{parts.scheme}://{login}{host}{parts.path}{tail}"


def _is_cut_short(url: str) -> bool:
    """Tell whether a letter such as / in the password ended the part that names the host."""
    try:
        parts = urlsplit(url)
        user_or_option = [name for name, value in parse_qsl(parts.query) if "@" in value]
    except ValueError:
        return True
    if not parts.netloc or parts.scheme == "unix":
        return False
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return (
        not all(map(_HOST.fullmatch, hosts))  # a piece of a password is no port
        or "@" in parts.path + parts.fragment
        # Names of accounts, passwords and files may have an @.
        or not all(re.search(r"user|password|name$|ssl_", name) for name in user_or_option)
        or ("@" in parts.query and not user_or_option)
    )


def label_of(client: object) -> str:
    """Return a printable address of a client that the caller made, sync or async."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return "its Redis Cluster"
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    # Blocking and asyncio classes are called alike; the latter take long to import.
    scheme = "rediss" if "SSL" in pool.connection_class.__name__ else "redis"
    database = f"/{options['db']}" if options.get("db") else ""
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        hosts = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
        return f"{scheme}-sentinel://{','.join(map(_shown, hosts))}/{pool.service_name}{database}"
    return f"{scheme}://{_shown(options)}{database}"


def _shown(options: dict[str, Any]) -> str:
    """Return host and port as an address has them."""
    host = str(options.get("host", "localhost"))
    return f"{f'[{host}]' if ':' in host else host}:{options.get('port', 6379)}"


def follows_sentinel(client: object) -> bool:
    """Return whether Sentinels name the primary, so that a failover is a new connection."""
    return hasattr(getattr(client, "connection_pool", None), "sentinel_manager")


def account_of(client: object) -> str:
    """Return the name of the account with which a client logs in; empty: not known."""
    holder = getattr(client, "connection_pool", None) or getattr(client, "nodes_manager", None)
    options = getattr(holder, "connection_kwargs", None)
    if options is None or options.get("credential_provider") is not None:
        return ""
    return str(options.get("username") or "default")


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
