"""Search by words of titles: which keys a question reads, which movies match, and in what order.

The job publishes two kinds of list. ``search:<beginning>`` has the most rated movies with a word
that begins so, for beginnings of up to ``titles.SEARCH_PREFIX`` letters; ``search:=<word>`` has all
movies with exactly this word, where the list of its beginning is cut. So the movies that have all
words of a question are found however frequent each word is. Whether a candidate matches is decided
by its own title. Pure functions.
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

    from reco_store.read.answers import Movie

__all__ = ["Candidates", "Question", "best_matches", "candidates", "question_of", "title_question"]

#: Parts of a question that are looked at.
_MOST_CHUNKS: Final = 16
#: Most candidates whose cards are read: beyond the number asked for, and in total.
_MORE_CANDIDATES: Final = 150
_MOST_CANDIDATES: Final = 2000


class Candidates(NamedTuple):
    """The movies whose cards are worth reading."""

    ids: list[str]
    titled: frozenset[str]  # those that are listed under the question as a title
    frequency: tuple[int, ...]  # for each part of the question, how many movies are listed


class Question(NamedTuple):
    """Search query, folded and split into parts."""

    chunks: tuple[Chunk, ...]
    titles: tuple[str, ...]  # suffixes under which a movie of exactly this title is listed

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The keys whose lists have the candidates."""
        words = [word for chunk in self.chunks for word in (*chunk.words, chunk.joined) if word]
        of_words = ((search_suffix(word), whole_word_suffix(word)) for word in words)
        return tuple(dict.fromkeys((*self.titles, *(key for keys in of_words for key in keys))))


def title_question(title: str) -> tuple[tuple[str, ...], int | None]:
    """Return the keys of a title, closest form first, and the year that a movie must have.

    The first key is that of the title as it is written, whatever the movie's year.
    """
    bare, year = split_year(fold_title(title))
    forms = (f"title:{form}" for form in plain_forms(bare))
    return tuple(dict.fromkeys((title_suffix(title), *forms))), year


def question_of(text: str) -> Question:
    """Parse a search query.

    Articles are left out, unless there is nothing else.

    Raises:
        UsageError: there is no word.
    """
    chunks = chunks_of(text)
    if not chunks:
        raise UsageError(f"search {text!r}: expected words of a title, or their beginnings")
    telling = tuple(c for c in chunks if len(c.words) > 1 or not is_article(c.words[0]))
    return Question((telling or chunks)[:_MOST_CHUNKS], title_question(text)[0])


def candidates(question: Question, lists: Mapping[str, Sequence[str]], n: int) -> Candidates:
    """Choose the movies whose cards are worth reading.

    Args:
        question: the search query.
        lists: movies by suffix, the most rated first; those that there are.
        n: how many are asked for.

    Returns:
        Movies of exactly this title first, then those that are listed for most parts of the
        question.
    """
    parts = [_listed(chunk, lists) for chunk in question.chunks]
    titled = dict.fromkeys(movie for name in question.titles for movie in lists.get(name, ()))
    place: dict[str, int] = {}
    for movies in lists.values():
        for at, movie in enumerate(movies):
            place[movie] = min(at, place.get(movie, at))
    rest = sorted(
        (movie for movie in place if movie not in titled),
        key=lambda movie: (-sum(movie in part for part in parts), place[movie]),
    )
    most = min(n + _MORE_CANDIDATES, _MOST_CANDIDATES)
    return Candidates([*titled, *rest][:most], frozenset(titled), tuple(map(len, parts)))


def _listed(chunk: Chunk, lists: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the movies that are listed for all words of a part, or for them joined."""

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
    """Return the movies whose titles match a question.

    Args:
        movies: the candidates that may be shown.
        question: the search query.
        found: the candidates.
        n: how many.
        partial: whether one part of the question is enough.

    Returns:
        Movies of exactly this title first; then those with most parts of the question, the rarer
        parts, the most whole words, and the most ratings; ties go to the smaller id.
    """
    weights = [1 / (1 + count) for count in found.frequency]
    matching: list[tuple[tuple[float, ...], str, Movie]] = []
    for movie in movies:
        own = title_words(movie.title)
        there = [_matches(chunk, own) for chunk in question.chunks]
        if all(there) or movie.movie_id in found.titled or (partial and any(there)):
            exact = _exactness(movie, question, found)
            weight = sum(w for w, is_there in zip(weights, there, strict=True) if is_there)
            whole = sum(word in own for chunk in question.chunks for word in chunk.words)
            order = (-exact, -sum(there), -weight, -whole, -movie.rating_count)
            matching.append((order, movie.movie_id, movie))
    matching.sort(key=lambda match: match[:2])
    return tuple(movie for *_, movie in matching[:n])


def _matches(chunk: Chunk, own: Sequence[str]) -> bool:
    """Return whether a title has the words of a part of the query, or has them joined."""

    def has(word: str) -> bool:
        return any(word_matches(word, title_word) for title_word in own)

    return all(map(has, chunk.words)) or bool(chunk.joined and has(chunk.joined))


def _exactness(movie: Movie, question: Question, found: Candidates) -> int:
    """Return 2 for exactly the title, 1 for a loose form of it, 0 for anything else."""
    return int(movie.movie_id in found.titled) + int(
        question.titles[0] in title_suffixes(movie.title)
    )
