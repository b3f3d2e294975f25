"""Promise 16: the accounts of docker-compose.yml can do what they must, and nothing else.

All promises are tested with them: runs connect as ``writer``, readers as ``reader``.
tests/deploy/test_access.py tests that no right is superfluous.
"""

from __future__ import annotations

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from compose_file import ComposeFile, commands_of
from reco_store.connection.connect import connect

COMPOSE = ComposeFile()
#: Commands for logging in and out, which the server answers for everyone.
OPEN_TO_ALL = {"auth", "hello", "quit", "reset"}
#: Errors of missing rights, or (debug, module) of the server's own configuration.
REFUSED = r"no permissions to run the|command not allowed"


def test_16_least_privilege(make_store):
    """Each account may run only its own commands on its own keys, of all that the server lists."""
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
