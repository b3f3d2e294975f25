"""What a night can be told, and what it refuses to be told."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from reco_batch.data.split import SplitBy
from reco_batch.night.manifest import parameters_of as manifest_parameters
from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.settings.run_config import RunConfig
from reco_batch.settings.search_space import with_values


def config(**said):
    """Say only what must be said, and more."""
    return RunConfig(**{"data": "demo", "threads": 1, "home": Path("home"), **said})


def test_defaults_are_the_documented_ones():
    """What is used when nothing is said."""
    told = config()

    assert (told.rating_scale, told.preset, told.split, told.seed) == (
        (0.5, 5.0),
        "default",
        SplitBy.RANDOM,
        42,
    )
    assert (told.k, told.ranked_k, told.popular_n, told.keep) == (100, 1000, 100, 3)
    assert (told.count_threshold, told.rating_threshold) == (50, None)
    assert told.namespace == "reco"


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
        ("seed", -1),
        ("seed", 2**32),
        ("encoding", "klingon"),
        ("rating_scale", (5, 0.5)),
        ("rating_scale", (1, 1)),
        ("rating_scale", (float("nan"), 5)),
        ("rating_scale", (0, float("inf"))),
        ("rating_threshold", float("nan")),
        ("colour", "red"),
    ],
)
def test_impossible_values_are_refused(field, value):
    """Each refusal names the field."""
    with pytest.raises(ValidationError) as refused:
        config(**{field: value})

    assert refused.value.errors()[0]["loc"][0] == field


@pytest.mark.parametrize("ranked_k", [1, None])
def test_ranked_lists_may_be_of_any_length(ranked_k):
    """None stands for the whole catalogue."""
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
def test_refit_is_the_presets_unless_it_is_said(preset, refit, expected):
    """A flag beats the preset."""
    assert config(preset=preset, refit=refit).refits is expected
    assert config(preset=preset).parameters is PRESETS[preset]


def test_a_file_of_parameters_beats_the_preset():
    """What was used stands in the manifest, as that of a preset does."""
    known = PRESETS["default"]
    other = replace(known, rating=with_values(known.rating, {"ridge_l2": 7.0}))

    told = config(tuned=other)

    assert told.parameters == other
    assert manifest_parameters(told)["models"]["rating"]["ridge_l2"] == 7.0
    assert manifest_parameters(told).keys() == manifest_parameters(config()).keys()


def test_folders_lie_below_home():
    """One folder holds all that a night writes."""
    assert config().artifacts == Path("home/artifacts")
    assert config().downloads == Path("home/downloads")


def test_config_is_frozen():
    """Nothing changes once the night has begun."""
    told = config()

    with pytest.raises(ValidationError):
        told.k = 5
