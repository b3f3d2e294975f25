"""The template that `batch init` writes."""

import re
import tomllib

import pytest

from reco_batch.settings.all_settings import Settings
from reco_batch.settings.precedence import SETTINGS, dotted, read_settings, variable
from reco_batch.settings.setting_metadata import allowed, default_words
from reco_batch.settings.toml_template import template, toml_text, write_template
from reco_store import UsageError


def test_the_template_sets_nothing():
    """A run with the template equals a run without a file."""
    assert tomllib.loads(template()) == {
        "input": {"columns": {}},
        "rules": {},
        "gate": {},
        "tune": {},
        "notify": {},
    }


def test_the_template_describes_every_setting():
    """Help, allowed values, default and variable are there, in lines of at most 80 columns."""
    text = template()
    words = " ".join(re.sub(r"^# ?", "", text, flags=re.MULTILINE).split())

    for name, field in SETTINGS.items():
        assert re.search(rf"^#{name.rpartition('.')[2]} = ", text, re.MULTILINE)
        facts = f"Allowed: {allowed(field)}. Default: {default_words(field)}. "
        assert f"{field.description} {facts}Environment: {variable(name)}." in words
    assert max(map(len, text.splitlines())) <= 80


def test_the_template_is_valid_without_its_comment_signs(tmp_path, monkeypatch):
    """Each line has the default, or an example for a default that TOML cannot express."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    path = tmp_path / "all.toml"
    text = re.sub(r"^#(\w+ = )", r"\1", template(), flags=re.MULTILINE)
    path.write_text(text.replace('split = "random"', 'split = "global"'), "utf-8")  # has a date

    resolved = read_settings({}, path)

    assert resolved.origins.keys() == SETTINGS.keys()
    values, defaults = dotted(resolved.settings.model_dump()), dotted(Settings().model_dump())
    inexpressible = {name for name in SETTINGS if defaults[name] in (None, float("inf"))}
    changed = {name for name in SETTINGS if values[name] != defaults[name]}
    assert changed == inexpressible | {"split", "input.events"}


def test_an_existing_file_is_replaced_only_on_request(tmp_path):
    """Without `--force` the file stays as it is."""
    path = tmp_path / "reco.toml"
    path.write_text("k = 7")

    with pytest.raises(UsageError, match=r"exists already. Use --force"):
        write_template(path, replace=False)
    assert path.read_text() == "k = 7"

    assert write_template(path, replace=True).startswith(f"wrote {path}")
    assert path.read_text() == template()


def test_a_missing_folder_is_an_error(tmp_path):
    """The error is one line, without a traceback."""
    with pytest.raises(UsageError, match="could not be written"):
        write_template(tmp_path / "no" / "reco.toml", replace=False)


@pytest.mark.parametrize(
    "value", [True, False, 7, 0.5, float("inf"), "a", 'q"\\\n\t日本🎬', [1.5, 2.0], ["a", "b"], []]
)
def test_toml_text_reads_back(value):
    """A TOML parser returns the value that was written."""
    assert tomllib.loads(f"x = {toml_text(value)}")["x"] == value
