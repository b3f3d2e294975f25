"""Texts of the pages: ages, scores and notes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_cli import page_texts
from reco_cli.browse.views import popular_kinds
from reco_store import Answer, Item, Movie
from reco_store.contract.words import DEFAULT_WORDS, Words
from reco_terminal.ages import age_words

SHOP = Words("product", "products", "purchase", "purchases", "bought")


def answer(*sources, genres=(), notes=(), words=DEFAULT_WORDS):
    """Make an answer with one movie for each source."""
    items = tuple(
        Item(str(i), 1.0, source, f"movie {i}", None, genres) for i, source in enumerate(sources)
    )
    return Answer("20261124T031502Z-7f3a", 0.0, items, notes, words)


@pytest.mark.parametrize(
    ("age_seconds", "expected"),
    [
        (-5, "less than a minute"),
        (59.9, "less than a minute"),
        (60, "1 minute"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (172_799, "47 hours"),
        (172_800, "2 days"),
        (31 * 86_400, "31 days"),
    ],
)
def test_age_has_its_natural_unit(age_seconds, expected):
    """Minutes up to two hours, hours up to two days, then days; singular for one."""
    assert age_words(age_seconds) == expected


@given(st.floats(-1e6, 1e9))
def test_age_never_rounds_up(age_seconds):
    """The age in words never exceeds the real age."""
    number, _, unit = age_words(age_seconds).partition(" ")
    seconds = {"minute": 60, "hour": 3600, "day": 86_400}
    if number.isdigit():
        assert int(number) * seconds[unit.removesuffix("s")] <= age_seconds


def test_numbers_of_ratings_are_whole_and_other_scores_have_three_decimals():
    """215 ratings are not 215.000, and a score of 1 is 1.000."""
    assert page_texts.score_words(215.0, "most_rated") == "215"
    assert page_texts.score_words(1.0, "personal") == "1.000"
    assert page_texts.score_words(4.2383, "highest_rated") == "4.238"
    assert page_texts.score_words(2.5, "most_rated") == "2.500"


def test_a_size_has_the_unit_that_fits():
    """A small store is not 0.0 MB."""
    assert page_texts.size_words(1_234) == "1.2 kB"
    assert page_texts.size_words(1_234_567_890) == "1,234.6 MB"


def test_a_title_loses_its_own_year_only():
    """The suffix is removed if it repeats the year; another number in brackets stays."""
    assert page_texts.bare_title("Heat (1995)", 1995) == "Heat"
    assert page_texts.bare_title("Heat (1995)", 1986) == "Heat (1995)"
    assert page_texts.bare_title("Heat (1995)", None) == "Heat (1995)"


def test_an_answer_from_the_wanted_list_needs_no_note():
    """Without a fallback there is no note."""
    assert page_texts.fallback_note(answer("personal"), wanted="personal", whose="user 1") is None


def test_a_complete_fallback_has_a_note():
    """The note names the user, the missing list and its substitute."""
    note = page_texts.fallback_note(answer("most_rated"), wanted="personal", whose="user 9")
    assert note == "user 9 has no personal list; showing the most rated movies instead."


@pytest.mark.parametrize(("wanted", "name"), [("highest_rated", "highest rated"), ("ranked",) * 2])
def test_a_list_of_stars_is_never_there_without_stars(wanted, name):
    """The note says so, and nothing is "highest chosen"."""
    books = Words("book", "books", "event", "events", "chosen")
    note = page_texts.fallback_note(answer("most_rated", words=books), wanted=wanted, whose="u")
    assert note == (
        f"books without stars have no {name} list; showing the most chosen books instead."
    )
    assert page_texts.source_words("highest_rated", books) == "highest rated"
    assert list(popular_kinds(books).values()) == ["Most chosen", "Trending", "New"]
    assert list(popular_kinds(DEFAULT_WORDS)) == ["most-rated", "highest-rated", "trending", "new"]


@pytest.mark.parametrize(
    ("words", "count", "mean", "expected"),
    [
        (DEFAULT_WORDS, 215, 3.921, ("ratings", "215, mean 3.92")),
        (Words("book", "books"), 0, None, ("ratings", "0")),
        (Words("book", "books", "event", "events", "chosen"), 83, None, ("chosen by", "83 users")),
        (Words("book", "books", "event", "events", "chosen"), 1, None, ("chosen by", "1 user")),
    ],
)
def test_a_card_without_stars_counts_users(words, count, mean, expected):
    """Events are no users: 162 of them may be of 83 customers."""
    assert page_texts.rating_fact(Movie("1", "One", None, (), count, mean), words) == expected


def test_a_fallback_that_fills_up_has_a_note():
    """The note counts the movies of the user's own list."""
    mixed = answer("ranked", "ranked", "most_rated", "highest_rated")
    note = page_texts.fallback_note(mixed, wanted="ranked", whose="user 9")
    assert note == (
        "the ranked list of user 9 has only 2 to show; "
        "most rated and highest rated movies fill the rest."
    )


def test_a_fallback_for_given_ratings_has_a_note():
    """The note blames a filter only if there is one."""
    none, some = answer("most_rated"), answer("for_ratings", "most_rated_in_genre")
    assert page_texts.for_ratings_note(answer("for_ratings"), filtered=True) is None
    assert page_texts.for_ratings_note(none, filtered=False) == (
        "no recommendations could be computed from these ratings; "
        "showing the most rated movies instead."
    )
    assert page_texts.for_ratings_note(none, filtered=True) == (
        "no recommendation computed from these ratings passes the filters; "
        "showing the most rated movies instead."
    )
    assert page_texts.for_ratings_note(some, filtered=True) == (
        "only one recommendation could be computed from these ratings with these filters; "
        "most rated movies of the genre fill the rest."
    )


def test_an_unknown_genre_is_a_fallback_though_the_source_is_the_wanted_one():
    """Most rated movies of all genres are not those of the requested genre."""
    found = answer("most_rated", genres=("Drama",))
    expected = {"wanted": "most_rated", "whose": "the genre X"}
    assert page_texts.fallback_note(found, **expected, genre="Drama") is None
    assert page_texts.fallback_note(found, **expected, genre="drama") is None
    assert page_texts.fallback_note(found, **expected, genre="War") == (
        "the genre X has no most rated list; showing the most rated movies of all genres instead."
    )


def test_notes_have_the_words_of_the_catalogue():
    """A shop has products that were bought."""
    found = answer("most_rated_in_genre", "most_rated", notes=("all_seen",), words=SHOP)
    note = page_texts.fallback_note(found, wanted="personal", whose="user 9", filtered=True)
    assert note == (
        "the personal list of user 9 has no product that passes the filters; showing the most "
        "bought products of the genre and most bought products instead."
    )
    (note,) = page_texts.short_notes(found, 2, whose="user 9", available=None)
    assert note.startswith("user 9 has bought every product that could be shown; bought products ")
    assert page_texts.unknown_note(found, "x").startswith("no product has the id or the title x;")
    assert page_texts.source_words("most_rated", SHOP) == "most bought"


def test_a_short_answer_has_a_note():
    """Fewer movies than requested are explained; a full list has no note."""
    expected = {"n": 2, "whose": "user 9", "available": "de"}

    def notes(*names, sources=("personal",)):
        return page_texts.short_notes(answer(*sources, notes=names), **expected)

    assert notes() == ()
    assert notes("used_up") == ("1 of 2: the published lists have no more.",)
    assert notes("used_up", "all_seen", sources=()) == (
        "user 9 has rated every movie that could be shown; rated movies are not recommended again.",
    )
    (note,) = notes("available_missing")
    assert "'de' does not exist or is empty, so nothing is filtered out" in note
    (note,) = notes("available_missing", "used_up", sources=())
    assert "so nothing is shown" in note
    assert "batch republish latest" in notes("used_up", "data_lost")[0]
    assert notes("of a later version") == ()
