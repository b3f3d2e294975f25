"""Words of a catalogue in texts that are written for movies and ratings."""

import pytest

from reco_store.contract.words import DEFAULT_WORDS, Words, counted, with_article, words_of

SHOP = Words("product", "products", "purchase", "purchases", "bought")
APPS = Words("app", "apps", "interaction", "interactions", "chosen")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Movies: the most rated movie", "Products: the most bought product"),
        ("Rated movies and 3 ratings", "Bought products and 3 purchases"),
        ("predicted ratings of a movie", "predicted ratings of a product"),
        ("input.movies and reco_run_movies", "input.products and reco_run_movies"),
        ("moviegoers", "moviegoers"),
    ],
)
def test_each_word_is_replaced_in_its_form(text, expected):
    """Number and case are kept; what a model predicts remain ratings."""
    assert SHOP.adapt(text) == expected
    assert DEFAULT_WORDS.adapt(text) == text


def test_articles_fit_the_word():
    """A vowel takes `an`."""
    assert APPS.adapt("A movie and a rating") == "An app and an interaction"
    assert Words(item="unit", items="units").adapt("a movie") == "a unit"


def test_one_thing_takes_the_singular():
    """Numbers from a thousand on have separators; a plural that no rule gives is given."""
    assert (counted(1, "user"), counted(0, "user")) == ("1 user", "0 users")
    assert counted(1204, "anime", "anime") == "1,204 anime"
    assert (with_article("isbn"), with_article("user")) == ("an isbn", "a user")


def test_words_of_a_manifest_are_complete():
    """A field that a manifest lacks, or has in another type, is the default."""
    assert words_of({"words": SHOP._asdict()}) == SHOP
    assert words_of({"words": {"item": "book", "items": 7}}) == Words(item="book")
    assert words_of({"words": "books"}) == words_of({}) == words_of(None) == DEFAULT_WORDS
