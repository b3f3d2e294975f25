"""Understands `TITLE=STARS`, as a person gives a few ratings."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reco_store import UsageError

if TYPE_CHECKING:  # help and completion need not load redis
    from reco_store import Reader


def ratings_of(reader: "Reader", words: Sequence[str]) -> dict[str, float]:
    """Find the movies of ratings such as `Heat (1995)=4`, by id or exact title.

    Args:
        reader: the store.
        words: each an id or a title, `=`, and stars.

    Raises:
        UsageError: the form is another, or the movie is unknown, or several have the title.
        StoreError: the store cannot be read.
    """
    ratings: dict[str, float] = {}
    for word in words:
        wanted, stars = _parted(word)
        movie_id = _movie(reader, wanted)
        if movie_id in ratings:
            raise UsageError(f"{wanted!r} is rated twice")
        ratings[movie_id] = stars
    return ratings


def _parted(word: str) -> tuple[str, float]:
    wanted, _, text = word.rpartition("=")
    try:
        stars = float(text)
    except ValueError:
        stars = math.nan
    if not wanted.strip() or not math.isfinite(stars):
        raise UsageError(f"{word!r}: expected an id or a title, =, and stars, such as 'Heat=4'")
    return wanted.strip(), stars


def _movie(reader: "Reader", wanted: str) -> str:
    if reader.movie(wanted) is not None:
        return wanted
    found = reader.find_title(wanted)
    if not found:
        raise UsageError(f"no movie has the id or the exact title {wanted!r}")
    if len(found) > 1:
        named = ", ".join(f"{movie.movie_id} ({movie.title})" for movie in found)
        raise UsageError(f"{len(found)} movies have the title {wanted!r}; name one by id: {named}")
    return found[0].movie_id
