"""Arguments: integers are accepted as ids, and values that would match nothing are refused."""

from __future__ import annotations

import decimal
import enum
import fractions

import numpy as np
import pytest

from reco_store.contract import arguments
from reco_store.errors import UsageError


class Named(str, enum.Enum):  # noqa: UP042  a StrEnum would not do
    """Text whose str() differs from its value."""

    SEVEN = "7"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("7", "7"),
        ("", ""),
        ("07", "07"),
        ("é", "é"),
        ("\udcff", "\udcff"),
        (7, "7"),
        (-7, "-7"),
        (2**70, str(2**70)),
        (np.int64(7), "7"),
        (np.uint8(7), "7"),
        (np.str_("é"), "é"),
        (Named.SEVEN, "7"),
    ],
)
def test_ids_with_one_obvious_text(value, text):
    """Integers of any library and texts of any kind become plain texts."""
    found = arguments.id_text(value, "movie")
    assert (found, type(found)) == (text, str)
    assert arguments.id_texts([value], "exclude") == (text,)


@pytest.mark.parametrize(
    "value", [True, False, np.True_, 2.0, np.float32(2), None, b"7", [7], "\ud800"]
)
def test_invalid_id_is_refused(value):
    """A bool, a float, bytes or None matches no id, so it is refused, and the error names it."""
    with pytest.raises(UsageError, match=r"^movie .*expected"):
        arguments.id_text(value, "movie")
    with pytest.raises(UsageError, match=r"^exclude .*expected"):
        arguments.id_texts([value], "exclude")


@pytest.mark.parametrize(
    "values", ["12", "", b"12", 12, 1.5, np.int64(3), np.array(3), Named.SEVEN]
)
def test_a_single_text_is_not_split_into_letters(values):
    """A single text is not split into letters."""
    with pytest.raises(UsageError, match="expected several"):
        arguments.id_texts(values, "exclude")
    with pytest.raises(UsageError, match="expected several"):
        arguments.name_texts(values, "genres")


@pytest.mark.parametrize(
    "values", [[3, "4"], (3, "4"), iter([3, "4"]), {3: 1, "4": 2}, np.array([3, 4])]
)
def test_several_ids(values):
    """Any iterable of ids is accepted."""
    assert arguments.id_texts(values, "exclude") == ("3", "4")


def test_nothing_is_no_value():
    """None gives an empty tuple, for an option that may be omitted."""
    assert arguments.id_texts(None, "exclude") == ()
    assert arguments.year_number(None, "year_from") is None


@pytest.mark.parametrize("value", [1, 10, 2**31 - 1, np.int32(5)])
def test_lengths(value):
    """Integers from 1 are accepted."""
    assert arguments.list_length(value) == int(value)


@pytest.mark.parametrize("value", [0, -1, 2**31, 2**63, "5", 2.0, np.float64(2), True, None])
def test_invalid_length_is_refused(value):
    """The error contains the range."""
    with pytest.raises(UsageError, match=r"n .*expected 1 or more, an integer up to 2,147,483,647"):
        arguments.list_length(value)


@pytest.mark.parametrize(
    "value", ["1990", 1990.0, np.float64(1990), float("nan"), True, -1, 10**20]
)
def test_invalid_year_is_refused(value):
    """A pandas column of years with a gap contains floats, which are refused."""
    with pytest.raises(UsageError, match=r"year_from .*expected a year"):
        arguments.year_number(value, "year_from")
    assert arguments.year_number(np.int16(1990), "year_from") == 1990


@pytest.mark.parametrize(
    "value", [5, 5.0, np.float32(5), decimal.Decimal(5), fractions.Fraction(5)]
)
def test_stars(value):
    """Any finite number is a rating; its id follows the rules of ids."""
    assert arguments.stars_by_id({np.int64(2): value, "3": 1}) == {"2": 5.0, "3": 1.0}


@pytest.mark.parametrize("value", ["5", b"5", True, None, float("nan"), float("inf"), 10**400, 5j])
def test_invalid_stars_are_refused(value):
    """The error names the movie."""
    with pytest.raises(UsageError, match="of movie '2': expected a finite number"):
        arguments.stars_by_id({2: value})


@pytest.mark.parametrize("ratings", [[("1", 5.0)], "1=5", None, 5])
def test_ratings_must_be_a_mapping(ratings):
    """A list of pairs is refused, because ratings are a mapping."""
    with pytest.raises(UsageError, match="expected stars by movie id"):
        arguments.stars_by_id(ratings)


def test_one_movie_under_two_ids():
    """The ids 2 and "2" are the same movie."""
    with pytest.raises(UsageError, match="'2' is rated twice"):
        arguments.stars_by_id({2: 5.0, "2": 4.0})


def test_a_long_value_is_not_repeated_at_length():
    """A long value is shortened to one line of the error."""
    with pytest.raises(UsageError) as caught:
        arguments.id_texts("1," * 5000, "exclude")
    assert len(str(caught.value)) < 200
