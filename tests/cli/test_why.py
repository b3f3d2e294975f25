"""`reco get-user --why`: which of the user's ratings speaks most for each movie."""

import json


def test_lines_have_a_field_more_where_there_is_a_reason(reco):
    """Its title, in the eighth field; without --why there is none."""
    ended = reco("get-user", "42", "-n", "3", "--why")
    assert ended.code == 0
    titles = [row[7] if len(row) > 7 else None for row in ended.rows]
    assert titles == ["千と千尋の神隠し (2001)", None, "Toy Story (1995)"]
    assert {len(row) for row in reco("get-user", "42", "-n", "3").rows} == {7}


def test_as_json(reco):
    """The reason as an object, null where there is none or nobody asked; and the question."""
    for words, first in (((), None), (("--why",), {"movie_id": "1", "title": "Toy Story (1995)"})):
        found = json.loads(reco("get-user", "42", "-n", "3", "--json", *words).out)
        assert [item["because"] for item in found["items"][1:]] == [None, first]
        assert found["query"]["why"] is bool(words)


def test_a_stranger_is_told_nothing(reco):
    """What is popular is for no reason of theirs."""
    found = json.loads(reco("get-user", "nobody", "--why", "--json").out)
    assert {item["because"] for item in found["items"]} == {None}
    assert found["fallback"] is True


def test_a_table_shows_why(terminal):
    """A column more, where there is room."""
    shown = terminal("get-user", "42", "-n", "3", "--why", columns=150).out
    assert "because" in shown
    assert "Toy Story" in shown
    assert "because" not in terminal("get-user", "42", "-n", "3", columns=150).out
