"""The report in a real browser: phone, tablet and desktop widths, light and dark."""

import json
import shutil

import pytest

from browser import started
from reco_batch.artifact.folder import MANIFEST, open_artifact
from reco_batch.report.report_file import write_report

#: Lowest contrast of small text against its background (WCAG 2, AA).
LEGIBLE = 4.5
#: Script that returns elements wider than their container, and by how much.
WIDER = """
return [...document.querySelectorAll('main *')]
  .filter(e => e.offsetWidth && !e.closest('thead'))
  .map(e => [e.getBoundingClientRect().right - e.parentElement.getBoundingClientRect().right, e])
  .filter(([wider]) => wider > 1)
  .map(([wider, e]) => wider + ' ' + e.outerHTML.slice(0, 80));
"""
FAINTEST = """
const light = color => {
  const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (color !== 'rgba(0, 0, 0, 0)') return color;
  }
};
const found = [...document.querySelectorAll('body *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  .filter(e => e.tagName !== 'title' && e.tagName !== 'BDI')
  .map(e => {
    const style = getComputedStyle(e);
    const [a, b] = [light(e instanceof SVGElement ? style.fill : style.color), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 80)];
  });
return found.sort((a, b) => a[0] - b[0])[0];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Browser shared by all tests of this module."""
    with started(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture(scope="module")
def held(kept, tmp_path_factory):
    """The second run, as if a rollback's hold had kept it from going live."""
    folder = tmp_path_factory.mktemp("held") / kept.second.generation
    shutil.copytree(kept.second.folder, folder)
    published = {"outcome": "held", "held_until": "2026-11-30T03:00:00+00:00", "held_reason": "x"}
    manifest = {**kept.second.manifest, "published": published}
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    artifact = open_artifact(folder.parent, folder.name)
    write_report(artifact)
    return artifact


@pytest.fixture(params=["first", "second", "refused", "held"])
def report(request, kept, held, browser):
    """The report of each run, open in the browser."""
    night = held if request.param == "held" else getattr(kept, request.param)
    path = night.folder / "report.html"
    browser.open(path)
    return path


def test_a_page_loads_nothing_else(report, browser):
    """One file is read, whatever is opened in it and whatever titles contain, without an error."""
    browser.look(width=1024, scheme="light")
    browser.run("document.querySelectorAll('details').forEach(part => part.open = true)")

    assert browser.requests() == {report.as_uri()}
    assert browser.complaints() == []
    assert "owned" not in browser.run("return document.title")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1024, 1600])
def test_a_page_fits_and_is_legible(report, browser, width, scheme):
    """Nothing is wider than the window, every section is visible, and no text is too faint."""
    browser.look(width=width, scheme=scheme)
    browser.run(
        "document.querySelectorAll('details').forEach(part => {"
        " part.removeAttribute('name'); part.open = true })"
    )

    assert browser.run("return document.documentElement.scrollWidth") == width
    assert browser.run(WIDER) == []
    heights = browser.run(
        "return [...document.querySelectorAll('header, section')].map(part => part.offsetHeight)"
    )
    assert len(heights) == 12
    assert min(heights) > 40
    contrast, where = browser.run(FAINTEST)
    assert contrast >= LEGIBLE, where


def test_light_and_dark_differ(kept, browser):
    """The page follows the system's colour scheme."""
    browser.open(kept.second.folder / "report.html")
    seen = []
    for scheme in ("light", "dark"):
        browser.look(width=1024, scheme=scheme)
        seen.append(browser.run("return getComputedStyle(document.body).backgroundColor"))

    assert seen[0] == "rgb(255, 255, 255)"
    assert seen[1] not in (seen[0], "rgba(0, 0, 0, 0)")
