"""Tables of docs/models.md against the hyper-parameters and the values that a run tries."""

import re
from pathlib import Path

import pytest

from reco_batch.models.retrieval.choose import LADDER
from reco_batch.settings.hyperparameters import EnsembleParameters, HybridParameters
from reco_batch.settings.search_space import values_of

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
#: Values to try that follow from the data, with their description on the page.
MEASURED = {"tower.steps": "every 24 steps of one training"}


def tables(heading):
    """Return the cells of the tables below a heading: those of each row, the header first."""
    part = re.split(rf"^#+ {heading}$", PAGE, flags=re.MULTILINE)[1]
    part = re.split(r"^#+ ", part, maxsplit=1, flags=re.MULTILINE)[0]
    found = [[]]
    for line in part.splitlines():
        if not line.startswith("|"):
            found.append([])
        elif not line.startswith("|---"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows for rows in found if rows]


def written(value):
    """Return a value as the page writes it."""
    if isinstance(value, str):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def defaults_of(rows):
    """Return the text of each default by dotted name; the header may be the prefix of the names."""
    prefix = rows[0][0].strip("`") if rows[0][0].endswith(".`") else ""
    found = {}
    for names, texts, *_ in rows[1:]:
        own = re.findall(r"`([^`]+)`", names)
        each = [texts] if len(own) == 1 else texts.split(", ")
        found |= {prefix + name: text for name, text in zip(own, each, strict=True)}
    return found


def test_the_page_has_every_value_that_a_run_tries():
    """Names and values, in any order of the names."""
    (rows,) = tables("What the validation part chooses")

    assert {names.strip("`"): texts for names, texts, *_ in rows[1:]} == {
        name: MEASURED.get(name) or ", ".join(map(written, values))
        for name, values in LADDER.items()
    }


@pytest.mark.parametrize(
    ("heading", "parameters"),
    [("What is fixed", HybridParameters()), ("Rating", EnsembleParameters())],
)
def test_the_page_has_every_default(heading, parameters):
    """A hyper-parameter has its default, as the code has it."""
    found = {}
    for rows in tables(heading):
        found |= defaults_of(rows)

    assert found == {name: written(value) for name, value in values_of(parameters).items()}
