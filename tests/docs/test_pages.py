"""Links and file names on pages are valid."""

from __future__ import annotations

import re

import pytest

from doc_blocks import ROOT, pages

PAGES = pages()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:\w+/)*\w+\.(?:py|lua))`")


def anchors(page):
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_existing_targets(page):
    """Every link leads to a file of the repository, or to a heading in it."""
    for link in _LINK.findall(page.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_architecture_names_files_that_exist():
    """Each module is in one of the packages, or its path begins at the root."""
    names = _FILE.findall(ARCHITECTURE)
    assert len(names) > 15
    folders = [ROOT, ROOT / "batch" / "reco_batch", ROOT / "store" / "reco_store"]
    folders += [ROOT / "cli" / "reco_terminal", ROOT / "cli" / "reco_cli"]
    for name in names:
        assert any((folder / name).exists() for folder in folders), name


@pytest.mark.parametrize("package", ["batch/reco_batch", "store/reco_store"])
def test_the_architecture_names_every_room(package):
    """A folder with modules has a row in the table of its package, and each row has a folder."""
    section = ARCHITECTURE.partition(f"`{package}/`")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    rooms = [path.parent.name for path in (ROOT / package).glob("*/__init__.py")]
    assert sorted(rows) == sorted(rooms)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent == ROOT / "docs"], ids=lambda page: page.name
)
def test_page_is_in_the_readme(page):
    """README.md links every page."""
    assert f"docs/{page.name}" in (ROOT / "README.md").read_text("utf-8")
