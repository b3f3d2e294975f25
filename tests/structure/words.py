"""Wording check: counts phrases that code and pages should avoid, and fails above the allowances.

Usage: python tests/structure/words.py [--list] [PATH ...]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
SEARCHED: Final = (
    *("batch", "store", "cli", "tests", "benchmarks", "docs", "README.md", "CHANGELOG.md"),
    *("CONTRIBUTING.md",),
)
#: This file and its test, which contain the phrases.
OWN: Final = (Path(__file__), Path(__file__).with_name("test_words.py"))
TEXT: Final = {".md", ".jinja", ".toml", ".yml", ".yaml"}


class Rule(NamedTuple):
    """Phrases to avoid, and how many may remain."""

    pattern: re.Pattern[str]
    advice: str
    allowed: int


# Allowances only ever fall. A few hits remain where a phrase has its ordinary meaning.
RULES: Final = (
    Rule(
        re.compile(r'"""(What|Whether|How|Who|Why|Where)\b'),
        "open a docstring with a verb or a noun phrase",
        0,
    ),
    Rule(
        re.compile(r'(?:"""|#:? |"{3}\s*)(Of (?!course)|As `|Likewise|The same[ ,])'),
        "write a sentence that can be read alone",
        0,
    ),
    Rule(
        re.compile(r"\b(says?|said|tells?|told|speaks? for|knows? of|nobody gave|asked of)\b"),
        "data contain, functions return, errors report, pages describe",
        60,
    ),
    Rule(
        re.compile(r"\b(stands?|beside|somebody|nobody|whoever|somewhere else)\b", re.IGNORECASE),
        "name the user, the operator, the place or the relation",
        30,
    ),
    Rule(
        re.compile(
            r"\b(first tens?|held back|the hits|as good as an|no more than it must)\b",
            re.IGNORECASE,
        ),
        "use the terms of the field: top-10, held-out ratings",
        10,
    ),
    Rule(
        re.compile(r"\b(that which|what is (not|there|no|to|of)|of what|by what|with what)\b"),
        "name the thing",
        20,
    ),
)


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield the Python and text files among the paths and below them, except `OWN`."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            searched = file.suffix in TEXT | {".py"} and "node_modules" not in file.parts
            if searched and file not in OWN:
                yield file


def is_prose(file: Path, line: str) -> bool:
    """Return whether a line may hold a docstring, a comment or a message."""
    return (
        file.suffix in TEXT
        or bool(re.search(r"[\"'#]", line))
        or not re.search(r"[=()\[\]{}]", line)
    )


def find(paths: list[Path]) -> dict[Rule, list[str]]:
    """Return the lines that break each rule, as `file:line: text`."""
    found: dict[Rule, list[str]] = {rule: [] for rule in RULES}
    for file in files(paths):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            for rule in RULES:
                if is_prose(file, line) and rule.pattern.search(line):
                    found[rule].append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
    return found


def main(arguments: list[str]) -> int:
    """Print the rules that are broken too often, and return 1 if there is one.

    Args:
        arguments: `--list` to print all hits, and paths to search instead of the project.
    """
    chosen = [Path(argument).resolve() for argument in arguments if argument != "--list"]
    found = find(chosen or [ROOT / name for name in SEARCHED])
    broken = 0
    for rule, lines in found.items():
        too_many = not chosen and len(lines) > rule.allowed
        broken += too_many
        if too_many or (lines and "--list" in arguments):
            print(f"{len(lines)} lines, {rule.allowed} allowed: {rule.advice}")
            print("  matching", rule.pattern.pattern)
            print(*(f"  {line}" for line in lines), sep="\n")
    if broken:
        print("Rewrite some of these lines. CONTRIBUTING.md describes how we write.")
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
