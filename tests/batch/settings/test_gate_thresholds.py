"""The bounds of the gate: their defaults, and how one is changed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reco_batch.settings.gate_thresholds import GateBounds, parse_bounds
from reco_batch.settings.precedence import read_settings
from reco_store import UsageError


def bounds_of(words):
    """Return the bounds that `--gate-bound` says."""
    return read_settings({"gate_bound": list(words)}).settings.gate


def test_nothing_said_means_the_defaults():
    """As in the table of docs/operations.md."""
    assert bounds_of(()) == GateBounds()
    assert GateBounds().popularity_ratio is None  # as the preset has it
    assert GateBounds().rating_age_days is None


def test_one_is_changed_by_name():
    """The others stay; of two with one name the last counts; none takes a bound away."""
    bounds = bounds_of(["churn=0.5", "days_behind=2", "churn=0.25", "rating_age_days=none"])

    assert bounds == GateBounds(churn=0.25, days_behind=2)


@pytest.mark.parametrize("word", ["", "churn", "chrun=0.5", "=1", "Churn=1", " churn=1"])
def test_unknown_names_are_refused(word):
    """The message has the word and all names."""
    with pytest.raises(UsageError, match=r"NAME is one of metric_drop, .*, rating_age_days") as no:
        parse_bounds([word])

    assert str(no.value).startswith(f"--gate-bound {word!r}: ")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("churn=1.1", "a number from 0 to 1"),
        ("churn=-0.1", "a number from 0 to 1"),
        ("churn=nan", "a number from 0 to 1"),
        ("churn=none", "a number from 0 to 1"),
        ("churn=", "a number from 0 to 1"),
        ("days_behind=inf", "a number, 0 or greater"),
        ("rating_age_days=-1", "a number, 0 or greater, or none"),
    ],
)
def test_impossible_values_are_refused(word, expected):
    """The message has the word and what would be right."""
    with pytest.raises(UsageError) as no:
        bounds_of([word])

    assert str(no.value) == f"--gate-bound {word}: expected {expected}"


@given(st.sampled_from(sorted(GateBounds.model_fields)), st.floats(0, 1))
def test_every_bound_can_be_said(name, value):
    """Whatever number from 0 to 1 is said is what counts."""
    assert getattr(bounds_of([f"{name}={value!r}"]), name) == value


def test_bounds_are_frozen():
    """Nothing changes once the night has begun."""
    with pytest.raises(ValidationError):
        GateBounds().churn = 1


def test_every_bound_is_documented():
    """With its name and its default, in the operator's table."""
    page = Path(__file__).parents[3].joinpath("docs/operations.md").read_text("utf-8")

    for name, field in GateBounds.model_fields.items():
        default = "none" if field.default is None else f"{field.default:g}"
        assert f"`{name}` ({default})" in page
