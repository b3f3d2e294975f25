"""`reco search`: movies by words of their titles."""

import json

import pytest

from reco_store import Keys
from reco_store.contract.codec import encode_ids


@pytest.fixture
def searchable(client, generation):
    """Add the keys that the job publishes for one word to the generation of the tests."""
    key = Keys("reco").data(generation, "search:seve")
    client.set(key, encode_ids(["47"], numeric_ids=True))
    yield
    client.delete(key)


def test_found(reco, searchable):
    """One line a movie: id, number of ratings, title; the same as JSON."""
    ended = reco("search", "se7en", "SEVEN")
    assert [row[1] for row in ended.rows] == ["47"]
    (row,) = reco("search", "seven").rows
    assert row[1:5] == ["47", "203", "search", "Seven (a.k.a. Se7en) (1995)"]
    found = json.loads(reco("search", "seven", "--json", "-n", "3").out)
    assert found["query"] == {"text": "seven", "n": 3}
    assert found["movies"][0]["movie_id"] == "47"


def test_not_found(reco):
    """Nothing on standard output, and a note."""
    ended = reco("search", "zebra")
    assert (ended.code, ended.out) == (0, "")
    assert "no title has all of these words" in ended.err


def test_no_words(reco):
    """Punctuation alone is a usage error."""
    ended = reco("search", "?")
    assert ended.code == 2
    assert "expected words of a title" in ended.err
