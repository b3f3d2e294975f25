"""Translation of refusals, with replies of real servers."""

from __future__ import annotations

import threading
import time

import pytest
from redis.exceptions import ResponseError

from real_servers import free_port
from reco_store.connection.client import store_errors
from reco_store.connection.connect import connect
from reco_store.errors import StoreNotReady, StoreUnfit, StoreUnreachable


@pytest.fixture
def account(server, client):
    """Return the address of an account with some rights."""

    def make(*words: str) -> str:
        client.execute_command("ACL", "SETUSER", "ann", "reset", "on", ">pw", *words)
        return f"{server.url}?username=ann&password=pw"

    yield make
    client.execute_command("ACL", "DELUSER", "ann")


def refusal(url: str, *words: str) -> str:
    """Return the message about the refusal of a command."""
    with (
        connect(url) as client,
        pytest.raises((StoreUnfit, StoreUnreachable)) as refused,
        store_errors(client),
    ):
        client.execute_command(*words)
    return str(refused.value)


def test_missing_command(account):
    """A refused command is reported with account and command."""
    message = refusal(account("+get", "~*"), "SCARD", "x")
    assert "account ann " in message
    assert "may not run SCARD" in message
    assert "Grant the account +scard" in message


def test_missing_key(account):
    """A refused key is reported differently from a refused command."""
    message = refusal(account("+get", "~mine"), "GET", "x")
    assert "account ann " in message
    assert "may not use one of the keys" in message


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (("+eval", "~*"), "return redis.call('GET', 'x')"),
        (("+eval", "+get", "~mine"), "return redis.call('GET', 'x')"),
    ],
)
def test_missing_right_of_a_script(account, words, script):
    """Refusals within a script are recognised in the wording of every server."""
    message = refusal(account(*words), "EVAL", script, "0")
    assert "account ann " in message
    assert "Grant the account" in message


def test_wrong_login(server, account):
    """A refused login is reported with the account, without the password."""
    account("+get")
    message = refusal(f"{server.url}?username=ann&password=canary", "GET", "x")
    assert "refused the login of the account ann" in message
    assert "percent-encoded" in message
    assert "canary" not in message


def test_no_login(make_server, binary):
    """A missing password is reported, and so is a superfluous one."""
    server = make_server("--requirepass", "x", binary=binary)
    assert "requires a user name and password" in refusal(server.url, "GET", "x")


def test_superfluous_password_is_reported(make_server, binary):
    """A password that the server does not require is reported."""
    server = make_server(binary=binary)
    assert "requires none" in refusal(f"{server.url}?password=x", "GET", "x")


def test_database_out_of_range(server):
    """A database number that is too large is reported."""
    assert "no database of that number" in refusal(f"{server.url}?db=99", "GET", "x")


def test_command_that_is_switched_off(make_server, binary):
    """A disabled command is reported by name."""
    server = make_server("--rename-command", "EVAL", "", binary=binary)
    assert "does not know the command EVAL" in refusal(server.url, "EVAL", "return 1", "0")


def test_replica(make_server, binary):
    """A read-only replica and one without a primary are reported."""
    server = make_server(binary=binary)
    with connect(server.url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        assert "is a replica" in refusal(server.url, "SET", "x", "y")
        client.config_set("replica-serve-stale-data", "no")
    with (
        connect(server.url) as client,
        pytest.raises(StoreNotReady, match="lost its primary"),
        store_errors(client),
    ):
        client.get("x")


def test_slow_script(make_server, binary):
    """A server that is blocked by a script is reported as not ready."""
    option = "--busy-reply-threshold" if binary.name == "valkey-server" else "--lua-time-limit"
    server = make_server(option, "20", binary=binary)

    def spin() -> None:
        with connect(server.url) as spinner, pytest.raises(ResponseError):
            spinner.eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()
    with connect(server.url) as client:
        time.sleep(0.2)
        try:
            with pytest.raises(StoreNotReady, match="slow script"), store_errors(client):
                client.get("x")
        finally:
            client.script_kill()
            thread.join()


def test_cluster_addresses(cluster, make_server):
    """A wrong scheme for a cluster or a single server is reported with the right one."""
    single = cluster.url.replace("redis+cluster", "redis")
    messages = [
        refusal(single, "GET", key) for key in ("a", "b", "c", "d") if _is_elsewhere(single, key)
    ]
    assert messages
    assert all("Use redis+cluster://" in one for one in messages)
    port = free_port()
    make_server("--port", str(port), "--bind", "127.0.0.1")
    with pytest.raises(StoreUnfit, match="not part of a Redis Cluster"):
        connect(f"redis+cluster://127.0.0.1:{port}")


def _is_elsewhere(url: str, key: str) -> bool:
    with connect(url) as client:
        try:
            client.get(key)
        except ResponseError:
            return True
    return False


def test_unknown_host_is_reported():
    """An unknown host name is reported."""
    assert "host is not known" in refusal("redis://nowhere.invalid:6379", "GET", "x")
