"""Key names: documented forms, and unambiguous for any id."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_store.contract import keys as k
from reco_store.contract.families import FAMILIES
from reco_store.contract.keys import Keys
from reco_store.errors import UsageError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = st.one_of(TEXT, st.text("ab:{}* \0\n", max_size=8))
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


def test_names_of_the_contract():
    """The names are those that other languages use."""
    keys = Keys("reco")
    generation = "20261124T031502Z-7f3a"

    assert keys.current == "{reco}:current"
    assert keys.generations == "{reco}:generations"
    assert (keys.lock, keys.fence, keys.hold) == ("{reco}:lock", "{reco}:fence", "{reco}:hold")
    assert keys.manifest(generation) == "{reco}:manifest:20261124T031502Z-7f3a"
    assert keys.inventory(generation, 2) == "{reco}:inventory:20261124T031502Z-7f3a:2"
    assert keys.data(generation, k.user_suffix("42")) == "reco:20261124T031502Z-7f3a:user:42"
    assert k.popular_suffix("most_rated") == "popular:most_rated"
    assert k.popular_suffix("highest_rated", "Sci-Fi") == "popular:highest_rated:genre:Sci-Fi"


@pytest.mark.parametrize("bad", ["", "Reco", "a:b", "{a}", "_a", "a" * 33, "a b", "a\n", "é"])
def test_namespace_that_could_be_mistaken_is_refused(bad):
    """A namespace contains no separators of keys and no upper case."""
    with pytest.raises(UsageError, match="namespace"):
        Keys(bad)


@given(st.tuples(st.sampled_from(FAMILIES), HOSTILE), st.tuples(st.sampled_from(FAMILIES), HOSTILE))
def test_different_things_have_different_keys(one, other):
    """Two suffixes are equal only for the same family and the same id."""
    same = one == other

    assert (k.family_suffix(*one) == k.family_suffix(*other)) == same


@given(HOSTILE)
def test_data_key_can_be_taken_apart(user_id):
    """The id is unescaped and last, so namespace, generation and id can be parsed from a key."""
    key = Keys("reco").data("20261124T031502Z-7f3a", k.user_suffix(user_id))

    assert key.split(":", 3) == ["reco", "20261124T031502Z-7f3a", "user", user_id]


@given(MOMENTS, MOMENTS)
def test_generation_ids_sort_by_time(one, other):
    """A later second gives a greater id, and the id contains the second."""
    first, second = (k.new_generation_id(moment, "7f3a") for moment in (one, other))

    assert k.parse_generation_id(first) == one.replace(microsecond=0)
    assert (first < second) == (one.replace(microsecond=0) < other.replace(microsecond=0))


def test_generation_id_is_in_utc():
    """A local time is converted; one without a zone is refused."""
    local = datetime(2026, 11, 24, 5, 15, 2, tzinfo=timezone(timedelta(hours=2)))

    assert k.new_generation_id(local, "00ff") == "20261124T031502Z-00ff"
    with pytest.raises(UsageError, match="time zone"):
        k.new_generation_id(local.replace(tzinfo=None))
    with pytest.raises(UsageError, match="entropy"):
        k.new_generation_id(local, "../x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261124T031502Z",
        "20261324T031502Z-7f3a",
        "../20261124T031502Z-7f3a",
        "20261124T031502Z-7F3A",
        "20261124T031502Z-7f3a\n",
        "٢٠261124T031502Z-7f3a",  # noqa: RUF001  digits, but not ours
    ],
)
def test_invalid_generation_id_is_refused(text):
    """Only the exact form is a generation id, so one can be part of a path."""
    assert not k.is_generation_id(text)
    with pytest.raises(UsageError, match=r"7f3a\.$"):  # the served generation may follow
        k.parse_generation_id(text)


@pytest.mark.parametrize(
    ("title", "folded"),
    [
        ("Amélie", "amelie"),
        ("  The\tMATRIX \n", "the matrix"),
        ("Weiß", "weiss"),
        ("Ｔｏｙ", "toy"),  # noqa: RUF001  full-width letters
        ("七人の侍", "七人の侍"),
        ("한국", "한국"),
        ("…", "..."),
    ],
)
def test_title_folding(title, folded):
    """Case, accents, width and spacing do not matter."""
    assert k.fold_title(title) == folded


@given(TEXT)
def test_folding_twice_changes_nothing(title):
    """A folded title is found under itself, and is in normal form."""
    folded = k.fold_title(title)

    assert k.fold_title(folded) == folded
    assert unicodedata.is_normalized("NFC", folded)


def test_title_is_found_with_and_without_its_year():
    """A movie is listed under both forms, or under one if they are the same."""
    assert k.title_suffixes("Heat (1995)") == ("title:heat (1995)", "title:heat")
    assert k.title_suffixes("Heat") == ("title:heat",)
    assert k.title_suffixes("(1995)") == ("title:(1995)",)
    assert k.title_suffixes(" ") == ()


def test_popular_by_something_else_is_refused():
    """A popularity list other than the two is refused."""
    with pytest.raises(UsageError, match="highest_rated"):
        k.popular_suffix("best")
