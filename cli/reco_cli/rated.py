"""Understands `TITLE=STARS`, as a person gives a few ratings."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reco_cli.lookup import similar_titles
from reco_cli.words import meant_words, shadowed_note
from reco_store import Movie, UsageError

if TYPE_CHECKING:  # help and completion need not load redis
    from reco_store import Reader


def ratings_of(reader: "Reader", words: Sequence[str]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Find the movies of ratings such as `Heat (1995)=4`, by id or exact title.

    Args:
        reader: the store.
        words: each an id or a title, `=`, and stars.

    Returns:
        Stars by id, and a sentence for each id that is another movie's title as well.

    Raises:
        UsageError: the form is another, or the movie is unknown, or several have the title.
        StoreError: the store cannot be read.
    """
    ratings: dict[str, float] = {}
    notes: list[str | None] = []
    for word in words:
        wanted, stars = _parted(word)
        movie, titled = _movie(reader, wanted)
        if movie.movie_id in ratings:
            raise UsageError(f"{wanted!r} is rated twice")
        ratings[movie.movie_id] = stars
        notes.append(shadowed_note(wanted, movie, titled))
    return ratings, tuple(note for note in notes if note is not None)


def _parted(word: str) -> tuple[str, float]:
    wanted, _, text = word.rpartition("=")
    try:
        stars = float(text)
    except ValueError:
        stars = math.nan
    if not wanted.strip() or not math.isfinite(stars):
        raise UsageError(f"{word!r}: expected an id or a title, =, and stars, such as 'Heat=4'")
    return wanted.strip(), stars


def _movie(reader: "Reader", wanted: str) -> tuple[Movie, tuple[Movie, ...]]:
    """Return the movie that is meant, and the movies of this title if it is meant by its id."""
    movie, titled = reader.movie(wanted), reader.find_title(wanted)
    if movie is not None:
        return movie, titled
    if not titled:
        meant = meant_words(similar_titles(reader, wanted))
        raise UsageError(f"no movie has the id or the title {wanted!r}.{meant}")
    if len(titled) > 1:
        named = ", ".join(f"{movie.movie_id} ({movie.title})" for movie in titled)
        raise UsageError(f"{len(titled)} movies have the title {wanted!r}; name one by id: {named}")
    return titled[0], ()
