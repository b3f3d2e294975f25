"""Configuration of a run: allowed values, and values from preset or file."""

import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from reco_batch.night.run_manifest import parameters_of as manifest_parameters
from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.settings.run_config import RunConfig
from reco_batch.settings.search_space import with_values


def config(**values):
    """Return a configuration with the required values and the given ones."""
    return RunConfig(**{"data": "demo", "threads": 1, "home": Path("home"), **values})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("k", 0),
        ("ranked_k", 0),
        ("ranked_candidates", 0),
        ("popular_n", 0),
        ("count_threshold", -1),
        ("keep", 0),
        ("threads", 0),
        ("preset", "none"),
        ("split", "weekday"),
        ("split_date", "2018-01-01"),
        ("seed", -1),
        ("seed", 2**32),
        ("encoding", "klingon"),
        ("rating_scale", (5, 0.5)),
        ("rating_scale", (1, 1)),
        ("rating_scale", (float("nan"), 5)),
        ("rating_scale", (0, float("inf"))),
        ("rating_threshold", float("nan")),
        ("trending_days", 0),
        ("new_days", -1),
        ("stand_in", "trending"),
        ("colour", "red"),
    ],
)
def test_values_out_of_range_are_refused(field, value):
    """The error names the field."""
    with pytest.raises(ValidationError) as refused:
        config(**{field: value})

    assert refused.value.errors()[0]["loc"][0] == field


@pytest.fixture
def elsewhere(monkeypatch):
    """Move to a time zone in which midnight is another moment than in UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    "given",
    [
        "2018-01-01",
        "2018-01-01T00:00:00Z",
        "2018-01-01 02:00+02:00",
        "1514764800",
        1514764800,
        datetime(2018, 1, 1),
        date(2018, 1, 1),
    ],
)
def test_the_date_of_a_global_split_is_in_utc(given):
    """A date is its midnight, wherever the run is; the manifest contains the moment."""
    found = config(split="global", split_date=given)

    assert found.split_date == datetime(2018, 1, 1, tzinfo=UTC)
    assert manifest_parameters(found)["split_date"] == "2018-01-01T00:00:00Z"


@pytest.mark.parametrize("split", ["random", "time"])
def test_other_splits_have_no_date(split):
    """A date that would have no effect is refused."""
    with pytest.raises(ValidationError):
        config(split=split, split_date="2018-01-01")


@pytest.mark.parametrize("ranked_k", [1, None])
def test_ranked_lists_have_any_length(ranked_k):
    """None means the whole catalogue."""
    assert config(ranked_k=ranked_k).ranked_k == ranked_k


@pytest.mark.parametrize(
    ("preset", "refit", "expected"),
    [
        ("default", None, True),
        ("default", False, False),
        ("notebook", None, False),
        ("notebook", True, True),
    ],
)
def test_refit_overrides_the_preset(preset, refit, expected):
    """The preset decides only if the setting is None."""
    assert config(preset=preset, refit=refit).refits is expected
    assert config(preset=preset).parameters is PRESETS[preset]


def test_a_file_of_parameters_overrides_the_preset():
    """The manifest contains the hyper-parameters in use, under the same names."""
    known = PRESETS["default"]
    other = replace(known, rating=with_values(known.rating, {"ridge_l2": 7.0}))

    changed = config(tuned=other)

    assert changed.parameters == other
    assert manifest_parameters(changed)["models"]["rating"]["ridge_l2"] == 7.0
    assert manifest_parameters(changed).keys() == manifest_parameters(config()).keys()


def test_folders_are_below_home():
    """One folder contains everything that a run writes."""
    assert config().artifacts == Path("home/artifacts")
    assert config().downloads == Path("home/downloads")
