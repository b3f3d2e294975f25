"""Codec: values are read back unchanged, by this version and by others."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_store.contract import codec
from reco_store.contract.codec import MovieRecord
from reco_store.errors import ContractMismatch

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
INTEGER_IDS = st.integers(0, 2**53 - 1).map(str)
SCORES = st.floats(-1e6, 1e6)
ROWS = st.one_of(
    st.tuples(st.just(value=True), st.lists(st.tuples(INTEGER_IDS, SCORES), max_size=30)),
    st.tuples(st.just(value=False), st.lists(st.tuples(TEXT, SCORES), max_size=30)),
)


def encoded(rows):
    """Encode a drawn list."""
    numeric, pairs = rows
    return codec.encode_list([p[0] for p in pairs], [p[1] for p in pairs], numeric_ids=numeric)


def test_form_of_the_contract():
    """The bytes are those that docs and other languages rely on."""
    assert codec.encode_list(["10", "2"], [4.5, 0.12345], numeric_ids=True) == (
        b'{"i":[10,2],"s":[4.5,0.123]}'
    )
    assert codec.encode_list(["a:b"], [1], numeric_ids=False) == b'{"i":["a:b"],"s":[1.0]}'
    assert codec.encode_ids(["7"], numeric_ids=True) == b'{"i":[7]}'
    assert codec.encode_reasons(["7", None, "7"], numeric_ids=True) == b'{"i":[7,null,7]}'
    assert codec.encode_movie(MovieRecord("Amélie", None, ("Drama",), 3, None)) == (
        '{"t":"Amélie","y":null,"g":["Drama"],"n":3,"m":null}'.encode()
    )


REASONS = st.one_of(
    st.tuples(st.just(value=True), st.lists(st.none() | INTEGER_IDS, max_size=30)),
    st.tuples(st.just(value=False), st.lists(st.none() | TEXT, max_size=30)),
)


@given(REASONS)
def test_reasons_round_trip(drawn):
    """Ids and missing explanations are read back unchanged."""
    numeric, reasons = drawn

    assert codec.decode_reasons(codec.encode_reasons(reasons, numeric_ids=numeric)) == reasons


def test_a_reason_that_is_no_integer_is_refused():
    """A text that is no integer is refused where ids are integers."""
    with pytest.raises(ContractMismatch, match="'a'"):
        codec.encode_reasons([None, "a"], numeric_ids=True)
    with pytest.raises(ContractMismatch):
        codec.decode_reasons(b'{"i":7}')


@given(ROWS)
def test_list_round_trip(rows):
    """Ids are read back unchanged, and scores to within half a thousandth."""
    ids, scores = codec.decode_list(encoded(rows))

    assert ids == [pair[0] for pair in rows[1]]
    assert all(
        math.isclose(score, pair[1], rel_tol=1e-15, abs_tol=0.000501)
        for score, pair in zip(scores, rows[1], strict=True)
    )


@given(ROWS, st.integers(1, 40))
def test_head_is_the_cut_of_the_whole(rows, n):
    """The fast path for the first n movies returns the same as the slow path."""
    value = encoded(rows)
    ids, scores = codec.decode_list(value)

    assert codec.decode_head(value, n) == (ids[:n], scores[:n])


@pytest.mark.parametrize(
    "value",
    [
        b'{"i":[1,2],"z":[9],"s":[0.5,0.25]}',
        b'{"i":[1,2],"s":[0.5,0.25],"z":[1]}',
        b'{"s":[0.5,0.25],"i":[1,2]}',
        b'{"i": [1, 2], "s": [0.5, 0.25]}',
        b'{"i":[1, 2],"s":[0.5, 0.25]}',
        b'{"v":2,"i":["1","2"],"s":[0.5,0.25]}',
    ],
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_unknown_fields_and_other_spacing_are_read(value, n):
    """A value of a later version or another writer is parsed as JSON."""
    assert codec.decode_head(value, n) == (["1", "2"][:n], [0.5, 0.25][:n])


@given(st.floats(-1e9, 1e9))
def test_rounding_is_the_documented_one(score):
    """Rounding is half to even of the score times 1000, repeatable in any language with doubles."""
    assert codec.round_score(score) == round(score * 1000.0) / 1000.0
    assert codec.round_score(codec.round_score(score)) == codec.round_score(score)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused(score):
    """Scores that JSON cannot represent are refused."""
    with pytest.raises(ContractMismatch, match="finite"):
        codec.encode_list(["1"], [score], numeric_ids=True)


@pytest.mark.parametrize(
    ("movie_id", "numeric"),
    [
        ("0", True),
        ("42", True),
        (str(2**53 - 1), True),
        (str(2**53), False),
        ("042", False),
        ("-1", False),
        ("", False),
        ("4.0", False),
        ("٤", False),
        ("²", False),
        ("1" * 400, False),
    ],
)
def test_canonical_integers(movie_id, numeric):
    """An id is written as an integer only if every reader gets the same text back."""
    assert codec.is_numeric_id(movie_id) == numeric
    if not numeric:
        with pytest.raises(ContractMismatch, match="integer"):
            codec.encode_ids([movie_id], numeric_ids=True)


def test_columns_of_different_length_are_refused():
    """Lists of different lengths are refused."""
    with pytest.raises(ContractMismatch, match="1 ids and 2 scores"):
        codec.encode_list(["1"], [1.0, 2.0], numeric_ids=True)


@given(st.lists(TEXT, max_size=5))
def test_ids_round_trip(ids):
    """Ids without scores are read back unchanged."""
    assert codec.decode_ids(codec.encode_ids(ids, numeric_ids=False)) == ids


@given(
    st.builds(
        MovieRecord,
        TEXT,
        st.none() | st.integers(1880, 2100),
        st.lists(TEXT, max_size=3).map(tuple),
        st.integers(0, 10**9),
        st.none() | st.integers(0, 5000).map(lambda thousandths: thousandths / 1000),
    )
)
def test_movie_round_trip(movie):
    """A card is read back unchanged."""
    assert codec.decode_movie(codec.encode_movie(movie)) == movie


def test_missing_fields_have_defaults():
    """A value of an earlier version, with fewer fields, can be read."""
    assert codec.decode_movie(b'{"t":"Heat"}') == MovieRecord("Heat", None, (), 0, None)
    assert codec.decode_list(b"{}") == ([], [])


@pytest.mark.parametrize("value", [b"", b"\xff", b"[1]", b'{"i":7}', b'{"i":[1],"s"', b"null"])
@pytest.mark.parametrize("decode", [codec.decode_list, codec.decode_ids, codec.decode_movie])
def test_damaged_values_are_a_clear_error(value, decode):
    """A value that violates the contract is refused as a whole."""
    with pytest.raises(ContractMismatch, match="republish"):
        decode(value)


@given(ROWS)
def test_values_are_compact_json(rows):
    """Any JSON reader gets the same columns."""
    value = encoded(rows)
    columns = json.loads(value)

    assert [str(movie_id) for movie_id in columns["i"]] == codec.decode_list(value)[0]
    assert columns["s"] == codec.decode_list(value)[1]
