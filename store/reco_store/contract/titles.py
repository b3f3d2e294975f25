"""Normalisation of titles for lookup: folding, words, and loose forms of a title.

    title                       Matrix, The (1999)   X-Men (2000)   Seven (a.k.a. Se7en) (1995)
    folded                      matrix, the (1999)   x-men (2000)   seven (a.k.a. se7en) (1995)
    folded, without its year    matrix, the          x-men          seven (a.k.a. se7en)
    loose forms                 the matrix           x men          seven
                                matrix               xmen           se7en
    words                       matrix the 1999      x men 2000     seven a k a se7en 1995
                                                     xmen           aka

The batch job builds the title index with these functions, and readers normalise queries with
them. Pure functions.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Chunk",
    "beginnings",
    "chunks_of",
    "fold_genre",
    "fold_title",
    "is_article",
    "loose_forms",
    "plain_forms",
    "split_year",
    "title_words",
    "word_matches",
]

SEARCH_PREFIX: Final = 4  # longest beginning of a word that has a key, in letters

_WORD: Final = re.compile(r"[^\W_]+")
_YEAR_TAIL: Final = re.compile(r"\s*\((\d{4})\)\s*$")
_IN_BRACKETS: Final = re.compile(r"\(([^()]*)\)")
_ALSO: Final = re.compile(r"^(?:a\.?k\.?a\.?|aka)\s+")
_APOSTROPHES: Final = re.compile("['`\u00b4\u02bc\u2018\u2019]")
#: Scripts written without spaces: a query word may begin anywhere in a title's word.
#: Ranges of letters: compiling a pattern of them would take longer than a reader's whole request.
_UNSPACED: Final = ("\u0e00\u0eff", "\u1780\u17ff", "\u3040\u30ff", "\u3400\u9fff", "\uf900\ufaff")
#: Articles that catalogues put after the title: "Welle, Die".
_BEHIND: Final = re.compile(
    r"^(.+), (the|an?|l'|las?|les?|los?|une?|uno|una|der|die|das|den|det|eine?|el|il|gli|i|os?|as"
    r"|uma?|de|het|een|en|ett)$"
)
#: Leading articles that may be omitted; "die" is not one of them, because it is also a verb.
_BEFORE: Final = re.compile(r"^(?:(?:the|an?|las?|les?|los|der|das|el|il) |l')(?=.)")
_ARTICLES: Final = frozenset(
    ("the", "a", "an", "le", "la", "les", "l", "der", "das", "el", "los", "las", "il")
)


class Chunk(NamedTuple):
    """Part of a title or query between two spaces."""

    words: tuple[str, ...]  # runs of letters and digits
    joined: str  # the words joined into one; empty if there is only one word


def fold_title(title: str) -> str:
    """Return the normal form of a title, under which it is looked up.

    NFKD, combining marks removed, case folded, whitespace collapsed and trimmed, NFC. The function
    is idempotent.
    """
    if title.isascii():
        return " ".join(title.casefold().split())
    bare = "".join(c for c in unicodedata.normalize("NFKD", title) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", " ".join(bare.casefold().split()))


def fold_genre(genre: str) -> str:
    """Return the folded letters and digits of a genre, equal for "Sci-Fi" and "sci fi"."""
    return "".join(word for chunk in chunks_of(genre) for word in chunk.words) or genre


def split_year(title: str) -> tuple[str, int | None]:
    """Return a title without the year in brackets at its end, and the year if there is one."""
    match = _YEAR_TAIL.search(title)
    return (title, None) if match is None else (title[: match.start()], int(match[1]))


def loose_forms(title: str) -> tuple[str, ...]:
    """Return the forms that find a title in addition to its folded form.

    Each form is derived from the title without its year, or from an alternative title in brackets.
    """
    bare, _ = split_year(fold_title(title))
    alternatives = [_ALSO.sub("", inside) for inside in _IN_BRACKETS.findall(bare)]
    main = " ".join(_IN_BRACKETS.sub(" ", bare).split())
    return tuple(
        dict.fromkeys(form for part in (bare, main, *alternatives) for form in plain_forms(part))
    )


def plain_forms(folded: str) -> tuple[str, ...]:
    """Return a folded title without punctuation, closest form first.

    The article is moved to the front, then omitted. Hyphens and similar characters separate words,
    then join them; apostrophes always join.
    """
    natural = _BEHIND.sub(_article_first, folded)
    texts = [natural, _BEFORE.sub("", natural)]
    texts = [_APOSTROPHES.sub("", text) for text in texts]
    parted = [" ".join(word for chunk in chunks_of(text) for word in chunk.words) for text in texts]
    closed = [" ".join(c.joined or c.words[0] for c in chunks_of(text)) for text in texts]
    return tuple(form for form in dict.fromkeys((*parted, *closed)) if form)


def _article_first(match: re.Match[str]) -> str:
    rest, article = match.groups()
    return f"{article}{'' if article.endswith(chr(39)) else ' '}{rest}"


def chunks_of(text: str) -> tuple[Chunk, ...]:
    """Return the folded parts of a text; an ampersand counts as the word "and"."""
    chunks = []
    for part in fold_title(text).split():
        words = tuple(_WORD.findall(part.replace("&", " and ")))
        if words:
            joined = "".join(_WORD.findall(part))
            chunks.append(Chunk(words, "" if words == (joined,) else joined))
    return tuple(chunks)


def title_words(title: str) -> tuple[str, ...]:
    """Return the distinct folded words of a title.

    Runs of letters and digits in order, then words that punctuation separates, joined:
    "Schindler's" gives schindler, s and schindlers.
    """
    chunks = chunks_of(title)
    parted = (word for chunk in chunks for word in chunk.words)
    return tuple(dict.fromkeys((*parted, *(c.joined for c in chunks if c.joined))))


def is_article(word: str) -> bool:
    """Return whether a query word is an article, which does not narrow a title search."""
    return word in _ARTICLES


def beginnings(word: str) -> Iterator[str]:
    """Yield the beginnings of a word that have a search key.

    In scripts without spaces, a beginning may start at any character of the word.
    """
    for start, letter in enumerate(word):
        if start == 0 or _is_unspaced(letter):
            for end in range(start + 1, min(start + SEARCH_PREFIX, len(word)) + 1):
                yield word[start:end]


def word_matches(word: str, title_word: str) -> bool:
    """Return whether a query word is the beginning of a title's word.

    In scripts without spaces, it may be any part of the title's word.
    """
    return title_word.startswith(word) or (_is_unspaced(word[:1]) and word in title_word)


def _is_unspaced(letter: str) -> bool:
    return any(first <= letter <= last for first, last in _UNSPACED)
