"""Site: addresses, templates, and pages for errors."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from reco_cli.browse import views
from reco_cli.browse.shelf import Shelf
from reco_cli.options import Where
from reco_store import NothingPublished, RecoError, UnknownGeneration, UsageError
from reco_store.contract.words import DEFAULT_WORDS
from reco_terminal.console import printable

_PACKAGE: Final = "reco_cli.browse"
#: The report has its style in the page; everything else is as for the other pages.
_REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FILES: Final = ("style.css", "search.js", "icon.svg")
View = Callable[[Shelf, views.Query], dict[str, Any]]


def make_site(where: Where) -> Starlette:
    """Return the application.

    Args:
        where: the store, with the namespace to start from.
    """
    shelf, templates = Shelf(where), _templates()

    def page(name: str, view: View) -> Route:
        def answer(request: Request) -> Response:
            values = view(shelf, request.query_params)
            return HTMLResponse(templates.get_template(f"{name}.html.jinja").render(values))

        return Route("/" if name == "overview" else f"/{name}", answer)

    def suggest(request: Request) -> Response:
        return JSONResponse(views.suggestions(shelf, request.query_params))

    def report(request: Request) -> Response:
        path = shelf.report_of(request.path_params["generation"])
        if path is None:
            raise HTTPException(404, "there is no report of this run on this machine")
        return HTMLResponse(path.read_bytes(), headers={"Content-Security-Policy": _REPORT_POLICY})

    def refused(_: Request, error: Exception) -> Response:
        code, heading, message = _account_of(error)
        text = templates.get_template("error.html.jinja").render(
            title=heading, message=message, code=code, adapt=DEFAULT_WORDS.adapt
        )
        return HTMLResponse(text, code)

    return Starlette(
        routes=[
            page("overview", views.overview),
            page("user", views.user),
            page("movie", views.movie),
            page("popular", views.popular),
            page("search", views.search),
            Route("/suggest.json", suggest),
            Route("/report/{generation}/report.html", report),
            *(Route(f"/{name}", _file(name)) for name in _FILES),
        ],
        exception_handlers={RecoError: refused, HTTPException: refused},
    )


def address(path: str, **query: object) -> str:
    """Return an address with the parameters that have a value."""
    pairs = (
        f"{quote(name)}={quote(str(value).encode('utf-8', 'surrogatepass'), safe='')}"
        for name, value in query.items()
        if value is not None
    )
    return "?".join(filter(None, (path, "&".join(pairs))))


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"address": address, "moment": views.moment}
    return environment


def _visible(value: object) -> object:
    """Return a value for a template, with characters that hide or reverse text escaped."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _file(name: str) -> Callable[[Request], Response]:
    content = files(_PACKAGE).joinpath("static", name).read_bytes()
    kind = _KINDS[name.rpartition(".")[2]]
    return lambda _: Response(content, media_type=kind)


def _account_of(error: Exception) -> tuple[int, str, str]:
    """Return status, heading and message of an error."""
    if isinstance(error, HTTPException):
        missing = error.detail if error.detail != "Not Found" else "there is no such page"
        return error.status_code, "Not found", missing
    if isinstance(error, UnknownGeneration):
        return 404, "This generation is not in the store", str(error)
    if isinstance(error, NothingPublished):
        return 404, "Nothing is live", str(error)
    if isinstance(error, UsageError):
        return 400, "This cannot be shown", str(error)
    return 503, "The store cannot be read", str(error)
