"""A wire between a client and a server that a test may cut, spoil, or leave to another server."""

from __future__ import annotations

import select
import socket
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIECE_BYTES = 1 << 20

#: Takes the number of the request and its bytes; None cuts the wire.
Hook: TypeAlias = "Callable[[int, bytes], bytes | None]"


def unchanged(number: int, data: bytes) -> bytes:
    """Let everything pass."""
    return data


class Wire:
    """Passes bytes between clients and a server; each piece from a client counts as a request.

    Args:
        target: socket of the server.
        path: socket on which to listen.
        on_request: sees each request before the server does.
        on_reply: sees what the server says after that request before the client does.
    """

    def __init__(
        self,
        target: Path,
        path: Path,
        *,
        on_request: Hook = unchanged,
        on_reply: Hook = unchanged,
    ) -> None:
        self.target = target
        self.path = path
        self.on_request = on_request
        self.on_reply = on_reply
        self.requests = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(timeout=10)
        self.path.unlink()

    def url(self, server_url: str) -> str:
        """Return a server's address with this wire in between."""
        return server_url.replace(str(self.target), str(self.path))

    def _serve(self) -> None:
        """Serve one connection after the other: a client under test uses one at a time."""
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            with near:
                try:
                    _Link(self, near).relay()
                except OSError:  # either side is gone, which the other learns by this end
                    continue


class _Link:
    """One connection; it goes on with a server that was started again, as if nothing was."""

    def __init__(self, wire: Wire, near: socket.socket) -> None:
        self.wire = wire
        self.near = near
        self.login = b""

    def relay(self) -> None:
        """Pass requests and replies on until either side ends, or a hook cuts the wire."""
        wire = self.wire
        far = self._dial()
        try:
            while True:
                ready = select.select([self.near, far], [], [])[0]
                if self.near in ready:
                    if not (data := self.near.recv(PIECE_BYTES)):
                        return
                    wire.requests += 1
                    passed = wire.on_request(wire.requests, data)
                    if passed is None:
                        return
                    if not self.login and b"AUTH" in data[:20]:
                        self.login = data
                    try:
                        far.sendall(passed)
                    except OSError:
                        far.close()
                        far = self._dial()
                        far.sendall(passed)
                else:
                    data = far.recv(PIECE_BYTES)
                    reply = wire.on_reply(wire.requests, data) if data else None
                    if reply is None:
                        return
                    self.near.sendall(reply)
        finally:
            far.close()

    def _dial(self) -> socket.socket:
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(self.wire.target))
        if self.login:
            far.sendall(self.login)
            far.recv(PIECE_BYTES)
        return far
