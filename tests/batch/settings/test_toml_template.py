"""`batch init`: a file that lists every setting and says none."""

import re
import tomllib

import pytest

from reco_batch.settings.fields import Settings
from reco_batch.settings.option import allowed, default_words, valued
from reco_batch.settings.precedence import SETTINGS, read_settings, variable
from reco_batch.settings.toml_template import template, toml_text, write_template
from reco_store import UsageError


def test_it_says_nothing():
    """A night with the file is the night without it."""
    assert tomllib.loads(template()) == {"gate": {}, "tune": {}, "notify": {}}


def test_every_setting_stands_there_with_all_that_is_to_be_known():
    """Its words, what it may be, what it is otherwise, its variable; no line is too wide."""
    text = template()
    words = " ".join(re.sub(r"^# ?", "", text, flags=re.MULTILINE).split())

    for name, field in SETTINGS.items():
        assert re.search(rf"^#{name.rpartition('.')[2]} = ", text, re.MULTILINE)
        told = f"Allowed: {allowed(field)}. Default: {default_words(field)}. "
        assert " ".join(f"{told}Environment: {variable(name)}.".split()) in words
    assert max(map(len, text.splitlines())) <= 80


def test_without_its_comment_signs_it_is_valid(tmp_path, monkeypatch):
    """Where there is a default, the line has it."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    path = tmp_path / "all.toml"
    path.write_text(re.sub(r"^#(\w+ = )", r"\1", template(), flags=re.MULTILINE), "utf-8")

    told = read_settings({}, path)

    assert told.said.keys() == SETTINGS.keys()
    have, usual = valued(told.settings), valued(Settings())
    without = {name for name in SETTINGS if usual[name] in (None, float("inf"))}
    assert {name for name in SETTINGS if have[name] != usual[name]} == without


def test_a_file_that_is_there_stays(tmp_path):
    """Unless it shall not."""
    path = tmp_path / "reco.toml"
    path.write_text("k = 7")

    with pytest.raises(UsageError, match=r"is there already; expected no file. Use --force"):
        write_template(path, replace=False)
    assert path.read_text() == "k = 7"

    assert write_template(path, replace=True).startswith(f"wrote {path}")
    assert path.read_text() == template()


def test_a_folder_that_is_not_there_is_said(tmp_path):
    """One line, no traceback."""
    with pytest.raises(UsageError, match="could not be written"):
        write_template(tmp_path / "no" / "reco.toml", replace=False)


@pytest.mark.parametrize(
    "value", [True, False, 7, 0.5, float("inf"), "a", 'q"\\\n\t日本🎬', [1.5, 2.0], ["a", "b"], []]
)
def test_values_read_back(value):
    """As TOML has them."""
    assert tomllib.loads(f"x = {toml_text(value)}")["x"] == value
