"""Finding movies by words of their titles: which of the candidates match, and which match best.

The night publishes, for each beginning of a word up to ``PREFIX`` letters, the most rated movies
with such a word. These are the candidates; whether all words of a question match is seen by the
candidate's own title. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reco_store.errors import UsageError
from reco_store.keys import title_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reco_store.answers import Movie

__all__ = ["best_matches", "question_words"]

#: More words of a question are not looked at.
_MOST_WORDS: Final = 8


def question_words(text: str) -> tuple[str, ...]:
    """Return the words that are searched for, folded.

    Raises:
        UsageError: there is none.
    """
    words = title_words(text)[:_MOST_WORDS]
    if not words:
        raise UsageError(f"search {text!r}: expected words of a title, or their beginnings")
    return words


def best_matches(movies: Iterable[Movie], words: tuple[str, ...], n: int) -> tuple[Movie, ...]:
    """Return the movies whose titles have all words, or words that begin with them.

    Args:
        movies: the candidates.
        words: folded.
        n: how many.

    Returns:
        Those with the most whole words first, then those with the most ratings; ties go to the
        smaller id.
    """
    matching: list[tuple[int, Movie]] = []
    for movie in movies:
        own = title_words(movie.title)
        if all(any(title_word.startswith(word) for title_word in own) for word in words):
            matching.append((sum(word in own for word in words), movie))
    matching.sort(key=lambda match: (-match[0], -match[1].rating_count, match[1].movie_id))
    return tuple(movie for _, movie in matching[:n])
