"""`reco for-ratings`: a few ratings by title or id."""

import json

import pytest


def test_titles_and_ids(reco):
    """Scores are summed over both next lists; each item is explained by a better rated movie."""
    ended = reco("for-ratings", "toy story=5", "11=2.5", "-n", "3")
    assert [(row[1], row[3], row[7]) for row in ended.rows[:3]] == [
        ("2", "for_ratings", "Toy Story (1995)"),
        ("6", "for_ratings", "Toy Story (1995)"),
        ("50", "for_ratings", "Toy Story (1995)"),
    ]
    assert ended.code == 0


def test_as_json(reco):
    """The object contains the parsed ratings and the explanations."""
    found = json.loads(reco("for-ratings", "1=5", "-n", "5", "--json").out)
    assert found["query"]["ratings"] == {"1": 5.0}
    assert found["items"][0]["because"] == {"movie_id": "1", "title": "Toy Story (1995)"}
    assert found["items"][-1]["because"] is None
    assert found["items"][-1]["source"] == "most_rated"
    assert found["fallback"] is True


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("Toy Story", "expected an id or a title, =, and stars"),
        ("=4", "expected an id or a title, =, and stars"),
        ("1=many", "expected an id or a title, =, and stars"),
        ("1=nan", "expected an id or a title, =, and stars"),
        ("1=7", "7 stars of '1': expected 0.5 to 5"),
        ("No such=4", "no movie has the id or the title 'No such'"),
        ("Hamlet=4", "2 movies have the title 'Hamlet'; name one by id: 11"),
    ],
)
def test_invalid_ratings(reco, word, message):
    """One line with the text that was found and the form that was expected."""
    ended = reco("for-ratings", word)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_a_movie_given_by_id_and_title_counts_once(reco):
    """A movie given by id and by title is one movie."""
    assert "is rated twice" in reco("for-ratings", "1=4", "Toy Story (1995)=5").err


def test_a_table_shows_explanations(terminal):
    """A table has a column of explanations, too."""
    shown = terminal("for-ratings", "1=5", "-n", "2", columns=120).out
    assert "because" in shown
    assert "Toy Story" in shown
