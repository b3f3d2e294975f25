"""`reco get-user --recent`: a list re-ordered by the session of a user."""

import json

import pytest


def test_a_recent_movie_is_left_out_and_adds_its_list(reco):
    """`next:1` adds movies 2, 6, 50 and 47; movie 1 is in no row."""
    alone, ended = (reco("get-user", "42", "-n", "12", *more) for more in ((), ("--recent", "1=4")))
    assert ended.code == 0
    assert "1" in [row[1] for row in alone.rows]
    assert "1" not in [row[1] for row in ended.rows]
    by_id = {row[1]: (float(row[2]), row[3]) for row in ended.rows}
    assert by_id["2"] == (pytest.approx(0.3 / 1.1 + 0.5, abs=1e-3), "next")
    assert by_id["47"] == (pytest.approx(1 / 1.1, abs=1e-3), "personal")


def test_low_stars_leave_out_only(reco):
    """Two stars drop the movie and change nothing else."""
    alone, ended = (reco("get-user", "42", "-n", "5", *more) for more in ((), ("--recent", "6=2")))
    assert [row[1] for row in ended.rows] == ["50", "47", "7153", "300", "51662"]
    assert ended.rows[0] == alone.rows[0]


def test_a_recent_movie_may_be_named_by_title(reco):
    """As in `for-ratings`; with one of no movie the list is unchanged, and a note says so."""
    by_id = reco("get-user", "42", "-n", "12", "--recent", "1=4")
    by_title = reco("get-user", "42", "-n", "12", "--recent", "Toy Story (1995)=4")
    assert by_title.code == 0
    assert by_title.rows == by_id.rows
    for unknown in ("nope=4", "nope"):
        ended = reco("get-user", "42", "-n", "12", "--recent", unknown)
        assert ended.rows == reco("get-user", "42", "-n", "12").rows
        assert "no movie has the id or the title nope, so it adds nothing." in ended.err
    assert "nope" not in by_id.err


def test_several_newest_first(reco):
    """The option may be repeated, and the document has the movies in their order."""
    found = json.loads(reco("get-user", "42", "--recent", "11", "--recent", "1=4.5", "--json").out)
    assert list(found["query"]["recent"].items()) == [("11", None), ("1", 4.5)]
    assert found["fallback"] is False
    assert "recent" not in json.loads(reco("get-user", "42", "--json").out)["query"]


def test_explanations_name_the_recent_movie(reco):
    """With --why, a movie of a recent movie's list names it."""
    ended = reco("get-user", "42", "-n", "12", "--recent", "11", "--why")
    (row,) = [row for row in ended.rows if row[1] == "12"]
    assert (row[3], row[7]) == ("next", "Hamlet (1996)")


def test_an_unknown_user_with_recent_movies(reco):
    """The note names the popular list and the recent movies."""
    ended = reco("get-user", "absent", "-n", "5", "--recent", "1")
    assert {row[3] for row in ended.rows} == {"most_rated", "next"}
    assert (
        "user absent has no personal list; showing the most rated movies, re-ordered by the recent "
        "movies, instead." in ended.err
    )
    plain = reco("get-user", "absent", "-n", "5", "--recent", "nothing")
    assert plain.rows == reco("get-user", "absent", "-n", "5").rows


def test_a_short_list_with_recent_movies(reco):
    """The list with the recent movies comes first, and the rest is noted."""
    ended = reco("get-user", "9", "-n", "8", "--recent", "11")
    assert [row[3] for row in ended.rows][:3] == ["next", "personal", "next"]
    assert (
        "the personal list of user 9, with the recent movies, has only 3 to show; "
        "most rated movies fill the rest." in ended.err
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recent", "1=many"), "'1=many': expected an id or a title, alone or with"),
        (("--recent", "=4"), "'=4': expected an id or a title, alone or with"),
        (("--recent", "1", "--recent", "1=4"), "'1' is named twice; expected it once"),
        (("--recent", "1=7"), "7 stars of '1': expected at most 5"),
    ],
)
def test_texts_that_are_no_movies(reco, words, message):
    """A usage error in one line, and no list."""
    ended = reco("get-user", "42", *words)
    assert ended.code == 2
    assert message in ended.err
    assert not ended.out
