"""Rights: the accounts of readers and writers need exactly the documented rights."""

from __future__ import annotations

import pytest

from reco_store.connection.client import store_errors
from reco_store.connection.connect import connect
from reco_store.control.hide_list import hidden, hide, unhide
from reco_store.control.lock import RunLock
from reco_store.errors import LockHeld, StoreUnfit
from reco_store.publishing.generations import collect, list_generations, release, rollback
from reco_store.publishing.publisher import publish
from reco_store.read.reader import Reader

READER = ["+get", "+mget", "+scard", "+smismember", "+ping"]
WRITER = ["+get", "+mget", "+set", "+del", "+unlink", "+eval", "+info", "+pttl", "+wait"]
WRITER += ["+sadd", "+srem", "+smembers"]


@pytest.fixture
def account(server, client, keys):
    """Create an account for the test's namespace, and return a connection with it."""
    connections = []

    def make(rights: list[str], *, read_only: bool):
        name = f"{keys.namespace}-{len(connections)}"
        # %R~ is of 7.0; an account of 6.2 has ~ instead, and is limited by its commands alone.
        mark = "%R~" if read_only else "~"
        patterns = [f"{mark}{keys.namespace}:*", f"{mark}{{{keys.namespace}}}:*"]
        rules = ["on", ">canary", "-@all", *rights, *patterns]
        client.execute_command("ACL", "SETUSER", name, "reset", *rules)
        connection = connect(f"{server.url}?username={name}&password=canary")
        connections.append((name, connection))
        return connection

    yield make
    for name, connection in connections:
        connection.close()
        client.execute_command("ACL", "DELUSER", name)


def whole_life(writer, reader, keys, make_source) -> None:
    """Do everything that the two accounts are for."""
    for tag in range(3):
        with RunLock(writer, keys, heartbeat=False) as lock:
            lock.check()
            publish(writer, keys, make_source(tag), lock=lock, keep=2)
    with (
        RunLock(writer, keys, heartbeat=False),
        pytest.raises(LockHeld),
        RunLock(writer, keys, heartbeat=False),
    ):
        pass
    rollback(writer, keys)
    release(writer, keys)
    list_generations(writer, keys)
    with RunLock(writer, keys, heartbeat=False) as lock:
        collect(lock=lock, keep=1)
    assert hide(writer, keys, ["2", "5"]) == 2
    assert unhide(writer, keys, ["5"]) == 1
    assert hidden(writer, keys) == ("2",)
    with Reader(client=reader, namespace=keys.namespace) as answers:
        assert answers.user("1").source == "personal"
        assert answers.user("unknown").source == "most_rated"
        assert answers.user("1", n=1, available=True).source == "personal"
        assert answers.find_title("heat")
        assert answers.status().counts["user"] == 3


def test_listed_rights_suffice(account, keys, make_source, monkeypatch):
    """With the listed rights, everything works."""
    writer = account(WRITER, read_only=False)
    whole_life(writer, account(READER, read_only=True), keys, make_source)
    with RunLock(writer, keys, heartbeat=False) as lock:
        monkeypatch.setattr("reco_store.publishing.replicas.WAIT_MILLISECONDS", 5)
        with pytest.raises(StoreUnfit, match="0 replicas"):
            publish(writer, keys, make_source(), lock=lock, replicas=1)


@pytest.mark.parametrize("right", [right for right in WRITER if right != "+wait"])
def test_no_right_of_the_writer_is_spare(account, keys, make_source, right):
    """Without any one of them an operation fails, with an error that names the missing right."""
    writer = account([r for r in WRITER if r != right], read_only=False)
    reader = account(READER, read_only=True)
    with pytest.raises(StoreUnfit, match=r"may not (run|use)"):
        whole_life(writer, reader, keys, make_source)


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "{}:current", "x"),
        ("DEL", "{}:current"),
        ("EVAL", "return 1", "0"),
        ("SCAN", "0"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("GET", "foreign"),
        ("INFO",),
    ],
)
def test_reader_can_do_nothing_else(account, keys, command):
    """The reader's account can neither write nor list keys."""
    reader = account(READER, read_only=True)
    with pytest.raises(StoreUnfit, match=r"may not (run|use)"):
        run(reader, [part.replace("{}", f"{{{keys.namespace}}}") for part in command])


def run(connection, command) -> None:
    """Run a command as the package does."""
    with store_errors(connection):
        connection.execute_command(*command)
