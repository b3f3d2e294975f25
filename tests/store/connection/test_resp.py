"""Batches of commands on one connection: replies in order, and no reply left unread."""

import pytest
from redis.exceptions import ResponseError

from reco_store.connection.resp import exchange


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
