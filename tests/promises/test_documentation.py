"""docs/promises.md links every promise to existing tests."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "promises.md"


def test_each_promise_has_a_test_of_its_name():
    """Rows are numbered without a gap; each row links tests, one of them with its number."""
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 27))
    for number, links in rows:
        paths = [(PAGE.parent / link).resolve() for link in re.findall(r"\((\.\./[^)]+)\)", links)]
        assert paths
        tests = "".join(path.read_text("utf-8") for path in paths)
        assert f"def test_{int(number):02}_" in tests


def test_each_test_of_a_promise_is_documented():
    """The page links every file of this folder."""
    page = PAGE.read_text("utf-8")
    for path in Path(__file__).parent.glob("test_[0-9]*.py"):
        assert f"(../tests/promises/{path.name})" in page
