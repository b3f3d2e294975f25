"""Batches of commands on one connection: RESP2 packing, and the replies in order.

A pipeline of the client library gives the same replies. It takes three times as long on this side,
for statistics, options, and packing arguments of any kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.connection import Connection

__all__ = ["exchange"]


def exchange(connection: Connection, commands: Sequence[Sequence[str | bytes]]) -> list[Any]:
    """Send commands in one write and return their replies, errors of the server among them.

    Raises:
        redis.RedisError: the server does not answer.
    """
    replies: list[Any] = []
    try:
        connection.send_packed_command([_packed(commands)])  # type: ignore[no-untyped-call]
        while len(replies) < len(commands):
            try:
                replies.append(connection.read_response())
            except ResponseError as error:  # the other replies follow nevertheless
                replies.append(error)
    finally:
        if len(replies) < len(commands):  # else the next command would read the missing replies
            connection.disconnect()  # type: ignore[no-untyped-call]
    return replies


def _packed(commands: Iterable[Sequence[str | bytes]]) -> bytes:
    pieces: list[bytes] = []
    for command in commands:
        pieces.append(b"*%d\r\n" % len(command))
        for word in command:
            data = word.encode() if isinstance(word, str) else word
            pieces += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(pieces)
