"""`reco` in a pipe: plain lines on standard output, everything else on standard error."""

import re

import pytest

from reco_store import Keys, connect

COLUMNS = ["rank", "movieId", "score", "source", "title", "year", "genres"]


def test_a_users_list_is_one_line_a_movie(reco, generation):
    """Seven columns, best first, without header or colour; rated movies are left out."""
    ended = reco("get-user", "42", "-n", "4")
    title = "Lord of the Rings: The Return of the King, The (2003)"
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "1\t50\t0.987\tpersonal\tUsual Suspects, The (1995)\t1995\tCrime|Mystery",
        "2\t47\t0.937\tpersonal\tSeven (a.k.a. Se7en) (1995)\t1995\tMystery|Thriller",
        "3\t6\t0.887\tpersonal\tHeat (1995)\t1995\tAction|Crime|Thriller",
        f"4\t7153\t0.837\tpersonal\t{title}\t2003\tAction|Adventure|Drama|Fantasy",
    ]
    assert ended.err == f"note: generation {generation}, 3 hours old\n"


def test_ten_movies_are_shown_by_default(reco):
    """-n defaults to 10 and may exceed the length of a list."""
    assert len(reco("get-user", "42").rows) == 10
    assert len(reco("get-user", "42", "-n", "11").rows) == 11


def test_excluded_movies_are_replaced_by_the_next(reco):
    """--exclude may be repeated; the answer is still as long as requested."""
    rows = reco("get-user", "42", "-n", "2", "--exclude", "50", "--exclude", "6").rows
    assert [row[1] for row in rows] == ["47", "7153"]


def test_a_ranked_list_has_predicted_ratings(reco):
    """get-ranked answers from the ranked list, in stars."""
    rows = reco("get-ranked", "42", "-n", "2").rows
    assert [row[1:4] for row in rows] == [["50", "4.913", "ranked"], ["47", "4.813", "ranked"]]


@pytest.mark.parametrize("command", ["get-user", "get-ranked"])
def test_an_unknown_user_gets_popular_movies_with_a_note(reco, command):
    """Never an empty answer: the most rated movies, named as such in every line."""
    ended = reco(command, "unknown", "-n", "2")
    kind = {"get-user": "personal", "get-ranked": "ranked"}[command]
    assert [row[1:4] for row in ended.rows] == [
        ["1", "215", "most_rated"],
        ["50", "204", "most_rated"],
    ]
    assert (
        f"note: user unknown has no {kind} list; showing the most rated movies instead."
        in ended.err
    )
    assert ended.code == 0


def test_a_short_list_is_filled_up_with_a_note(reco):
    """Three movies of the user's own, then popular ones, each with its source."""
    ended = reco("get-user", "8", "-n", "5")
    assert [row[3] for row in ended.rows] == ["personal"] * 3 + ["most_rated"] * 2
    assert "has only 3 to show; most rated movies fill the rest." in ended.err


def test_a_short_answer_has_a_note(reco):
    """A note explains an answer that is shorter than requested."""
    ended = reco("get-user", "unknown", "-n", "1000")
    assert f"note: {len(ended.rows)} of 1000: the published lists have no more." in ended.err


@pytest.mark.parametrize("words", [("get-popular",), ("get-user", "1"), ("get-movie", "2")])
def test_a_listing_without_movies_is_no_line(reco, client, publish, words):
    """An empty answer is no line, and a note explains it."""
    generation, keys = publish(client, "bare", counts={}), Keys("bare")
    for by in ("most_rated", "highest_rated"):
        client.delete(keys.data(generation, f"popular:{by}"))
    ended = reco(*words, "--namespace", "bare")
    assert (ended.code, ended.out) == (0, "")
    assert f"note: generation {generation}, 3 hours old\n" in ended.err


def test_odd_ids_are_ids(reco):
    """Braces, colons, asterisks and spaces in an id need no escape."""
    assert reco("get-user", "a:{b} *", "-n", "1").rows[0][1:4] == ["6", "0.900", "personal"]


def test_an_id_may_look_like_an_option(reco):
    """After `--` a leading dash is part of the id."""
    ended = reco("get-user", "-n", "1", "--", "-7")
    assert (ended.code, "user -7 has no personal list" in ended.err) == (0, True)


@pytest.mark.parametrize("wanted", ["1", "Toy Story (1995)", "toy story", "  TOY   Störy "])
def test_a_movie_is_found_by_id_and_by_exact_title(reco, wanted):
    """Case, accents, spaces and the year's suffix are ignored; the card goes to stderr."""
    ended = reco("get-movie", wanted)
    assert [row[1:4] for row in ended.rows[:3]] == [
        ["2", "0.912", "similar"],
        ["6", "0.750", "similar"],
        ["50", "0.500", "similar"],
    ]
    assert "title: Toy Story (1995)\nid: 1\ngenres: Adventure, Animation, Children\n" in ended.err
    assert "ratings: 215, mean 3.92\n" in ended.err


def test_an_id_takes_precedence_over_a_title(reco):
    """300 is the id of one movie and the title of another, which its full title finds."""
    assert "title: Quiz Show (1994)\nid: 300\n" in reco("get-movie", "300").err
    assert "title: 300 (2007)\nid: 51662\n" in reco("get-movie", "300 (2007)").err


def test_a_title_of_several_movies_lists_them_with_their_ids(reco):
    """The candidates are printed, and exit code 2 reports the ambiguity."""
    ended = reco("get-movie", "hamlet")
    assert [row[1:6] for row in ended.rows] == [
        ["11", "", "candidate", "Hamlet (1996)", "1996"],
        ["12", "", "candidate", "Hamlet (1990)", "1990"],
    ]
    assert ended.code == 2
    assert "error: 2 movies have the title 'hamlet'; ask for one by its id\n" in ended.err
    assert reco("get-movie", "Hamlet (1990)").code == 0


def test_an_unknown_movie_gets_popular_movies_with_a_note(reco):
    """A typing error gives popular movies, not an empty answer, and they are named as such."""
    ended = reco("get-movie", "Toy Stry", "-n", "1")
    assert [row[1:4] for row in ended.rows] == [["1", "215", "most_rated"]]
    assert (
        "note: no movie has the id or the title Toy Stry; showing the most rated movies instead.\n"
    ) in ended.err


def test_popular_movies_by_count_and_by_mean(reco):
    """most-rated counts ratings, highest-rated shows means; most-rated is the default."""
    assert reco("get-popular", "-n", "1").rows[0][1:4] == ["1", "215", "most_rated"]
    best = reco("get-popular", "--by", "highest-rated", "-n", "1").rows[0]
    assert best[1:4] == ["50", "4.238", "highest_rated"]


def test_a_kind_that_is_not_published_has_a_note(reco):
    """A generation has trending and new movies only on request."""
    for kind in ("trending", "new"):
        ended = reco("get-popular", "--by", kind, "-n", "1")
        assert ended.rows[0][1:4] == ["1", "215", "most_rated"]
        assert (
            f"note: the whole catalogue has no {kind} list; showing the most rated movies instead."
        ) in ended.err


def test_popular_movies_of_a_genre(reco):
    """--genre answers from the genre's own list."""
    rows = reco("get-popular", "--genre", "Drama", "-n", "3").rows
    assert [row[1:3] for row in rows] == [["7153", "185"], ["300", "90"], ["11", "44"]]


def test_an_unknown_genre_gets_all_genres_with_a_note(reco):
    """A genre without a list gets the fallback, with a note."""
    ended = reco("get-popular", "--genre", "Opera", "-n", "1")
    assert ended.rows[0][1] == "1"
    assert "showing the most rated movies of all genres instead." in ended.err


def test_status_is_one_value_a_line(reco, server, generation):
    """Twelve values by default, all of them with --all; names as in the JSON object."""
    short, ended = reco("status"), reco("status", "--all")
    values = dict(ended.rows)
    assert (ended.code, ended.err) == (0, "")
    assert {"generation", "age_seconds", "missing", "held_until"} <= dict(short.rows).keys()
    assert len(short.rows) <= 12
    assert set(map(tuple, short.rows)) - set(values.items()) == {
        ("age_seconds", dict(short.rows)["age_seconds"])
    }
    assert values["generation"] == generation
    assert values["store"] == server
    assert values["counts.user"] == "5"
    assert values["metrics.rmse"] == "0.8827"
    assert values["held_until"] == ""
    assert float(values["age_seconds"]) >= 3 * 3600


def test_control_characters_are_written_as_escapes(reco):
    """Every movie is one line of seven fields, whatever its title contains."""
    ended = reco("get-user", "7", "-n", "8")
    assert all(len(row) == len(COLUMNS) for row in ended.rows)
    titles = {row[1]: row[4] for row in ended.rows}
    assert titles["900"] == r"\x1b[31mRed\x1b[0m \x9b2J\x07 (2001)"
    assert titles["901"] == r"Tab\there\nand a new line\r\x00"
    assert titles["902"] == "千と千尋の神隠し (2001)"
    assert titles["904"] == r"\u202egnp.exe\u202c and [bold]markup[/bold] :smile:"
    assert titles["907"] == r"half a character \ud800"
    assert re.fullmatch(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*", ended.out)


def test_a_hostile_id_cannot_write_on_the_terminal(reco):
    """The caller's own text is escaped, in notes as in errors."""
    for words in (
        ("get-user", "\x1b[31m\n"),
        ("get-movie", "\x9b2J"),
        ("get-popular", "--genre", "\a"),
    ):
        assert re.fullmatch(r"[\n -~]*", reco(*words, "-n", "1").err)


def test_an_output_that_is_not_utf8_gets_escapes(reco):
    """A title that the encoding lacks does not end the command."""
    ended = reco("get-user", "7", "-n", "8", PYTHONIOENCODING="ascii")
    assert (ended.code, ended.out.isascii()) == (0, True)
    assert r"\u5343\u3068" in ended.out


def test_another_namespace_is_another_recommender(reco, client, publish):
    """--namespace and RECO_NAMESPACE choose it; the option takes precedence."""
    publish(client, "other")
    assert dict(reco("status", RECO_NAMESPACE="other").rows)["namespace"] == "other"
    assert reco("status", "--namespace", "reco", RECO_NAMESPACE="nowhere").code == 0
    assert reco("status", RECO_NAMESPACE="nowhere").code == 5


def test_an_option_overrides_the_environment(reco, server):
    """--redis-url is used although REDIS_URL names a server that is down."""
    ended = reco("status", "--redis-url", server, REDIS_URL="redis://127.0.0.1:1")
    assert ended.code == 0


def test_without_an_address_the_embedded_store_is_read(reco, home, publish):
    """An empty REDIS_URL counts as unset; RECO_HOME and --home name the store's folder."""
    with connect(None, home=home) as client:
        publish(client, "reco")
    for words, more in (
        (("--home", str(home)), {}),
        ((), {"RECO_HOME": str(home)}),
        (("--redis-url", "", "--home", str(home)), {}),
    ):
        ended = reco("status", *words, REDIS_URL="", **more)
        assert (ended.code, dict(ended.rows)["store"]) == (0, "embedded")
