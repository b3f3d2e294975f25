"""Wording check: it reports phrases to avoid, and fails above the allowances."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("words.py")


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Return the module, which belongs to no package, with a folder of its own as the project."""
    spec = importlib.util.spec_from_file_location("words", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "SEARCHED", ("code.py", "page.md"))
    none = tuple(rule._replace(allowed=0) for rule in module.RULES)
    monkeypatch.setattr(module, "RULES", none)
    (tmp_path / "code.py").write_text('"""Return the answer."""\nsaid = known(what)\n')
    (tmp_path / "page.md").write_text("A page describes.\n")
    return module


def test_plain_text_passes(words, capsys):
    """Names in code are no prose, so only text counts."""
    assert words.main([]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("code.py", '""' + '"What a run costs."""'),
        ("code.py", "#" + " Of the longest list."),
        ("page.md", "The page s" + "ays so."),
        ("page.md", "No" + "body knows."),
        ("page.md", "Movies in the first" + " ten."),
        ("page.md", "Some of what" + " is there."),
    ],
)
def test_phrases_to_avoid_fail_with_their_place(words, capsys, tmp_path, file, line):
    """The report contains file, line and advice; one allowed line is no failure."""
    with (tmp_path / file).open("a") as text:
        text.write(line)
    number = len((tmp_path / file).read_text().splitlines())

    assert words.main([]) == 1
    report = capsys.readouterr().out
    assert f"{file}:{number}: {line}" in report
    assert "1 lines, 0 allowed: " in report

    words.RULES = tuple(rule._replace(allowed=1) for rule in words.RULES)
    assert words.main([]) == 0
