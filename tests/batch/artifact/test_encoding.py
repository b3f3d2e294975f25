"""Encoding: the fast encoder writes the same bytes as the codec of the contract."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reco_batch.artifact.encoding import (
    encode_id_lists,
    encode_lists,
    encode_movie,
    encode_reasons,
    thousandths,
)
from reco_store.contract import codec
from reco_store.errors import ContractMismatch

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
#: Small ids, which are looked up, and large ones.
INTEGER_IDS = st.one_of(st.integers(0, 3000), st.integers(0, 2**53 - 1))
#: Steps of .0005 are where rounding is decided; -.0001 rounds to a zero that has a sign.
NEAR_STEPS = st.builds(
    lambda n, d: n / 2000 + d, st.integers(-20_000, 20_000), st.floats(-1e-9, 1e-9)
)
SCORES = st.one_of(
    NEAR_STEPS,
    st.floats(-1e300, 1e300),
    st.floats(-0.002, 0.002),
    st.sampled_from([0.0, -0.0, -0.0001, 1e-320, 1e15, 1e16, -1e17, 123456789012345680.0]),
)
FLOAT32_SCORES = st.floats(-2000, 2000, width=32) | st.floats(
    width=32, allow_nan=False, allow_infinity=False
)


def lists_of(values, kind):
    """Return a list column whose memory does not start with its first row, like a slice."""
    before = "x" if kind == pa.string() else 7
    return pa.array([[before], *values], pa.list_(kind)).slice(1)


@st.composite
def rows(draw, ids, scores):
    """Lists of (id, score), some of them empty."""
    return draw(st.lists(st.lists(st.tuples(ids, scores), max_size=8), max_size=5))


def check(lists, id_type, score_type, *, numeric):
    """Compare the fast encoder with the codec, row by row."""
    found = list(
        encode_lists(
            lists_of([[i for i, _ in row] for row in lists], id_type),
            lists_of([[s for _, s in row] for row in lists], score_type),
        )
    )

    expected = [
        codec.encode_list([str(i) for i, _ in row], [s for _, s in row], numeric_ids=numeric)
        for row in lists
    ]
    assert found == expected


@given(
    st.lists(st.lists(st.none() | INTEGER_IDS, max_size=8), max_size=5),
    st.lists(st.lists(st.none() | TEXT, max_size=8), max_size=5),
)
@example([[None], [], [2**53 - 1, None]], [["null", None], [None, None], [""]])
def test_reasons(of_integers, of_texts):
    """A missing explanation becomes null; the text "null" does not."""
    found = encode_reasons(lists_of(of_integers, pa.int64()))
    assert found == [
        codec.encode_reasons([None if i is None else str(i) for i in row], numeric_ids=True)
        for row in of_integers
    ]
    found = encode_reasons(lists_of(of_texts, pa.string()))
    assert found == [codec.encode_reasons(row, numeric_ids=False) for row in of_texts]


@given(rows(INTEGER_IDS, FLOAT32_SCORES))
@example([[(0, -0.00009999999747378752)], []])
@example([[(2**20 - 1, 1048.575), (0, -1048.575)]])  # the largest that are looked up
@example([[(2**20, 1048.576)], [], [(1, -1048.576)]])  # and the smallest that are not
def test_integer_ids(lists):
    """Integer ids become JSON numbers."""
    check(lists, pa.int64(), pa.float32(), numeric=True)


@given(rows(TEXT, SCORES))
@example([[('"\\\n\t\x00\x7f\u2028', 0.0005), ("🎬 é", 1e16)]])
def test_text_ids(lists):
    """Quotes, control characters and emoji are written as the codec writes them."""
    check(lists, pa.string(), pa.float64(), numeric=False)


@given(st.lists(st.lists(INTEGER_IDS, max_size=8), max_size=5))
def test_lists_of_integers_without_scores(lists):
    """Histories have integer ids without scores."""
    found = list(encode_id_lists(lists_of(lists, pa.int64())))

    assert found == [codec.encode_ids(list(map(str, row)), numeric_ids=True) for row in lists]


@given(st.lists(st.lists(TEXT, max_size=8), max_size=5))
def test_lists_of_text_without_scores(lists):
    """Histories have text ids without scores."""
    found = list(encode_id_lists(lists_of(lists, pa.string())))

    assert found == [codec.encode_ids(row, numeric_ids=False) for row in lists]


@given(
    TEXT,
    st.one_of(st.none(), st.integers(1800, 2100)),
    st.lists(TEXT, max_size=4),
    st.integers(0, 10**9),
    st.one_of(st.none(), SCORES),
)
def test_movie(title, year, genres, count, mean):
    """A card equals that of the codec, also without a mean."""
    record = codec.MovieRecord(title, year, tuple(genres), count, mean)

    assert encode_movie(title, year, genres, count, mean) == codec.encode_movie(record)


@given(st.lists(SCORES))
def test_rounding(scores):
    """Every score rounds as in the codec."""
    found = thousandths(np.array(scores, np.float64)) / 1000.0

    np.testing.assert_array_equal(found, [codec.round_score(score) for score in scores])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_score_that_json_cannot_hold(bad):
    """A score that is not finite is refused as by the codec, not written as null."""
    with pytest.raises(ContractMismatch, match="a finite number"):
        list(encode_lists(lists_of([[1]], pa.int64()), lists_of([[bad]], pa.float32())))
