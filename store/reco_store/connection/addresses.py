"""Addresses of a store: their forms, their checks, and their masked form for messages.

``redis://``, ``rediss://`` (verified TLS), ``unix://``, ``redis+cluster://`` or ``?cluster=true``
for Redis Cluster, and ``redis-sentinel://`` for a primary behind Sentinels.
"""

from __future__ import annotations

import re
import ssl
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from reco_store.errors import UsageError

__all__ = ["Address", "mask_url", "parse_address"]

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
#: Options of the client library that are ignored: an address shared with other programs may have
#: them, and this client always uses its own values.
_SETTLED: Final = frozenset({"decode_responses", "protocol", "legacy_responses"})
_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?")
_TRUE: Final = frozenset({"1", "true", "yes"})


class Address(NamedTuple):
    """Address in the form of the client library."""

    url: str
    cluster: bool
    label: str
    """Masked address, safe to print."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each Sentinel."""
    service: str = ""
    """Name of the primary in the configuration of the Sentinels."""


def parse_address(url: str, *, cluster: bool = False) -> Address:
    """Return an address in the form of the client library.

    Args:
        url: address in one of the forms above.
        cluster: treat the address as one node of a Redis Cluster.

    Raises:
        UsageError: the URL has an unknown form, or switches the TLS check off.
    """
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


def mask_url(url: str) -> str:
    """Return an address that is safe to print: passwords are masked."""
    url = _cleaned(url)
    if "://" not in url:  # not an address, but perhaps a password
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
    """Return whether a character such as / in the password ended the host part of the address."""
    try:
        parts = urlsplit(url)
        user_or_option = [name for name, value in parse_qsl(parts.query) if "@" in value]
    except ValueError:
        return True
    if not parts.netloc or parts.scheme == "unix":
        return False
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return (
        not all(map(_HOST.fullmatch, hosts))  # part of a password is not a port
        or "@" in parts.path + parts.fragment
        # Names of accounts, passwords and files may have an @.
        or not all(re.search(r"user|password|name$|ssl_", name) for name in user_or_option)
        or ("@" in parts.query and not user_or_option)
    )


def _cleaned(url: str) -> str:
    """Strip blanks, line ends and quotes, which environment files leave around an address."""
    url = url.strip()
    if len(url) > 1 and url[0] == url[-1] and url[0] in "\"'":
        url = url[1:-1].strip()
    return url


def _require_whole(url: str) -> SplitResult:
    """Split an address with a known scheme.

    Raises:
        UsageError: the scheme is missing, or the password has characters that must be encoded.
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
    """Refuse errors that the client library would ignore, or report only on connecting.

    Raises:
        UsageError: the database is not a number, TLS options are wrong or unsafe, or a Sentinel
            address does not name a primary.
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
    tls_option = next((name for name in query if name.startswith("ssl_")), None)
    if tls_option is not None and scheme != "rediss":
        raise UsageError(
            f"the address {label} has the option {tls_option}, but does not use TLS; expected one "
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
    """Check the certificate files in an address.

    Raises:
        UsageError: a file is missing, or is not a PEM file of its kind.
    """
    authority, certificate = query.get("ssl_ca_certs"), query.get("ssl_certfile")
    if authority is None and certificate is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    option, file = "ssl_ca_certs", authority
    try:
        if authority is not None:
            context.load_verify_locations(authority)
        if certificate is not None:
            key = query.get("ssl_keyfile")
            option, file = "ssl_certfile", f"{certificate} with the key {key or certificate}"
            # Without a password, OpenSSL would prompt for one on the terminal.
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
    """Return host and port of a Sentinel, from an address that was checked."""
    found = _HOST.fullmatch(text)
    host, port = (text, "") if found is None else (found[1], found[2])
    return host.strip("[]") or "localhost", int(port or DEFAULT_SENTINEL_PORT)
