"""Words for the items and interactions of a catalogue: from the settings, or from column names."""

import re
from typing import Final

from reco_batch.data import columns as c
from reco_store.contract.words import DEFAULT_WORDS, Words

#: Names of item columns without punctuation and `id` that are no noun -> the noun.
_NOUNS: Final = {
    "sku": "product",
    "asin": "product",
    "parentasin": "product",
    "stockcode": "product",
    "isbn": "book",
    "m": "movie",
}
#: Nouns that are usual names of item columns.
_KNOWN: Final = frozenset(
    {"movie", "film", "product", "article", "book", "track", "song", "offer", "anime", "app"}
    | {"game", "show", "video", "business"}
)
#: Plurals that no rule gives.
_PLURALS: Final = {"anime": "anime"}
_ITEM: Final = "item"
#: Interaction, interactions, and what the user has done.
_RATINGS: Final = ("rating", "ratings", "rated")
_PURCHASES: Final = ("purchase", "purchases", "bought")
_EVENTS: Final = ("event", "events", "chosen")
_OTHERS: Final = ("interaction", "interactions", "chosen")


def words_for(
    noun: str | None, *, item_column: str | None, has_stars: bool, has_events: bool
) -> Words:
    """Return the words for a data set.

    Args:
        noun: singular of the item, or singular and plural as `person/people`; None to choose by
            the name of the column.
        item_column: name of the column of the item; None for that of MovieLens.
        has_stars: the interactions are ratings in stars.
        has_events: the interactions are of several kinds.

    Returns:
        Words without stars are purchases for products, events for several kinds, and otherwise
        interactions. MovieLens names keep movies and ratings.
    """
    item, _, items = (noun or _noun_of(item_column or c.MOVIE_ID)).partition("/")
    if has_events:
        done = _EVENTS
    elif has_stars or item == DEFAULT_WORDS.item:
        done = _RATINGS
    else:
        done = _PURCHASES if item == "product" else _OTHERS
    return Words(item, items or plural(item), *done)


def plural(noun: str) -> str:
    """Return the regular plural of a noun."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if re.search(r"(s|x|z|ch|sh)$", noun) else f"{noun}s"


def _noun_of(column: str) -> str:
    """Return the noun that a column's name suggests, such as `book` for `book_id`."""
    name = re.sub(r"[\W_]", "", column).lower()
    stem = name.removesuffix("id")
    noun = _NOUNS.get(stem, _NOUNS.get(name, stem))
    return noun if noun in _KNOWN else _ITEM
