"""Batches of commands on one connection: replies in order, and no reply left unread."""

import pytest
from redis.exceptions import ResponseError

from reco_store.connection.resp import exchange, exchange_sets


@pytest.fixture
def connection(client):
    """Return a connection of a client's pool."""
    pool = client.connection_pool
    found = pool.get_connection()
    yield found
    pool.release(found)


def test_replies_are_in_order_with_errors_among_them(client, connection, keys):
    """A refused command gives an error in its position, and the others their replies."""
    name = f"{keys.namespace}:résumé"
    commands = [("SET", name, b"\x00\r\n$"), ("SCARD", name), ("MGET", name, name.encode())]

    replies = exchange(connection, commands)

    assert replies[0] == b"OK"
    assert isinstance(replies[1], ResponseError)
    assert replies[2] == [b"\x00\r\n$"] * 2
    client.delete(name)


def test_sets_write_what_a_set_of_the_client_library_writes(client, connection, keys):
    """Keys that are not ASCII, empty values and values of any bytes arrive unchanged."""
    prefix = f"{keys.namespace}:é:"
    entries = [("résumé", b"\x00\r\n$"), ("", b""), ("🎬", bytes(range(256)) * 300)]

    assert exchange_sets(connection, prefix, entries) == [b"OK"] * len(entries)

    names = [prefix + suffix for suffix, _ in entries]
    assert client.mget(names) == [value for _, value in entries]
    client.delete(*names)


def test_a_refused_set_gives_an_error_in_its_position(client, connection, keys, monkeypatch):
    """The replies after an error are read too, and the next command gets its own."""
    sent = connection.send_packed_command

    def damaged(packed):
        sent([piece.replace(b"SET", b"GET", 1) for piece in packed])  # GET takes one word

    monkeypatch.setattr(connection, "send_packed_command", damaged)
    name = f"{keys.namespace}:refused"
    replies = exchange_sets(connection, name, [(":1", b"1"), (":2", b"2")])
    monkeypatch.undo()

    assert isinstance(replies[0], ResponseError)
    assert replies[1:] == [b"OK"]
    assert exchange(connection, [("ECHO", "next")]) == [b"next"]
    client.delete(f"{name}:2")


def test_an_interrupted_exchange_leaves_no_reply_behind(connection, monkeypatch):
    """The connection is closed if replies were not read, so the next command gets its own."""
    read = connection.read_response
    replies = iter([read])

    def interrupted():
        for take in replies:
            return take()
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "read_response", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exchange(connection, [("ECHO", "first"), ("ECHO", "second")])
    monkeypatch.undo()

    assert exchange(connection, [("ECHO", "third")]) == [b"third"]
