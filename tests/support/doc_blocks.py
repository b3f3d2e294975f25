"""Code blocks of README.md, CONTRIBUTING.md and docs/, and commands in their running text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
NODE = ROOT / "docs" / "examples" / "node"
_FENCE = re.compile(r"^```([\w ]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """Fenced code block of a page."""

    page: Path
    line: int
    language: str
    """Fence info; ends with ` elsewhere` if the block is for another machine."""
    text: str

    @property
    def name(self) -> str:
        """Page and line of the block."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page of documentation."""
    docs = [page for page in (ROOT / "docs").rglob("*.md") if "node_modules" not in page.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs)]


def blocks() -> list[Block]:
    """Return every fenced block of every page."""
    found = []
    for page in pages():
        text = page.read_text("utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1], match[2]))
    return found


def inline_commands() -> list[tuple[str, str]]:
    """Return the place and the text of each `batch ...` and `reco ...` in running text."""
    found = []
    for page in pages():
        text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), page.read_text("utf-8"))
        for number, line in enumerate(text.splitlines(), start=1):
            found += [
                (f"{page.relative_to(ROOT)}:{number}", code)
                for code in _INLINE.findall(line)
                if re.match(r"(batch|reco) [a-z-]", code)
            ]
    return found


def require_packages() -> None:
    """Skip the test if the example's packages are not installed, or fail it in CI."""
    if not (NODE / "node_modules").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("npm ci did not run in the example")
