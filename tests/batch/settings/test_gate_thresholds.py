"""Thresholds of the quality gate: defaults, changes and errors."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.precedence import read_settings
from reco_store import UsageError


def thresholds(*words):
    """Return the thresholds for the given values of `--gate-bound`."""
    return read_settings({"gate_bound": list(words)}).settings.gate


def test_three_thresholds_are_off_by_default():
    """None means the preset's baseline ratio, a warning, and any age of the ratings."""
    assert thresholds() == GateBounds()
    bounds = GateBounds()
    assert bounds.popularity_ratio is bounds.hindsight_ratio is bounds.rating_age_days is None


def test_options_change_single_thresholds():
    """The others keep their defaults, the last of two values counts, `none` turns a check off."""
    changed = thresholds("churn=0.5", "days_behind=2", "churn=0.25", "rating_age_days=none")

    assert changed == GateBounds(churn=0.25, days_behind=2)


@pytest.mark.parametrize("word", ["", "churn", "chrun=0.5", "=1", "Churn=1", " churn=1"])
def test_unknown_names_are_refused(word):
    """The error has the word and all names."""
    names = r"NAME is one of metric_drop, .*, rating_age_days"
    if word == "churn":
        names = "expected a number from 0 to 1"
    with pytest.raises(UsageError, match=names) as refused:
        thresholds(word)

    assert str(refused.value).startswith("--gate-bound ")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("churn=1.1", "a number from 0 to 1"),
        ("churn=-0.1", "a number from 0 to 1"),
        ("churn=nan", "a number from 0 to 1"),
        ("churn=none", "a number from 0 to 1"),
        ("churn=", "a number from 0 to 1"),
        ("days_behind=inf", "a number from 0"),
        ("rating_age_days=-1", "a number from 0, or none"),
    ],
)
def test_values_out_of_range_are_refused(word, expected):
    """The error has the word and the allowed values."""
    with pytest.raises(UsageError) as refused:
        thresholds(word)

    assert str(refused.value) == f"--gate-bound {word}: expected {expected}"


@given(st.sampled_from(sorted(GateBounds.model_fields)), st.floats(0, 1))
def test_every_threshold_accepts_a_share(name, value):
    """A number from 0 to 1 is allowed for every threshold, and kept exactly."""
    assert getattr(thresholds(f"{name}={value!r}"), name) == value


def test_every_threshold_is_documented():
    """The operator's table has each name with its default."""
    page = Path(__file__).parents[3].joinpath("docs/operations.md").read_text("utf-8")

    for name, field in GateBounds.model_fields.items():
        default = "none" if field.default is None else f"{field.default:g}"
        assert f"`{name}` ({default})" in page
