"""Title index: movies by title, and by beginning of a title word."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_store.contract.keys import (
    loose_title_suffixes,
    search_suffix,
    title_suffixes,
    whole_word_suffix,
)
from reco_store.contract.titles import (
    SEARCH_PREFIX,
    beginnings,
    fold_title,
    is_article,
    title_words,
)

#: Maximum number of movies for one beginning; the most rated ones are listed.
LENGTH: Final = 100
#: Version of the index. Artifacts record it, so that publishing them again gives the same entries.
#: Artifacts without it have version 1, which lacks loose forms, joined words and whole words.
TITLE_INDEX: Final = 2
_WORD: Final = re.compile(r"[^\W_]+")


def title_lists(titles: Sequence[str], *, index: int = TITLE_INDEX) -> dict[str, list[int]]:
    """Return movie indices by the suffix of each title and each loose form of a title.

    A loose form, such as a title without its article, is omitted if it is exactly the title of
    another movie.

    Args:
        titles: title of every movie.
        index: version of the index.

    Returns:
        Suffixes in catalogue order, loose forms last; movies of a suffix in catalogue order.
    """
    exact: dict[str, list[int]] = {}
    loose: dict[str, list[int]] = {}
    for movie, title in enumerate(titles):
        for suffix in title_suffixes(title):
            exact.setdefault(suffix, []).append(movie)
        for suffix in loose_title_suffixes(title) if index > 1 else ():
            loose.setdefault(suffix, []).append(movie)
    return exact | {suffix: found for suffix, found in loose.items() if suffix not in exact}


def search_lists(
    titles: Sequence[str], rating_count: NDArray[np.int64], *, index: int = TITLE_INDEX
) -> dict[str, list[int]]:
    """Return movie indices by the suffix of each beginning of a word.

    If more than `LENGTH` movies share a beginning, its list is cut, and each whole word with that
    beginning, except articles, has an uncut list of its own.

    Args:
        titles: title of every movie.
        rating_count: [I] number of ratings, by which lists are sorted; ties keep catalogue order.
        index: version of the index.

    Returns:
        Suffixes in the order of first use, beginning with the most rated movie; whole words last.

    Cost:
        Time and memory grow with the length of all titles: at most five keys per word, and four
        per letter in scripts without spaces.
    """
    lists: dict[str, list[int]] = {}
    cut: set[str] = set()
    whole: dict[str, list[int]] = {}
    for movie in np.argsort(-rating_count, kind="stable").tolist():
        words, starts = _indexed(titles[movie], index)
        for suffix in dict.fromkeys(map(search_suffix, starts)):
            found = lists.setdefault(suffix, [])
            if len(found) < LENGTH:
                found.append(movie)
            else:
                cut.add(suffix)
        for word in words:
            whole.setdefault(word, []).append(movie)
    return lists | {
        whole_word_suffix(word): movies
        for word, movies in whole.items()
        if search_suffix(word) in cut and not is_article(word)
    }


def _indexed(title: str, index: int) -> tuple[Iterable[str], Iterable[str]]:
    """Return the words of a title that may have lists of their own, and all words' beginnings."""
    if index > 1:
        words = title_words(title)
        return words, (start for word in words for start in beginnings(word))
    words = tuple(dict.fromkeys(_WORD.findall(fold_title(title))))
    return (), (word[:end] for word in words for end in range(1, 1 + SEARCH_PREFIX))
