"""Serving of the pages on a port, until Ctrl-C or SIGTERM."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from reco_cli.browse.http_rules import HttpRules
from reco_cli.browse.site import make_site
from reco_cli.options import Where
from reco_store import UsageError

#: Port without `--port`; if it is taken, a free one.
DEFAULT_PORT: Final = 8484
_GOODBYE_SECONDS: Final = 1
_LAST_PORT: Final = 65535


def serve(
    where: Where,
    host: str,
    port: int | None,
    *,
    show: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Serve the pages until SIGINT or SIGTERM.

    Args:
        where: the store.
        host: address or name to listen on.
        port: port to listen on; 0 for a free one; None for the default one, or a free one.
        show: receives the address of the pages, once they can be opened.
        warn: receives a sentence if other machines can reach them.

    Raises:
        UsageError: the host is unknown, or the port is taken.
    """
    with _listening(host, port) as listener:
        number = listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        if not is_loopback(host):
            warn(
                f"everyone who reaches {name}:{number} can read all lists and histories: there is "
                "no login and no encryption"
            )
        config = uvicorn.Config(
            HttpRules(make_site(where), host),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
        )
        server = _Server(config, lambda: show(f"http://{name}:{number}/"))
        asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Server that ends normally on Ctrl-C and SIGTERM, where uvicorn would raise them again."""

    def __init__(self, config: uvicorn.Config, begin: Callable[[], None]) -> None:
        super().__init__(config)
        self._begin = begin

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals within the block, and report that it begins."""
        loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._end)
        try:
            self._begin()
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.should_exit = True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: the host is unknown, or the port is taken.
    """
    if port is not None and not 0 <= port <= _LAST_PORT:
        raise UsageError(f"--port {port}: expected a number from 0 to {_LAST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(
            (host, DEFAULT_PORT if port is None else port), family=family
        )
    except OSError as error:
        if port is None and not isinstance(error, socket.gaierror):
            return _listening(host, 0)
        reason = error.strerror or error
        raise UsageError(
            f"cannot listen on {host}, port {port}: {reason}; expected an address of this machine "
            "and a port that no other program uses. --port 0 chooses a free one"
        ) from error
    # Accepted connections inherit it. Otherwise an answer waits 40 ms for an acknowledgement:
    # asyncio sets it only on sockets that were made with the number of the protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
