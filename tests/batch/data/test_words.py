"""Words that the settings or the column names suggest."""

import pytest

from reco_batch.data.words import plural, words_for

BOUGHT = ("purchase", "purchases", "bought")
RATED = ("rating", "ratings", "rated")
CHOSEN = ("interaction", "interactions", "chosen")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (None, ("movie", "movies", *RATED)),
        ("movie_id", ("movie", "movies", *RATED)),
        ("product_id", ("product", "products", *BOUGHT)),
        ("SKU", ("product", "products", *BOUGHT)),
        ("parent_asin", ("product", "products", *BOUGHT)),
        ("ISBN", ("book", "books", *CHOSEN)),
        ("gameId", ("game", "games", *CHOSEN)),
        ("business_id", ("business", "businesses", *CHOSEN)),
        ("anime", ("anime", "anime", *CHOSEN)),
        ("thing", ("item", "items", *CHOSEN)),
    ],
)
def test_the_column_of_the_item_suggests_its_noun(column, expected):
    """Purchases are of products; other interactions without stars have a general word."""
    assert words_for(None, item_column=column, has_stars=False, has_events=False) == expected


def test_stars_are_ratings_and_kinds_are_events():
    """Both are so for any item."""
    stars = words_for(None, item_column="sku", has_stars=True, has_events=False)
    events = words_for(None, item_column="sku", has_stars=False, has_events=True)
    assert stars == ("product", "products", *RATED)
    assert events == ("product", "products", "event", "events", "chosen")


def test_a_configured_noun_precedes_the_column():
    """Its plural is regular, unless it is given."""
    own = {"item_column": "sku", "has_stars": False, "has_events": False}
    assert words_for("story", **own)[:2] == ("story", "stories")
    assert words_for("person/people", **own)[:2] == ("person", "people")
    assert plural("toy") == "toys"
    assert plural("dish") == "dishes"
