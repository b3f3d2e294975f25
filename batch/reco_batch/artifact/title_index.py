"""The index of titles: the movies under each title, and under each beginning of a title's word."""

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

#: Movies under one beginning at most: the most rated ones.
LENGTH: Final = 100
#: Version of the index, which an artifact records: published again, it has the same entries. The
#: first version, of artifacts that record none, has no loose forms, joined words or whole words.
TITLE_INDEX: Final = 2
_WORD: Final = re.compile(r"[^\W_]+")


def title_lists(titles: Sequence[str], *, index: int = TITLE_INDEX) -> dict[str, list[int]]:
    """Return movie indices by the suffix of each title, and of each loose form of one.

    A loose form, such as a title without its article, is left out where a movie has exactly this
    title.

    Args:
        titles: of every movie.
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

    Where more movies than `LENGTH` have a beginning, its list is cut, and each whole word that
    begins so has a list of its own, which is not; but for articles.

    Args:
        titles: of every movie.
        rating_count: [I], by which movies stand in a list; ties go to the first in the catalogue.
        index: version of the index.

    Returns:
        Suffixes in the order in which the most rated movies bring them up, whole words last.

    Cost:
        Time and memory grow with the letters of all titles: at most five keys a word, and in
        scripts without spaces four a letter.
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
    """Return the words of a title that may get a list of their own, and all words' beginnings."""
    if index > 1:
        words = title_words(title)
        return words, (start for word in words for start in beginnings(word))
    words = tuple(dict.fromkeys(_WORD.findall(fold_title(title))))
    return (), (word[:end] for word in words for end in range(1, 1 + SEARCH_PREFIX))
