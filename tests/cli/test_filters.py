"""Filters of the commands: genre, years, available movies, hidden movies."""

import json

import pytest

from reco_store import Keys


@pytest.fixture
def sets(client, publish):
    """Keys of a namespace whose sets a test may fill."""
    publish(client, "sets")
    keys = Keys("sets")
    yield keys
    client.delete(keys.hidden, keys.available(), keys.available("de"))


def test_a_genre_and_years(reco):
    """Only matching movies, best first; --genre may be repeated, and both years are included."""
    years = ("--from-year", "1995", "--to-year", "2003")
    rows = reco("get-user", "42", "-n", "3", "--genre", "Mystery", "--genre", "War", *years).rows
    assert [(row[1], row[3]) for row in rows] == [
        ("50", "personal"),
        ("47", "personal"),
    ]


@pytest.mark.parametrize(
    ("words", "source"),
    [(("get-user", "42"), "personal"), (("get-ranked", "42"), "ranked"), (("get-movie", "1"), "")],
)
def test_every_listing_takes_filters(reco, words, source):
    """Every listing contains only movies of the genre, and each fallback item names its source."""
    ended = reco(*words, "--genre", "Crime", "--json", "-n", "20")
    found = json.loads(ended.out)
    assert found["items"]
    assert all("Crime" in item["genres"] for item in found["items"])
    assert {item["source"] for item in found["items"]} <= {source, "similar", "most_rated"}
    assert found["query"]["genres"] == ["Crime"]


def test_a_fallback_for_a_filter_is_noted(reco):
    """A note reports that the user's own list has no match, and names the fallback."""
    ended = reco("get-user", "9", "-n", "2", "--genre", "Drama")
    assert [(row[1], row[3]) for row in ended.rows] == [
        ("7153", "most_rated_in_genre"),
        ("300", "most_rated_in_genre"),
    ]
    assert (
        "note: the personal list of user 9 has no movie that passes the filters; "
        "showing the most rated movies of the genre instead." in ended.err
    )


def test_a_filter_without_a_match(reco):
    """An empty listing is not an error; a note reports that the lists have no more."""
    ended = reco("get-user", "42", "--from-year", "2050")
    assert (ended.code, ended.out) == (0, "")
    assert "note: 0 of 10: the published lists have no more." in ended.err


def test_available_and_hidden(reco, client, sets):
    """The namespace's own sets, a named set, and the number of hidden movies in `status`."""
    client.sadd(sets.available(), "47", "6", "2")
    client.sadd(sets.available("de"), "6")
    client.sadd(sets.hidden, "47")

    def ids(*words):
        rows = reco("get-user", "42", "-n", "2", "--namespace", "sets", *words).rows
        return [row[1] for row in rows]

    assert ids() == ["50", "6"]
    assert ids("--available") == ["6", "2"]
    assert ids("--available-in", "de") == ["6"]
    shown = json.loads(reco("status", "--namespace", "sets", "--json").out)
    assert shown["hidden"] == 1


def test_years_in_the_wrong_order(reco):
    """A range of years that no movie can match is a usage error."""
    ended = reco("get-user", "42", "--from-year", "2000", "--to-year", "1990")
    assert (ended.code, ended.out) == (2, "")
    assert "years 2000 to 1990: expected the earlier one first" in ended.err
