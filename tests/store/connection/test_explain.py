"""Explanations of what servers refuse: by the replies of real servers."""

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
    """Return what a command's refusal is explained with."""
    with (
        connect(url) as client,
        pytest.raises((StoreUnfit, StoreUnreachable)) as refused,
        store_errors(client),
    ):
        client.execute_command(*words)
    return str(refused.value)


def test_missing_command(account):
    """The account and the command are named."""
    said = refusal(account("+get", "~*"), "SCARD", "x")
    assert "account ann " in said
    assert "may not run SCARD" in said
    assert "Grant the account +scard" in said


def test_missing_key(account):
    """A key that is closed is another matter than a command."""
    said = refusal(account("+get", "~mine"), "GET", "x")
    assert "account ann " in said
    assert "may not use one of the keys" in said


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (("+eval", "~*"), "return redis.call('GET', 'x')"),
        (("+eval", "+get", "~mine"), "return redis.call('GET', 'x')"),
    ],
)
def test_missing_right_of_a_script(account, words, script):
    """Servers word the refusal of a script in their own ways."""
    said = refusal(account(*words), "EVAL", script, "0")
    assert "account ann " in said
    assert "Grant the account" in said


def test_wrong_login(server, account):
    """Neither the server nor the address is blamed."""
    account("+get")
    said = refusal(f"{server.url}?username=ann&password=canary", "GET", "x")
    assert "refused the login of the account ann" in said
    assert "percent-encoded" in said
    assert "canary" not in said


def test_no_login(make_server, binary):
    """A server that wants a password says so to an address without one, and the reverse."""
    server = make_server("--requirepass", "x", binary=binary)
    assert "requires a user name and password" in refusal(server.url, "GET", "x")


def test_password_that_nobody_asked_for(make_server, binary):
    """The address has a password, the server none."""
    server = make_server(binary=binary)
    assert "requires none" in refusal(f"{server.url}?password=x", "GET", "x")


def test_database_out_of_range(server):
    """A number that is too large is not a fault of the server."""
    assert "no database of that number" in refusal(f"{server.url}?db=99", "GET", "x")


def test_command_that_is_switched_off(make_server, binary):
    """As managed servers rename some."""
    server = make_server("--rename-command", "EVAL", "", binary=binary)
    assert "does not know the command EVAL" in refusal(server.url, "EVAL", "return 1", "0")


def test_replica(make_server, binary):
    """One that takes no writes, and one that lost its primary."""
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
    """Somebody's script that does not end."""
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
    """A node of a cluster under redis://, a single server under redis+cluster://."""
    single = cluster.url.replace("redis+cluster", "redis")
    told = [
        refusal(single, "GET", key) for key in ("a", "b", "c", "d") if _is_elsewhere(single, key)
    ]
    assert told
    assert all("Use redis+cluster://" in said for said in told)
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


def test_host_that_is_not_known():
    """A typing error in the host."""
    assert "host is not known" in refusal("redis://nowhere.invalid:6379", "GET", "x")
