"""Words for what is recommended, and for what a user did with it: a movie and a rating, or others.

Texts in the code are written for movies and ratings; `Words.adapt` puts the words of a catalogue in
their place. A manifest contains them under `words`, unless they are these. Names of keys, JSON
fields, columns and options never change.

Pure values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_WORDS", "WORDS", "Words", "counted", "with_article", "words_of"]

#: Name of the field of a manifest.
WORDS: Final = "words"
#: Words to replace, with an article before them. What a model predicts are stars in any catalogue.
#: Not compiled here: most catalogues have movies, and a command would wait for it.
_REPLACED: Final = r"(?i)(?<!predicted )\b(an? )?(movies?|ratings?|rated)\b"
#: Beginnings of words that take the article "an".
_OPEN: Final = r"(?i)[aeio]|u(?!ni|s)"


class Words(NamedTuple):
    """Nouns, each in the singular and the plural, and a participle."""

    item: str = "movie"
    items: str = "movies"
    interaction: str = "rating"
    interactions: str = "ratings"
    interacted: str = "rated"
    """Participle of what a user did with an item, such as `bought`."""

    def adapt(self, text: str) -> str:
        """Return a text that was written for movies and ratings, in these words.

        Args:
            text: without titles, paths and names of options, which would be changed as well.
        """
        if self == DEFAULT_WORDS:
            return text
        return re.sub(_REPLACED, self._one, text)

    def count_items(self, count: int) -> str:
        """Return a number of items, such as `1 movie` and `1,204 movies`."""
        return counted(count, self.item, self.items)

    def count_interactions(self, count: int) -> str:
        """Return a number of interactions, such as `1 rating` and `1,204 ratings`."""
        return counted(count, self.interaction, self.interactions)

    def _one(self, found: re.Match[str]) -> str:
        article, word = found.groups()
        own: str = getattr(self, _FIELDS[word.lower()])
        if article:
            return f"A{with_article(own)[1:]}" if article[0] == "A" else with_article(own)
        return own[:1].upper() + own[1:] if word[0].isupper() else own


def with_article(noun: str) -> str:
    """Return a noun after `a` or `an`."""
    return f"{'an' if re.match(_OPEN, noun) else 'a'} {noun}"


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun, such as `1 user` and `1,204 users`.

    Args:
        count: number of things.
        one: singular of the noun.
        several: plural; None adds an s.
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


DEFAULT_WORDS: Final = Words()
_FIELDS: Final[Mapping[str, str]] = {word: field for field, word in DEFAULT_WORDS._asdict().items()}


def words_of(manifest: Mapping[str, Any] | None) -> Words:
    """Return the words of a manifest; the default for what is missing or no text."""
    found = (manifest or {}).get(WORDS)
    if not isinstance(found, dict):
        return DEFAULT_WORDS
    known = {name: found[name] for name in Words._fields if isinstance(found.get(name), str)}
    return Words(**known)
