"""`reco get-user --why`: the rating that explains each movie."""

import json


def test_lines_have_a_field_for_the_explanation(reco):
    """The explanation is an eighth field; without --why there is none."""
    ended = reco("get-user", "42", "-n", "3", "--why")
    assert ended.code == 0
    titles = [row[7] if len(row) > 7 else None for row in ended.rows]
    assert titles == ["千と千尋の神隠し (2001)", None, "Toy Story (1995)"]
    assert {len(row) for row in reco("get-user", "42", "-n", "3").rows} == {7}


def test_as_json(reco):
    """Explanations are objects, null if absent or not requested; the query records --why."""
    for words, first in (((), None), (("--why",), {"movie_id": "1", "title": "Toy Story (1995)"})):
        found = json.loads(reco("get-user", "42", "-n", "3", "--json", *words).out)
        assert [item["because"] for item in found["items"][1:]] == [None, first]
        assert found["query"]["why"] is bool(words)


def test_a_fallback_has_no_explanation(reco):
    """Popular movies have no explanation."""
    found = json.loads(reco("get-user", "absent", "--why", "--json").out)
    assert {item["because"] for item in found["items"]} == {None}
    assert found["fallback"] is True


def test_a_table_shows_explanations(terminal):
    """One more column, if it fits."""
    shown = terminal("get-user", "42", "-n", "3", "--why", columns=150).out
    assert "because" in shown
    assert "Toy Story" in shown
    assert "because" not in terminal("get-user", "42", "-n", "3", columns=150).out
