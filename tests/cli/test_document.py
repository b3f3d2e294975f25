"""The JSON object: faithful, safe to show, and flat for `status`."""

import json

from hypothesis import given
from hypothesis import strategies as st

from reco_cli.document import flattened, json_text

texts = st.text() | st.sampled_from(
    ["\x1b[2J", "\x9b2J", "\u202e", "\ud800", "a\nb", "千", "👨\u200d👩"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4), st.booleans(), st.booleans())
def test_json_reads_back_and_shows_no_control_character(document, indented, ascii_only):
    """The text parses to the same object, and only its line ends are unprintable."""
    text = json_text(document, indented=indented, ascii_only=ascii_only)
    assert json.loads(text) == document
    assert text.replace("\n", "").isprintable()
    assert text.isascii() or not ascii_only
    assert text.count("\n") == 1 or indented


def test_json_leaves_readable_text_readable():
    """CJK and emoji are not escaped if the output can show them."""
    assert (
        json_text({"t": "千と千尋 🎬"}, indented=False, ascii_only=False)
        == '{"t": "千と千尋 🎬"}\n'
    )


def test_flattened_names_are_dotted_and_lists_stay_whole():
    """`status` in a pipe is one value a line."""
    nested = {"a": {"b": 1, "c": {"d": "x"}}, "e": None, "f": [1, "y"], "g": True}
    assert list(flattened(nested)) == [
        ("a.b", "1"),
        ("a.c.d", "x"),
        ("e", ""),
        ("f", '[1, "y"]'),
        ("g", "true"),
    ]
