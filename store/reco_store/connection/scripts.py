"""The Lua scripts, and how one is run.

Each script's own header says what it does. They are sent whole with EVAL, as an argument of
``checked.lua``: they are short, and a restarted server has forgotten every SHA. Each may be
repeated without harm, because a repeated call finds its own token or its own result; so a lost
reply is answered by asking again.
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

__all__ = ["ACQUIRE", "CHANGE", "RENEW", "UNLOCK", "insist", "replies", "run_script", "values"]

ACQUIRE: Final = "acquire"
RENEW: Final = "renew"
UNLOCK: Final = "unlock"
CHANGE: Final = "change"

# Without this header (servers before 7.0 do not know it) a full server refuses every script that
# writes: no lock could be taken, nothing collected and nothing rolled back.
_ALLOW_WHEN_FULL: Final = "#!lua flags=allow-oom\n"
_ANSWERED_IN_PAIRS: Final = (ACQUIRE, CHANGE)
_CHECKED: Final = "checked"
_SPOILT: Final = [b"spoilt"]
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
) -> Any:  # noqa: ANN401  each script's header says what it returns
    """Run a script, again if its reply is lost.

    Args:
        client: connection to the store.
        name: one of this module's names.
        keys: all keys that the script touches.
        arguments: as the script's header says.
        allow_when_full: the server is 7.0 or later.
        patience_seconds: how long to wait for a server that cannot answer yet.

    Raises:
        redis.RedisError: the server refuses, or does not answer repeatedly.
    """
    text = _source(name)
    outer = _source(_CHECKED)
    if allow_when_full:
        outer = _ALLOW_WHEN_FULL + outer
    told = sha1("\0".join((text, *keys, *arguments)).encode(), usedforsecurity=False).hexdigest()

    def send() -> Any:  # noqa: ANN401  as above
        reply = client.eval(outer, len(keys), *keys, told, text, *arguments)
        if reply == _SPOILT:
            raise exceptions.ConnectionError("a script arrived spoilt")
        return replies(reply, 2) if name in _ANSWERED_IN_PAIRS else reply

    return insist(send, patience_seconds)


def replies(reply: Any, count: int) -> list[Any]:  # noqa: ANN401  it may be anything
    """Return a reply that must be a list of some length.

    Raises:
        redis.ConnectionError: it is none, so it was spoilt on its way; ask again.
    """
    if not isinstance(reply, list) or len(reply) != count:
        raise exceptions.ConnectionError("a reply arrived spoilt")
    return reply


def values(reply: Any, count: int) -> list[bytes | None]:  # noqa: ANN401  it may be anything
    """Return a reply that must be a list of some values, each there or not.

    One flipped bit makes a number of a value, which no later check expects.

    Raises:
        redis.ConnectionError: it is none, so it was spoilt on its way; ask again.
    """
    found = replies(reply, count)
    if not all(value is None or isinstance(value, bytes) for value in found):
        raise exceptions.ConnectionError("a reply arrived spoilt")
    return found


def insist(command: Callable[[], _Result], patience_seconds: float = WRITER_SECONDS) -> _Result:
    """Call again after a lost connection or reply, a few times.

    A server that replies that it cannot answer yet (it loads its data, or the cluster is amid a
    failover) is asked again for longer. Only for commands that may be repeated without harm. What a
    restart in between may have lost is found by comparing the servers' run ids, and by reading
    everything back.

    Args:
        command: sends it, and returns the reply.
        patience_seconds: how long to wait for a server that cannot answer yet.

    Raises:
        redis.RedisError: as the command does.
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


@cache
def _source(name: str) -> str:
    return files("reco_store.connection").joinpath("lua", f"{name}.lua").read_text("utf-8")
