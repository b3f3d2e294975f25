"""Clients: addresses are parsed, passwords masked, and errors translated."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions

from reco_store.connection.addresses import mask_url
from reco_store.connection.client import label_of, store_errors
from reco_store.connection.connect import connect, resolve
from reco_store.errors import ContractMismatch, StoreUnfit, StoreUnreachable, UsageError
from reco_store.read.async_reader import AsyncReader

SECRET = "canary-7f3a"  # noqa: S105  a canary, to be found wherever it leaks
WORDS = st.text("abcXYZ019-_.~/?#@%", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        (f"redis://:{SECRET}@h:1", "redis://:***@h:1"),
        (f"rediss://ann:{SECRET}@h:1/2?x=1", "rediss://ann:***@h:1/2?x=1"),
        ("redis://ann@h", "redis://ann@h"),
        (f"unix:///tmp/s?password={SECRET}&db=1", "unix:///tmp/s?password=***&db=1"),
        (f"redis://ann:{SECRET}@[::1:1", "***"),
        ("redis://u:p@ss@h", "redis://u:***@h"),
        ("redis://writer:abc/def@h:6379/0", "redis://***"),
        ("redis://writer:pa#ss@h", "redis://***"),
        ("redis://writer:pa?ss@h", "redis://***"),
        ("redis://writer:12?34@h", "redis://***"),
        ("redis://writer:p@a/ss@h", "redis://***"),
        ("redis://writer:pa/ss", "redis://***"),
        ("redis://writer:12?x=34@h", "redis://***"),
        (f"  redis://:{SECRET}@h:1\n", "redis://:***@h:1"),
        (f'"redis://:{SECRET}@h:1"', "redis://:***@h:1"),
        (
            f"redis-sentinel://u:{SECRET}@a:1,b:2/main/0?sentinel_password={SECRET}",
            "redis-sentinel://u:***@a:1,b:2/main/0?sentinel_password=***",
        ),
        ("redis-sentinel://a:1,b:2/main", "redis-sentinel://a:1,b:2/main"),
        ("127.0.0.1:7001", "127.0.0.1:7001"),
    ],
)
def test_mask_url(url, shown):
    """An address is shown without its password."""
    assert mask_url(url) == shown


@given(WORDS, WORDS)
def test_no_password_survives_masking(user, word):
    """A password is masked in every position of an address."""
    secret = f"{SECRET}{word}"
    for url in (
        f"redis://{user}:{secret}@h:1",
        f"redis://{user}:{word}{SECRET}@h:1",
        f"redis://h?password={secret}",
        f"x:{secret}@h",
    ):
        assert SECRET not in mask_url(url)


@pytest.mark.parametrize(
    "password", ["ab/cd", "ab?cd", "ab#cd", "12/cd", "a@b/cd", "[cd", "12?cd", "12?x=cd", "1#cd"]
)
def test_password_that_cuts_the_address_short(password):
    """A character that must be percent-encoded is a usage error, without the password."""
    with pytest.raises(UsageError, match=r"percent-encode / \? # @ %") as refused:
        connect(f"redis://writer:{password}@127.0.0.1:1/0")
    assert "cd" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("url", ["unix:///tmp/a@b.sock", "redis://h?password=p@ss"])
def test_at_sign_in_a_path_or_option_is_accepted(url):
    """An @ in the path of a socket or in an option is accepted."""
    assert resolve(url, home=None, cluster=False).url.startswith(url[:8])


@pytest.mark.parametrize(
    ("url", "plain", "cluster"),
    [
        ("redis://h:1/2", "redis://h:1/2", False),
        ("rediss://u:p@h", "rediss://u:p@h", False),
        ("unix:///tmp/a%20b.sock?db=1", "unix:///tmp/a%20b.sock?db=1", False),
        ("redis+cluster://h:7000", "redis://h:7000", True),
        ("rediss+cluster://h:7000", "rediss://h:7000", True),
        ("redis://h:7000?cluster=true", "redis://h:7000", True),
        ("redis://h:7000?cluster=false&db=0", "redis://h:7000?db=0", False),
        ("REDIS://h:1/2", "redis://h:1/2", False),
        (" redis://h:1/2\r\n", "redis://h:1/2", False),
        ("'redis://h:1/2'", "redis://h:1/2", False),
        ('"redis://h:1/2"\n', "redis://h:1/2", False),
        ("redis://h:1?decode_responses=true&protocol=3&db=2", "redis://h:1?db=2", False),
        ("redis://[::1]:7/2", "redis://[::1]:7/2", False),
    ],
)
def test_resolve(url, plain, cluster):
    """Each form of address leads to the right kind of client."""
    address = resolve(url, home=None, cluster=False)
    assert (address.url, address.cluster) == (plain, cluster)


@pytest.mark.parametrize(
    ("url", "sentinels", "plain"),
    [
        ("redis-sentinel://h/main", (("h", 26379),), "redis://h/"),
        ("redis+sentinel://u:p@a:1,b/main/3", (("a", 1), ("b", 26379)), "redis://u:p@a:1/3"),
        ("rediss-sentinel://[::1]:5,b:6/my%20one", (("::1", 5), ("b", 6)), "rediss://[::1]:5/"),
    ],
)
def test_resolve_sentinel(url, sentinels, plain):
    """A Sentinel address has hosts, the name of the primary and a database."""
    address = resolve(url, home=None, cluster=False)
    assert (address.sentinels, address.url) == (sentinels, plain)
    assert address.service in ("main", "my one")


def test_sentinel_without_a_name():
    """A Sentinel address without the name of the primary is refused with an example."""
    with pytest.raises(UsageError, match=r"redis-sentinel://HOST:26379,HOST:26379/NAME/0"):
        connect("redis-sentinel://h:26379")


@pytest.mark.parametrize("url", ["redis://h:1/x", "redis-sentinel://h/main/x", "redis://h/1/2"])
def test_database_that_is_no_number(url):
    """A database that is not a number is refused; the client library would use 0."""
    with pytest.raises(UsageError, match="expected the number of a database"):
        connect(url)


async def test_asyncio_reader_refuses_the_same():
    """The asyncio reader refuses a wrong address at once, wrong options on connecting."""
    for url in ("h:1", "redis://h:1/x", "redis://:a/b@h:1", "rediss://h:1?ssl_cert_reqs=none"):
        with pytest.raises(UsageError):
            AsyncReader(url)
    for option in ("colour=blue", "socket_timeout=soon"):
        async with AsyncReader(f"redis://127.0.0.1:1?{option}") as reader:
            with pytest.raises(UsageError, match=option.partition("=")[0]):
                await reader.status()


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("redis://[::1]:7/2", "redis://[::1]:7/2"),
        ("rediss://u:p@h:1", "rediss://h:1"),
        ("redis-sentinel://a:1,b:2/main/3", "redis-sentinel://a:1,b:2/main/3"),
    ],
)
def test_label(url, label):
    """The printable address of a client has the form of its URL."""
    with connect(url) as client:
        assert label_of(client) == label


@pytest.mark.parametrize("url", ["h:6379", "http://h", "", "mysql://u:canary-7f3a@h"])
def test_unknown_address(url):
    """An unknown scheme is a usage error with the known ones."""
    with pytest.raises(UsageError, match="rediss://") as refused:
        connect(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "option", ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false"]
)
def test_tls_cannot_be_left_unverified(option):
    """TLS without verification is refused with a next step."""
    with pytest.raises(UsageError, match="ssl_ca_certs"):
        connect(f"rediss://h:1?{option}")


@pytest.mark.parametrize("option", ["colour=blue", "socket_timeout=soon"])
def test_unknown_option(option):
    """An unknown option is a usage error."""
    with pytest.raises(UsageError, match="option"):
        connect(f"redis://127.0.0.1:1?{option}").ping()


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (exceptions.ConnectionError("refused"), StoreUnreachable, "refused"),
        (exceptions.TimeoutError("slow"), StoreUnreachable, "slow"),
        (exceptions.AuthenticationError("WRONGPASS"), StoreUnreachable, "password"),
        (exceptions.BusyLoadingError("loading"), StoreUnreachable, "loading"),
        (exceptions.ClusterDownError("CLUSTERDOWN"), StoreUnreachable, "CLUSTERDOWN"),
        (OSError("no route"), StoreUnreachable, "no route"),
        (exceptions.OutOfMemoryError("OOM"), StoreUnfit, "maxmemory"),
        (exceptions.NoPermissionError("NOPERM set"), StoreUnfit, "NOPERM set"),
        (exceptions.ReadOnlyError("READONLY"), StoreUnfit, "primary"),
        (exceptions.ResponseError("MISCONF disk"), StoreUnfit, "MISCONF disk"),
        (exceptions.ResponseError("WRONGTYPE x"), ContractMismatch, "namespace"),
    ],
)
def test_translation(error, kind, word):
    """Every error of the client library becomes an error of this package."""
    with pytest.raises(kind, match=word) as translated, store_errors("redis://h"):
        raise error
    assert translated.value.__cause__ is error
    assert "redis://h" in str(translated.value)


def test_own_errors_pass():
    """Other errors are not translated."""
    with pytest.raises(ZeroDivisionError), store_errors("redis://h"):
        _ = 1 / 0
    with store_errors("redis://h"):
        pass


def test_server_that_is_down():
    """A server that does not listen is reported with its address and a next step."""
    with (
        connect("redis://127.0.0.1:1") as client,
        pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:1"),
        store_errors(client),
    ):
        client.ping()


def test_cluster_that_is_down():
    """A cluster is contacted at once."""
    with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:1"):
        connect(f"redis+cluster://u:{SECRET}@127.0.0.1:1")


def test_wrong_password_is_not_shown(make_server):
    """A refused password appears neither in the message nor in the traceback."""
    server = make_server("--requirepass", "right")
    with connect(f"{server.url}?password={SECRET}") as client:
        with pytest.raises(StoreUnreachable, match="password") as refused, store_errors(client):
            client.ping()
        text = "".join(traceback.format_exception(refused.value))
        assert SECRET not in text
    with connect(f"{server.url}?password=right") as client:
        assert client.ping()


def test_wrong_type_is_a_mismatch(client, keys):
    """A key of the wrong type is reported as a contract mismatch."""
    client.lpush(keys.current, "x")
    with pytest.raises(ContractMismatch, match="another type"), store_errors(client):
        client.get(keys.current)
