"""Promise 16: the accounts that docker-compose.yml ships can do what they must, and nothing else.

Every promise here is kept with them: the nights run as ``writer``, the readers as ``reader``. That
none of their rights is spare is held by tests/deploy/test_access.py.
"""

from __future__ import annotations

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from compose_file import ComposeFile, commands_of
from reco_store.connection.connect import connect

COMPOSE = ComposeFile()
#: The server answers these whoever asks: they are how one logs in and out.
OPEN_TO_ALL = {"auth", "hello", "quit", "reset"}
#: The rights refuse a command, or (debug, module) the server's configuration did before.
REFUSED = r"no permissions to run the|command not allowed"


def test_16_least_privilege(make_store):
    """Of all commands that the server lists, each account has its own only, on its own keys."""
    store = make_store()
    store.publish(0)
    store.admin.set("foreign", "x")
    commands = commands_of(store.admin)
    assert commands.keys() >= {*COMPOSE.commands("writer"), "client|kill", "config|get", "scan"}
    for user in ("writer", "reader"):
        with connect(store.server.url_of(user)) as client:
            for name in sorted(commands.keys() - OPEN_TO_ALL - COMPOSE.commands(user)):
                with pytest.raises(ResponseError, match=REFUSED):
                    client.execute_command(*commands[name])
            with pytest.raises(NoPermissionError):
                client.get("foreign")
    with connect(f"unix://{store.server.socket}") as stranger:
        for name in sorted(commands.keys() - OPEN_TO_ALL):
            with pytest.raises(RedisError, match=r"Authentication required|command not allowed"):
                stranger.execute_command(*commands[name])
        with pytest.raises(AuthenticationError):
            stranger.execute_command("HELLO", "3")
    store.admin.delete("foreign")
    store.require_only(0)
