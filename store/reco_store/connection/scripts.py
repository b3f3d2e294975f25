"""Lua scripts of the control keys, and the function that runs them.

The header of each script describes it. A script is sent whole with EVAL, as an argument of
``checked.lua``: scripts are short, and a restarted server has lost every SHA. Each is idempotent,
because a repeated call finds its own token or its own result; so it is sent again if its reply is
lost.
"""

from __future__ import annotations

import time
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis import exceptions

from reco_store.connection.waiting import WRITER_SECONDS, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reco_store.connection.client import Client

__all__ = [
    "ACQUIRE",
    "CHANGE",
    "RENEW",
    "UNLOCK",
    "replies",
    "reply_text",
    "run_script",
    "values",
    "with_retries",
]

ACQUIRE: Final = "acquire"
RENEW: Final = "renew"
UNLOCK: Final = "unlock"
CHANGE: Final = "change"

# Without this header, which needs a server of version 7.0, a full server refuses every script that
# writes: no lock could be taken, nothing collected and nothing rolled back.
_ALLOW_WHEN_FULL: Final = "#!lua flags=allow-oom\n"
_ANSWERED_IN_PAIRS: Final = (ACQUIRE, CHANGE)
_CHECKED: Final = "checked"
_DAMAGED: Final = [b"damaged"]
_LOST: Final = (exceptions.ConnectionError, exceptions.TimeoutError)
_PAUSES_SECONDS: Final = (0.02, 0.2)

_Result = TypeVar("_Result")


def run_script(
    client: Client,
    name: str,
    keys: Sequence[str],
    arguments: Sequence[str],
    *,
    allow_when_full: bool,
    patience_seconds: float = WRITER_SECONDS,
) -> Any:  # noqa: ANN401  the header of each script describes its reply
    """Run a script; send it again if its reply is lost.

    Args:
        client: connection to the store.
        name: name of the script, a constant of this module.
        keys: all keys that the script uses.
        arguments: arguments, described in the header of the script.
        allow_when_full: True for servers from version 7.0 on.
        patience_seconds: seconds to wait for a server that is not ready.

    Raises:
        redis.RedisError: the server refuses, or does not answer repeatedly.
    """
    text = _source(name)
    outer = _source(_CHECKED)
    if allow_when_full:
        outer = _ALLOW_WHEN_FULL + outer
    checksum = sha1(
        "\0".join((text, *keys, *arguments)).encode(), usedforsecurity=False
    ).hexdigest()

    def send() -> Any:  # noqa: ANN401  as above
        reply = client.eval(outer, len(keys), *keys, checksum, text, *arguments)
        if reply == _DAMAGED:
            raise exceptions.ConnectionError("a script arrived damaged")
        return replies(reply, 2) if name in _ANSWERED_IN_PAIRS else reply

    return with_retries(send, patience_seconds)


def replies(reply: Any, count: int) -> list[Any]:  # noqa: ANN401  any reply
    """Check that a reply is a list of some length, and return it.

    Raises:
        redis.ConnectionError: it is not, so it was damaged on its way: send the command again.
    """
    if not isinstance(reply, list) or len(reply) != count:
        raise exceptions.ConnectionError("a reply arrived damaged")
    return reply


def values(reply: Any, count: int) -> list[bytes | None]:  # noqa: ANN401  any reply
    """Check that a reply is a list of some length of values or None, and return it.

    One flipped bit turns a value into a number, which no later check expects.

    Raises:
        redis.ConnectionError: it is not, so it was damaged on its way: send the command again.
    """
    found = replies(reply, count)
    if not all(value is None or isinstance(value, bytes) for value in found):
        raise exceptions.ConnectionError("a reply arrived damaged")
    return found


def with_retries(
    command: Callable[[], _Result], patience_seconds: float = WRITER_SECONDS
) -> _Result:
    """Repeat an idempotent command a few times after a lost connection or reply.

    A server that replies that it is not ready (it loads its data, or the cluster is in a failover)
    gets more time. Data that a restart in between lost is detected later, by comparing the run ids
    of the servers and by reading everything back.

    Args:
        command: sends the command and returns the reply.
        patience_seconds: seconds to wait for a server that is not ready.

    Raises:
        redis.RedisError: raised by the last call of the command.
    """
    waiting: Waiting | None = None
    pauses = iter(_PAUSES_SECONDS)
    while True:
        try:
            return command()
        except exceptions.AuthenticationError:
            raise
        except (exceptions.RedisError, exceptions.RedisClusterException) as error:
            waiting = waiting or Waiting(patience_seconds)
            pause = waiting.pause(error)
            if pause is None and isinstance(error, _LOST):
                pause = next(pauses, None)
            if pause is None:
                raise
            time.sleep(pause)


def reply_text(reply: bytes | str) -> str:
    """Return a script's reply as text; bytes that are not UTF-8 are replaced."""
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply


@cache
def _source(name: str) -> str:
    return files("reco_store.connection").joinpath("lua", f"{name}.lua").read_text("utf-8")
