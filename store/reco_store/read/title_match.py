"""Title search: the keys of a query, the matching movies, and their order.

A run publishes two kinds of lists. ``search:<prefix>`` contains the most rated movies with a word
of this prefix, for prefixes of up to ``titles.SEARCH_PREFIX`` letters. ``search:=<word>`` contains
all movies with exactly this word, if the list of its prefix was cut off. So the movies with all
words of a query are found, however frequent each word is. A candidate matches by its own title.
Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.contract.keys import search_suffix, title_suffix, title_suffixes, whole_word_suffix
from reco_store.contract.titles import (
    Chunk,
    chunks_of,
    fold_title,
    is_article,
    plain_forms,
    split_year,
    title_words,
    word_matches,
)
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reco_store.read.answer_types import Movie

__all__ = ["Candidates", "Question", "best_matches", "candidates", "question_of", "title_question"]

#: Largest number of parts of a query that are searched.
_MOST_CHUNKS: Final = 16
#: Largest number of candidates whose labels are read: beyond the requested number, and in total.
_MORE_CANDIDATES: Final = 150
_MOST_CANDIDATES: Final = 2000


class Candidates(NamedTuple):
    """Candidates of a search: movies whose labels are read."""

    ids: list[str]
    titled: frozenset[str]
    """Candidates whose title is the query."""
    frequency: tuple[int, ...]
    """Number of movies listed for each part of the query."""


class Question(NamedTuple):
    """Search query, folded and split into parts."""

    chunks: tuple[Chunk, ...]
    titles: tuple[str, ...]
    """Suffixes of the lists of movies with exactly this title."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the lists that contain the candidates."""
        words = [word for chunk in self.chunks for word in (*chunk.words, chunk.joined) if word]
        of_words = ((search_suffix(word), whole_word_suffix(word)) for word in words)
        return tuple(dict.fromkeys((*self.titles, *(key for keys in of_words for key in keys))))


def title_question(title: str) -> tuple[tuple[str, ...], int | None]:
    """Return the suffixes of a title, closest form first, and the year that a movie must have.

    The first suffix is that of the title as written, which needs no year.
    """
    bare, year = split_year(fold_title(title))
    forms = (f"title:{form}" for form in plain_forms(bare))
    return tuple(dict.fromkeys((title_suffix(title), *forms))), year


def question_of(text: str) -> Question:
    """Parse a search query.

    Articles are left out, unless the query has no other word.

    Raises:
        UsageError: the query has no word.
    """
    chunks = chunks_of(text)
    if not chunks:
        raise UsageError(f"search {text!r}: expected words of a title, or their beginnings")
    significant = tuple(c for c in chunks if len(c.words) > 1 or not is_article(c.words[0]))
    return Question((significant or chunks)[:_MOST_CHUNKS], title_question(text)[0])


def candidates(question: Question, lists: Mapping[str, Sequence[str]], n: int) -> Candidates:
    """Choose the movies whose labels are read.

    Args:
        question: the search query.
        lists: suffix -> movies, most rated first; missing lists are left out.
        n: number of movies requested.

    Returns:
        Movies of exactly this title first, then those listed for most parts of the query.
    """
    parts = [_listed(chunk, lists) for chunk in question.chunks]
    titled = dict.fromkeys(movie for name in question.titles for movie in lists.get(name, ()))
    best_rank: dict[str, int] = {}
    for movies in lists.values():
        for rank, movie in enumerate(movies):
            best_rank[movie] = min(rank, best_rank.get(movie, rank))
    rest = sorted(
        (movie for movie in best_rank if movie not in titled),
        key=lambda movie: (-sum(movie in part for part in parts), best_rank[movie]),
    )
    most = min(n + _MORE_CANDIDATES, _MOST_CANDIDATES)
    return Candidates([*titled, *rest][:most], frozenset(titled), tuple(map(len, parts)))


def _listed(chunk: Chunk, lists: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the movies listed for all words of a part, or for the words joined."""

    def of(word: str) -> set[str]:
        return {
            *lists.get(search_suffix(word), ()),
            *lists.get(whole_word_suffix(word), ()),
        }

    joined = of(chunk.joined) if chunk.joined else set()
    return frozenset(set.intersection(*map(of, chunk.words)) | joined)


def best_matches(
    movies: Iterable[Movie],
    question: Question,
    found: Candidates,
    n: int,
    *,
    partial: bool = False,
) -> tuple[Movie, ...]:
    """Return the movies whose titles match a query, best match first.

    Args:
        movies: the candidates that may be shown.
        question: the search query.
        found: all candidates.
        n: largest number of movies to return.
        partial: True if one part of the query is enough.

    Returns:
        Movies of exactly this title first; then those with most parts of the query, the rarer
        parts, the most whole words, and the most ratings; ties go to the smaller id.
    """
    weights = [1 / (1 + count) for count in found.frequency]
    matching: list[tuple[tuple[float, ...], str, Movie]] = []
    for movie in movies:
        own = title_words(movie.title)
        matched = [_matches(chunk, own) for chunk in question.chunks]
        if all(matched) or movie.movie_id in found.titled or (partial and any(matched)):
            exact = _exactness(movie, question, found)
            weight = sum(w for w, matches in zip(weights, matched, strict=True) if matches)
            whole = sum(word in own for chunk in question.chunks for word in chunk.words)
            order = (-exact, -sum(matched), -weight, -whole, -movie.rating_count)
            matching.append((order, movie.movie_id, movie))
    matching.sort(key=lambda match: match[:2])
    return tuple(movie for *_, movie in matching[:n])


def _matches(chunk: Chunk, own: Sequence[str]) -> bool:
    """Return whether a title has the words of a part of the query, separate or joined."""

    def has(word: str) -> bool:
        return any(word_matches(word, title_word) for title_word in own)

    return all(map(has, chunk.words)) or bool(chunk.joined and has(chunk.joined))


def _exactness(movie: Movie, question: Question, found: Candidates) -> int:
    """Return 2 for the title itself, 1 for a loose form of it, 0 for any other title."""
    return int(movie.movie_id in found.titled) + int(
        question.titles[0] in title_suffixes(movie.title)
    )
