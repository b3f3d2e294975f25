"""A wire between client and server that a test can cut, corrupt or redirect."""

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
    """Pass everything on unchanged."""
    return data


class Wire:
    """Proxy between clients and a server; each chunk from a client counts as a request.

    Args:
        target: socket of the server.
        path: socket to listen on.
        on_request: called with each request before the server receives it.
        on_reply: called with the server's reply to that request before the client receives it.
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
        """Return a server's address that goes through this wire."""
        return server_url.replace(str(self.target), str(self.path))

    def _serve(self) -> None:
        """Serve one connection at a time: a client under test opens no more."""
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            with near:
                try:
                    _Link(self, near).relay()
                except OSError:  # one side is gone; closing the other side reports it
                    continue


class _Link:
    """Connection that survives a restart of the server."""

    def __init__(self, wire: Wire, near: socket.socket) -> None:
        self.wire = wire
        self.near = near
        self.login = b""

    def relay(self) -> None:
        """Relay requests and replies until either side ends or a hook cuts the wire."""
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
