"""The pages in a real browser: phone, tablet and desktop widths, light and dark."""

import threading
import time

import pytest
import uvicorn

from browser import started
from reco_cli.browse.http_rules import HttpRules
from reco_cli.browse.site import make_site

#: Script that returns elements which reach beyond the window, unless their container scrolls.
BEYOND = """
return [...document.querySelectorAll('body *')]
  .filter(e => e.offsetWidth && !e.closest('.scroll, select'))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 80));
"""
PAGES = (
    "/",
    "/user?id=42",
    "/user?id=42&with=reco-b/",
    "/user?id=unknown",
    "/movie?id=1",
    "/movie?id=9",
    "/popular?by=trending",
    "/search?q=heat",
    "/nowhere",
)
SIZES = [(390, "light"), (390, "dark"), (1024, "light"), (1600, "dark")]


@pytest.fixture(scope="module")
def site(where):
    """Address of the pages, served in a thread."""
    config = uvicorn.Config(
        HttpRules(make_site(where), "127.0.0.1"), port=0, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Browser shared by all tests of this module."""
    with started(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_every_page_fits(browser, site, width, scheme):
    """No page scrolls sideways; nothing comes from elsewhere, and nothing violates the policy."""
    browser.look(width=width, scheme=scheme)
    for path in PAGES:
        browser.visit(site + path)
        assert browser.run("return document.documentElement.scrollWidth") <= width, path
        assert browser.run(BEYOND) == [], path
        assert {url.partition("/")[0] + "//" + url.split("/")[2] for url in browser.requests()} == {
            site
        }
        complaints = [text for text in browser.complaints() if "404" not in text]
        assert complaints == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_scheme(browser, site, scheme):
    """The background is light or dark, as the browser prefers."""
    browser.look(width=1024, scheme=scheme)
    browser.visit(site)
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is (scheme == "light")


def test_titles_are_suggested_while_typing(browser, site):
    """Hostile titles are text; the suggestion leads to the movie."""
    browser.look(width=390, scheme="light")
    browser.visit(site)
    browser.type_into("#find-movie", "script")
    shown = "return [...document.querySelectorAll('#suggestions a')].map(a => a.innerText)"
    deadline = time.monotonic() + 10
    while not browser.run(shown) and time.monotonic() < deadline:
        time.sleep(0.02)
    (text,) = browser.run(shown)
    assert text.startswith("<script>alert(\"1\")</script> & 'quoted'")
    assert browser.run("return document.querySelectorAll('script').length") == 1
    assert browser.complaints() == []
    browser.run("document.querySelector('#suggestions a').click()")
    while "/movie?id=4" not in browser.run("return location.href"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_right_to_left_title_does_not_reorder_its_row(browser, site):
    """The rank stays on the left of a Hebrew title, and the score on its right."""
    browser.look(width=1024, scheme="light")
    browser.visit(f"{site}/popular?by=trending")
    left, title, right = browser.run(
        "const row = document.querySelector('.list li');"
        "return ['.rank', 'bdi', '.score'].map("
        "  name => row.querySelector(name).getBoundingClientRect().left);"
    )
    assert left < title < right


def test_injected_script_would_not_run(browser, site):
    """The policy stops an inline script and a foreign address, if a template ever let one in."""
    browser.look(width=1024, scheme="light")
    browser.visit(site)
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s);"
        "const i = new Image(); i.src = 'https://evil.example/x.png'; document.body.append(i);"
    )
    assert browser.run("return window.ran") is None
    assert any("Content Security Policy" in text for text in browser.complaints())
