"""Settings of events: their forms, their defaults, and what contradicts itself."""

import math

import pytest

from reco_batch.settings.input_keys import ColumnKeys, InputKeys, events_refusal
from reco_batch.settings.precedence import read_settings
from reco_store import UsageError

KINDS = {"view": 1, "add to cart": 3, "purchase": 5, "return": -2}


def keys(**more):
    """Return settings of a table of events."""
    return InputKeys(**{"events": KINDS, "columns": ColumnKeys(event="kind"), **more})


def test_options_variables_and_the_file_have_the_same_weights(tmp_path, monkeypatch):
    """An option replaces the table of the file."""
    file = tmp_path / "reco.toml"
    file.write_text('[input.events]\nview = 1\n"add to cart" = 3\n')
    by_file = read_settings({}, file).settings.input.events

    by_option = read_settings({"event": ["view=1", "add to cart=3"]}, file).settings.input.events
    monkeypatch.setenv("RECO_INPUT_EVENTS", "view=1, add to cart=3")
    by_variable = read_settings({}).settings.input.events

    assert by_file == by_option == by_variable == {"view": 1, "add to cart": 3}
    assert read_settings({"event": ["a=b=4"]}, file).settings.input.events == {"a=b": 4}


@pytest.mark.parametrize(
    "word", ["view", "view=0", "view=x", "=4", "view=-1", "view=nan", "view=inf", "view="]
)
def test_a_weight_is_a_number_other_than_0(word):
    """At least one is above 0; the error has the word."""
    with pytest.raises(UsageError) as error:
        read_settings({"event": [word]})
    assert str(error.value) == (
        f"--event {word}: expected a weight for each kind, a number other than 0, one of them "
        "above 0"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("half_life", 0), ("half_life", -1), ("half_life", "x")]
)
@pytest.mark.parametrize("other", ["", "max_strength"])
def test_a_half_life_and_a_limit_are_above_0(name, value, other):
    """Not 0, and not below."""
    with pytest.raises(UsageError, match=f"{(other or name).replace('_', '-')} .*a number"):
        read_settings({other or name: value})


def test_defaults_are_what_a_shop_expects():
    """One purchase is the most; what was touched is seen; what is bought is predicted."""
    found = keys().counting

    assert found.most == 5
    assert found.seen == ("view", "add to cart", "purchase")
    assert found.target == ("purchase",)
    assert found.half_life is None
    assert keys(events={"a": 2, "b": 2, "c": 1}).counting.target == ("a", "b")
    assert keys(columns=ColumnKeys(event="kind", weight="n")).counting.most == math.inf
    assert InputKeys().counting is None
    assert keys(target_events=["view"], max_strength=9).counting[1] == 9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"events": {}}, "input.columns.event is 'kind', and no kind of event has a weight"),
        ({"columns": ColumnKeys()}, "input.events has weights of 'view', 'add to cart', 'purc"),
        ({"columns": ColumnKeys(event="k", rating="r")}, "input.columns.rating is 'r', and events"),
        ({"target_events": ["buy"]}, "input.target_events has 'buy'; expected kinds of [input.ev"),
        ({"seen_events": ["buy"]}, "input.seen_events has 'buy'; expected kinds of [input.events]"),
        ({"target_events": ["return"]}, "input.target_events has 'return', whose weight is -2; ex"),
        ({"events": {}, "columns": ColumnKeys(), "half_life": 3}, "input.half_life is 3, and the"),
    ],
)
def test_a_contradiction_is_one_line(settings, words):
    """With the setting and what was expected."""
    assert words in str(events_refusal(keys(**settings)))
    assert "\n" not in str(events_refusal(keys(**settings)))


def test_settings_that_fit_have_no_error():
    """Also a weight without kinds."""
    assert events_refusal(keys(seen_events=["return"], half_life=3)) is None
    assert events_refusal(InputKeys(columns=ColumnKeys(weight="hours"), max_strength=3)) is None
    assert events_refusal(InputKeys()) is None
