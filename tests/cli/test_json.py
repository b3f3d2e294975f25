"""`--json`: one object whose fields, and their types, do not change."""

import json

import pytest

FRAME = {"schema": int, "command": str, "namespace": str, "generation": str, "age_seconds": float}
ITEM = {
    "rank": int,
    "movie_id": str,
    "score": float,
    "source": str,
    "title": str,
    "year": int,
    "genres": list,
    "because": type(None),
}
MOVIE = {
    "movie_id": str,
    "title": str,
    "year": int,
    "genres": list,
    "rating_count": int,
    "mean_rating": float,
}
LISTING = {**FRAME, "query": dict, "fallback": bool, "items": list, "notes": list}
STATUS = {
    **FRAME,
    "store": str,
    "created": str,
    "entries": int,
    "size_bytes": int,
    "counts": dict,
    "held_until": type(None),
    "held_reason": type(None),
    "staged": type(None),
    "hidden": int,
    "sampled": int,
    "missing": int,
    "rating_scale": list,
    "metrics": dict,
    "parameters": dict,
    "data": dict,
    "gate": type(None),
    "refresh": type(None),
    "hindsight": type(None),
    "experiment": type(None),
    "share": type(None),
    "verdict": type(None),
    "errors": list,
    "beside": list,
}


def types(value):
    """Map each field of an object to the type of its value."""
    return {name: type(part) for name, part in value.items()}


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (("get-user", "42"), {"user_id": "42", "why": False}),
        (("get-ranked", "42"), {"user_id": "42"}),
        (("get-popular",), {"by": "most-rated", "genre": None}),
        (
            ("get-popular", "--by", "highest-rated", "--genre", "Drama"),
            {"by": "highest-rated", "genre": "Drama"},
        ),
    ],
)
def test_a_listing_has_the_documented_fields(reco, generation, words, query):
    """Frame, query, fallback and items, in exactly the documented types."""
    ended = reco(*words, "--json", "-n", "2", "--exclude", "999")
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert types(found) == LISTING
    assert [types(item) for item in found["items"]] == [ITEM, ITEM]
    unfiltered = {
        "genres": [],
        "from_year": None,
        "to_year": None,
        "available": None,
        "available_missing": "all",
    }
    assert found["query"] == {**query, "n": 2, "exclude": ["999"], **unfiltered}
    assert (found["schema"], found["command"], found["namespace"]) == (1, words[0], "reco")
    assert (found["generation"], found["fallback"]) == (generation, False)
    assert found["age_seconds"] >= 3 * 3600


def test_a_movie_has_its_card_and_its_similar_list(reco):
    """get-movie adds movie and candidates to a listing."""
    found = json.loads(reco("get-movie", "1", "--json").out)
    assert types(found) == {**LISTING, "movie": dict, "candidates": list}
    assert types(found["movie"]) == MOVIE
    assert found["movie"]["title"] == "Toy Story (1995)"
    assert found["items"][0] == {
        "rank": 1,
        "movie_id": "2",
        "score": 0.912,
        "source": "similar",
        "title": "Jumanji (1995)",
        "year": 1995,
        "genres": ["Adventure", "Children", "Fantasy"],
        "because": None,
    }
    assert found["candidates"] == []


def test_candidates_are_an_object_of_the_same_form(reco):
    """An ambiguous title has the same fields: no movie, no items, but candidates."""
    ended = reco("get-movie", "Hamlet", "--json")
    found = json.loads(ended.out)
    assert ended.code == 2
    assert types(found) == {**LISTING, "movie": type(None), "candidates": list}
    assert [types(movie) for movie in found["candidates"]] == [MOVIE, MOVIE]
    assert (found["items"], [movie["movie_id"] for movie in found["candidates"]]) == (
        [],
        ["11", "12"],
    )


def test_a_fallback_is_a_field(reco):
    """A program needs no notes: `fallback` and each item's source are fields."""
    found = json.loads(reco("get-user", "unknown", "--json").out)
    assert found["fallback"] is True
    assert {item["source"] for item in found["items"]} == {"most_rated"}


def test_an_unknown_movie_is_null(reco):
    """get-movie with an unknown id has movie null and fallback true."""
    found = json.loads(reco("get-movie", "Toy Stry", "--json").out)
    assert (found["movie"], found["fallback"], found["candidates"]) == (None, True, [])


def test_absent_values_are_null(reco):
    """A movie without year and mean rating has nulls, not zeros or empty texts."""
    movie = json.loads(reco("get-movie", "901", "--json").out)["movie"]
    assert (movie["year"], movie["mean_rating"], movie["genres"]) == (None, None, [])


def test_status_has_the_documented_fields(reco, server):
    """The generation, its keys, and the fields of the manifest."""
    ended = reco("status", "--json")
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert types(found) == STATUS
    assert (found["store"], found["metrics"]["rmse"]) == (server, 0.8827)


def test_hostile_titles_are_exact_and_harmless(reco):
    """The parsed title is exact; in the text every control character is an escape."""
    ended = reco("get-user", "7", "-n", "8", "--json")
    titles = {item["movie_id"]: item["title"] for item in json.loads(ended.out)["items"]}
    assert titles["900"] == "\x1b[31mRed\x1b[0m \x9b2J\x07 (2001)"
    assert titles["901"] == "Tab\there\nand a new line\r\x00"
    assert titles["904"] == "\u202egnp.exe\u202c and [bold]markup[/bold] :smile:"
    assert titles["907"] == "half a character \ud800"
    assert ended.out.rstrip("\n").isprintable()


def test_an_object_is_one_line_in_a_pipe_and_ascii_where_it_must_be(reco):
    """One line a call can be collected in a file, whatever the machine's encoding."""
    ended = reco("get-user", "7", "-n", "8", "--json", PYTHONIOENCODING="latin-1")
    assert ended.out.isascii()
    assert ended.out.count("\n") == 1
    assert json.loads(ended.out)["items"][2]["title"] == "千と千尋の神隠し (2001)"


def test_an_object_on_a_terminal_is_indented(terminal):
    """On a terminal it is the same object, one field a line, without colour."""
    shown = terminal("get-user", "42", "--json", "-n", "1").out
    assert "\x1b" not in shown
    assert shown.startswith('{\n  "schema": 1,\n')
    assert json.loads(shown)["items"][0]["movie_id"] == "50"
