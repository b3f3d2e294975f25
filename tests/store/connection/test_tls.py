"""TLS: reasons of a failed connection are distinguished; connections work without password."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from real_servers import free_port, installed
from reco_store.connection.client import store_errors
from reco_store.connection.connect import connect
from reco_store.errors import NothingPublished, StoreUnreachable, UsageError
from reco_store.read.async_reader import AsyncReader

PAST = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def authority(tmp_path):
    """Return a certificate authority and its file."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made


@pytest.fixture
def serve(make_server, tmp_path, authority):
    """Return a function that starts a TLS-only server and returns its port."""

    def start(certificate: trustme.LeafCert, *, wants_client: bool = False) -> int:
        chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        certificate.cert_chain_pems[0].write_to_path(chain)
        certificate.private_key_pem.write_to_path(key)
        port = free_port()
        options = ["--tls-port", str(port), "--bind", "127.0.0.1"]
        options += ["--tls-auth-clients", "yes" if wants_client else "no"]
        options += ["--tls-cert-file", str(chain), "--tls-key-file", str(key)]
        options += ["--tls-ca-cert-file", str(tmp_path / "ca.pem")]
        make_server(*options, binary=installed("redis"))  # the embedded server has no TLS
        return port

    return start


def refusal(url: str) -> str:
    """Return the message about an address that cannot be used."""
    with (
        connect(url, timeout_seconds=0.5) as client,
        pytest.raises(StoreUnreachable) as refused,
        store_errors(client),
    ):
        client.get("x")
    return str(refused.value)


def test_every_connection_comes_about(serve, authority, tmp_path):
    """Session tickets after the handshake do not break the connection."""
    url = f"rediss://127.0.0.1:{serve(authority.issue_cert('127.0.0.1'))}"
    for _ in range(40):
        with connect(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}") as client:
            assert client.get("x") is None


async def test_asyncio_reader(serve, authority, tmp_path):
    """The asyncio reader connects over TLS."""
    url = f"rediss://127.0.0.1:{serve(authority.issue_cert('127.0.0.1'))}"
    async with AsyncReader(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}") as reader:
        with pytest.raises(NothingPublished):
            await reader.status()


def test_authority_that_is_not_known(serve, authority):
    """A certificate of an unknown authority is reported with the option to add."""
    message = refusal(f"rediss://127.0.0.1:{serve(authority.issue_cert('127.0.0.1'))}")
    assert "from an authority that is not known here" in message
    assert "rediss://...?ssl_ca_certs=FILE" in message
    assert message.startswith("cannot use the store at rediss://")


@pytest.mark.parametrize("name", ["elsewhere.example", "10.0.0.1"])
def test_certificate_of_another_host(serve, authority, tmp_path, name):
    """A certificate for another host name or address is reported."""
    port = serve(authority.issue_cert(name))
    message = refusal(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}")
    assert "certificate is for another host" in message


def test_expired_certificate(serve, authority, tmp_path):
    """An expired certificate is reported."""
    port = serve(authority.issue_cert("127.0.0.1", not_after=PAST))
    message = refusal(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}")
    assert "certificate has expired" in message
    assert "Renew it" in message


def test_required_client_certificate_is_reported(serve, authority, tmp_path):
    """A required client certificate is reported with its options, and works."""
    port = serve(authority.issue_cert("127.0.0.1"), wants_client=True)
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}"
    message = refusal(url)
    assert "requires a client certificate" in message
    assert "ssl_certfile=FILE&ssl_keyfile=FILE" in message
    mine = authority.issue_cert("client.example")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "mine.pem")
    with connect(f"{url}&ssl_certfile={tmp_path / 'mine.pem'}") as client:
        assert client.get("x") is None
    stranger = trustme.CA().issue_cert("client.example")
    stranger.private_key_and_cert_chain_pem.write_to_path(tmp_path / "stranger.pem")
    message = refusal(f"{url}&ssl_certfile={tmp_path / 'stranger.pem'}")
    assert "or another one" in message


def test_no_tls_to_a_server_with_tls(serve, authority):
    """A plain connection to a TLS server is reported with the right scheme."""
    message = refusal(f"redis://127.0.0.1:{serve(authority.issue_cert('127.0.0.1'))}")
    assert "use rediss:// instead of redis://" in message


def test_tls_to_a_server_without(make_server, authority, tmp_path):
    """A TLS connection to a plain server is reported with the right scheme."""
    port = free_port()
    make_server("--port", str(port), "--bind", "127.0.0.1")
    message = refusal(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}")
    assert "use redis:// instead of rediss://" in message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("ssl_ca_certs={}/none.pem", "ssl_ca_certs"),
        ("ssl_ca_certs={}/empty.pem", "ssl_ca_certs"),
        ("ssl_certfile={}/none.pem", "ssl_certfile"),
        ("ssl_certfile={}/ca.pem&ssl_keyfile={}/empty.pem", "ssl_certfile"),
    ],
)
def test_files_that_cannot_be_used(authority, tmp_path, options, named):
    """Unusable certificate files are reported before connecting."""
    (tmp_path / "empty.pem").touch()
    url = f"rediss://h:1?{options.replace('{}', str(tmp_path))}"
    with pytest.raises(UsageError, match=rf"^the option {named} of .*expected a PEM file"):
        connect(url)


def test_tls_options_without_tls():
    """TLS options without the TLS scheme are refused."""
    with pytest.raises(UsageError, match=re.escape("expected one that begins with rediss")):
        connect("redis://h:1?ssl_ca_certs=/etc/ca.pem")
