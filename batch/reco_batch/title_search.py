"""Which movies stand under each beginning of a title's word: what `reco search` reads."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_store.keys import search_suffix, title_words

#: Movies under one beginning at most: the most rated ones.
LENGTH: Final = 100


def search_lists(titles: Sequence[str], rating_count: NDArray[np.int64]) -> dict[str, list[int]]:
    """Return movie indices by key suffix.

    Args:
        titles: of every movie.
        rating_count: [I], by which movies stand in a list; ties go to the first in the catalogue.

    Returns:
        Suffixes in the order in which the most rated movies bring them up.

    Cost:
        Time and memory grow with the letters of all titles, at most four keys a word.
    """
    lists: dict[str, list[int]] = {}
    for movie in np.argsort(-rating_count, kind="stable").tolist():
        words = title_words(titles[movie])
        beginnings = (word[:end] for word in words for end in range(1, 1 + len(word)))
        for suffix in dict.fromkeys(map(search_suffix, beginnings)):
            found = lists.setdefault(suffix, [])
            if len(found) < LENGTH:
                found.append(movie)
    return lists
