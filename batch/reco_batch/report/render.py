"""Rendering of a page as one HTML file with inline style, plots and icon.

The template engine escapes everything from the data, and the content security policy in the page's
head keeps a browser from running scripts and loading anything.
"""

import base64
import hashlib
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reco_batch.report.page import Page

#: Colours of the icon by class of the verdict.
_ICON: Final = {
    "good": "177245",
    "warn": "a16207",
    "held": "6941c6",
    "bad": "b42318",
    "none": "68717d",
}


def render(page: Page) -> str:
    """Return the page as HTML."""
    environment, style = _loaded()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = environment.get_template("report.html.jinja")
    return template.render(
        page=page,
        adapt=page.words.adapt,
        style=Markup(style),  # noqa: S704  our own file
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        icon=_icon(page.verdict.kind),
    )


@cache
def _loaded() -> tuple[Environment, str]:
    loader = PackageLoader("reco_batch.report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment, loader.get_source(environment, "report.css")[0]


def _icon(kind: str) -> str:
    circle = f"<circle cx='8' cy='8' r='7' fill='#{_ICON[kind]}'/>"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{circle}</svg>"
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
