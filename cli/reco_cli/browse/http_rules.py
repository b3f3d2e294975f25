"""Rules for every request and answer, whatever page it is for.

Only GET and HEAD are answered. The Host header must be an address, this machine's name or the host
that the command names: a foreign name that resolves to this machine (DNS rebinding) would give a
foreign page the answers. No answer may load, run or embed anything from elsewhere.
"""

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS: Final = ("GET", "HEAD")
#: Only own files; no style or script in a page.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class HttpRules:
    """Application that refuses other requests, and adds the headers to every answer.

    Args:
        app: the application that answers.
        host: host that the command listens on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.update(HEADERS)
            await send(message)

        app = self._app
        if scope["method"] not in METHODS:
            text = "405: these pages are only read; expected GET or HEAD.\n"
            app = PlainTextResponse(text, 405, {"Allow": ", ".join(METHODS)})
        elif not self._is_own(Headers(scope=scope).get("host", "")):
            text = "421: the Host header is not an address or a name of this machine.\n"
            app = PlainTextResponse(text, 421)
        await app(scope, receive, send_with_headers)

    def _is_own(self, host: str) -> bool:
        """Return whether a Host header is an address, or a name of this machine."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # brackets that are no IPv6 address
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
