"""Rules against the data: which movies meet a condition, and which rules are refused."""

import numpy as np
import pytest
from pydantic import ValidationError

from reco_batch.data.dataset import NO_TIME, Dataset, Events, Movies, Ratings, histories
from reco_batch.errors import DataRefused
from reco_batch.rules.compiled import compiled
from reco_batch.rules.repeats import left_out, left_out_by_kind
from reco_batch.settings.rules import RulesKeys
from reco_store import UsageError

DAY = 86_400


def dataset(**more):
    """Return four movies of two brands, rated by two users."""
    movies = Movies(
        ("1", "2", "3", "4"),
        ("A", "B", "C", "D"),
        (("Food",), ("Food", "Wine"), (), ("Toys",)),
        (None, 1999, 2000, None),
        **{
            "attributes": {
                "brand": ("acme", "best", "acme", None),
                "price": np.array([5.0, 10.0, np.nan, 20.0]),
            },
            **more,
        },
    )
    times = np.array([0, 40 * DAY, 90 * DAY, 100 * DAY])
    ratings = Ratings(np.array([0, 0, 0, 1], "i4"), np.array([0, 1, 2, 1], "i4"), None, times)
    return Dataset(("u", "v"), movies, ratings, (0.5, 5))


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({"only": [{"column": "brand", "values": ["acme"]}]}, [1, 0, 1, 0]),
        ({"never": [{"column": "Brand", "values": ["acme", "best"]}]}, [0, 0, 0, 1]),
        ({"only": [{"column": "price", "at_least": 5, "at_most": 10}]}, [1, 1, 0, 0]),
        ({"never": [{"column": "price", "at_least": 10}]}, [1, 0, 1, 0]),
        ({"only": [{"column": "price", "values": [20]}]}, [0, 0, 0, 1]),
        ({"never": [{"column": "genres", "values": ["Wine", "Toys"]}]}, [1, 0, 1, 0]),
        ({"only": [{"column": "year", "at_least": 2000}]}, [0, 0, 1, 0]),
    ],
)
def test_conditions(rules, wanted):
    """A missing value meets no condition; names of columns are compared without case."""
    made = compiled(RulesKeys(**rules), dataset())
    assert made.eligible.tolist() == [bool(one) for one in wanted]
    assert made.user.eligible is made.offered.eligible


def test_unavailable_movies_are_in_no_list_without_any_rule():
    """The column alone is enough."""
    available = np.array([True, False, True, True])
    assert compiled(RulesKeys(), dataset(available=available)).eligible.tolist() == [1, 0, 1, 1]
    assert compiled(RulesKeys(), dataset()).eligible is None


def test_new_movies_were_released_lately_and_have_few_ratings():
    """Days are counted back from the newest rating, and an unknown release is not new."""
    released = np.array([99 * DAY, 99 * DAY, NO_TIME, 69 * DAY])
    rules = RulesKeys(new={"most_ratings": 1, "days": 30})
    assert compiled(rules, dataset(released=released)).user.new.movie_index.tolist() == [0]


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        ({"never": [{"column": "brnad", "values": ["x"]}]}, UsageError, "Is it 'brand'"),
        ({"cap": [{"column": "colour", "at_most": 1}]}, UsageError, "rules.cap number 1"),
        ({"only": [{"column": "brand", "at_least": 1}]}, UsageError, "'acme', which is no number"),
        ({"only": [{"column": "brand", "values": ["x"]}]}, DataRefused, "leaves none of the 4"),
        ({"new": {}}, UsageError, "no column released"),
    ],
)
def test_a_rule_that_does_not_fit_the_data_is_refused(rules, error, words):
    """In one line, with the rule and the column."""
    with pytest.raises(error, match=words) as refused:
        compiled(RulesKeys(**rules), dataset())
    assert "\n" not in str(refused.value)


def test_an_unknown_value_is_noted():
    """With the nearest one."""
    rules = RulesKeys(never=[{"column": "brand", "values": ["acme", "bets"]}])
    (note,) = compiled(rules, dataset()).notes
    assert "no movie has the value 'bets'; the nearest value is 'best'" in note


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ("never", [[2, 1, 0], [1]]),
        ("allowed", [[], []]),
        ("after 30 days", [[2], [1]]),
        ("after 60 days", [[2], [1]]),
        ("after 61 days", [[2, 1], [1]]),
    ],
)
def test_movies_return_after_some_days(seen, wanted):
    """Counted from the latest rating of the user up to the newest of all."""
    days = RulesKeys(seen=seen).repeat_days
    ratings = dataset().ratings
    seen = histories(ratings, user_count=2).below(4)
    found = left_out(ratings, seen, movie_count=4, repeat_days=days)
    assert [found.of(user).tolist() for user in (0, 1)] == wanted


def by_kind(rules, *, seen=("view", "buy")):
    """Return what is left out of the lists of two users who viewed and bought, by rules."""
    latest = np.array([[1, 0], [90 * DAY, 50 * DAY], [0, 90 * DAY], [100 * DAY, 20 * DAY]])
    latest = latest.astype(np.uint32)
    users, movies = np.array([0, 0, 0, 1], "i4"), np.array([0, 1, 2, 1], "i4")
    times = latest.max(axis=1).astype(np.int64) - 1
    ratings = Ratings(users, movies, None, times)
    events = Events(("view", "buy"), latest, seen, ("buy",))
    history = histories(ratings, user_count=2)
    found = left_out_by_kind(ratings, events, history, movie_count=4, rules=rules)
    return [found.of(user).tolist() for user in (0, 1)]


@pytest.mark.parametrize(
    ("rules", "seen", "wanted"),
    [
        ({}, ("view", "buy"), [[2, 1, 0], [1]]),
        ({}, ("buy",), [[2, 1], [1]]),
        ({"view": "never"}, ("buy",), [[2, 1, 0], [1]]),
        ({"view": "allowed"}, ("view", "buy"), [[2, 1], [1]]),
        ({"view": "allowed", "buy": "after 30 days"}, ("view", "buy"), [[2], []]),
        ({"view": "after 30 days", "buy": "allowed"}, ("view", "buy"), [[1], [1]]),
        ({"view": "after 5 days", "buy": "after 60 days"}, ("view", "buy"), [[2, 1], [1]]),
        ({"view": "allowed", "buy": "allowed"}, ("view", "buy"), [[], []]),
    ],
)
def test_each_kind_of_event_has_a_time(rules, seen, wanted):
    """Days of a kind count from its own newest event to the newest of all; newest first."""
    assert by_kind(rules, seen=seen) == wanted


def test_days_of_kinds_need_times():
    """The most days decide whether there may be repeats at all."""
    assert RulesKeys(seen={"buy": "after 30 days", "view": "allowed"}).repeat_days == 30
    assert RulesKeys(seen={"buy": "never", "view": "allowed"}).repeat_days == 0
    assert RulesKeys(seen={"buy": "never"}).repeat_days is None
    with pytest.raises(ValidationError):
        RulesKeys(seen={"buy": "sometimes"})
    with pytest.raises(ValidationError):
        RulesKeys(seen="sometimes")
