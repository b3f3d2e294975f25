"""Lookup of movies by id or title, also in ratings such as `Heat (1995)=4`.

An id comes before a title, so every movie can be reached, whatever its title.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from reco_cli.page_texts import shadowed_note, suggestion
from reco_store import Answer, ListFilters, Movie, UsageError
from reco_store.contract.words import Words, words_of

if TYPE_CHECKING:  # a command that reads nothing, such as --help, need not load redis
    from reco_store import Reader

_NO_MOVIES: tuple[Movie, ...] = ()


class MovieLookup(NamedTuple):
    """Result of looking up a movie by id or title."""

    movie: Movie | None
    """Movie with this id or title; None if there is none, or if several share the title."""
    candidates: tuple[Movie, ...]
    """Movies that share the title, if there are several."""
    answer: Answer
    """Movies similar to it."""
    titled: tuple[Movie, ...] = ()
    """Movies whose title equals the requested id."""
    suggested: tuple[Movie, ...] = ()
    """Movies with some words of an unknown title."""


def look_up(reader: "Reader", wanted: str, choice: ListFilters) -> MovieLookup:
    """Find a movie and the movies similar to it.

    Args:
        reader: the store.
        wanted: a movie's id, or its exact title with or without the year.
        choice: number of similar movies, and filters.

    Raises:
        StoreError: the store cannot be read.
    """
    movie, titled = reader.movie(wanted), reader.find_title(wanted)
    if movie is not None:
        return MovieLookup(movie, _NO_MOVIES, reader.similar(movie.movie_id, **choice), titled)
    if len(titled) == 1:
        return MovieLookup(titled[0], _NO_MOVIES, reader.similar(titled[0].movie_id, **choice))
    suggested = _NO_MOVIES if titled else _similar_titles(reader, wanted)
    return MovieLookup(None, titled, reader.similar(wanted, **choice), suggested=suggested)


def _similar_titles(reader: "Reader", wanted: str) -> tuple[Movie, ...]:
    """Return up to three movies with words of a title that no movie has."""
    try:
        return reader.search(wanted, n=3, partial=True)
    except UsageError:  # it has no word
        return _NO_MOVIES


def ratings_of(reader: "Reader", texts: Sequence[str]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Parse ratings such as `Heat (1995)=4`, and find their movies by id or exact title.

    Args:
        reader: the store.
        texts: each an id or a title, `=`, and stars.

    Returns:
        Stars by id, and a sentence for each id that is another movie's title as well.

    Raises:
        UsageError: a text has another form, or its movie is unknown, or several have the title.
        StoreError: the store cannot be read.
    """
    ratings: dict[str, float] = {}
    notes: list[str | None] = []
    for text in texts:
        wanted, stars = _parsed(text)
        movie, titled = _movie(reader, wanted)
        if movie.movie_id in ratings:
            raise UsageError(f"{wanted!r} is {_words(reader).interacted} twice")
        ratings[movie.movie_id] = stars
        notes.append(shadowed_note(wanted, movie, titled))
    return ratings, tuple(note for note in notes if note is not None)


def recent_of(
    reader: "Reader", texts: Sequence[str]
) -> tuple[dict[str, float | None], tuple[str, ...]]:
    """Parse recent movies such as `42`, `42=4.5` or `Heat (1995)=4`, newest first.

    Args:
        reader: the store.
        texts: each an id or a title, then perhaps `=` and stars.

    Returns:
        Stars by id, None without stars, and a sentence for each movie that is unknown, which adds
        nothing, or whose id is another movie's title as well.

    Raises:
        UsageError: the text after the last `=` is no number, a movie is named twice, or several
            have the title.
        StoreError: the store cannot be read.
    """
    recent: dict[str, float | None] = {}
    notes: list[str | None] = []
    for text in texts:
        before, sign, number = text.rpartition("=")
        wanted, stars = (before.strip(), _number(number)) if sign else (text.strip(), None)
        if not wanted or (stars is not None and not math.isfinite(stars)):
            raise UsageError(
                f"{text!r}: expected an id or a title, alone or with = and stars, such as '42=4'"
            )
        movie, titled = _found(reader, wanted)
        movie_id = wanted if movie is None else movie.movie_id
        if movie_id in recent:
            raise UsageError(f"{wanted!r} is named twice; expected it once")
        recent[movie_id] = stars
        notes.append(
            f"no {_words(reader).item} has the id or the title {wanted}, so it adds nothing."
            if movie is None
            else shadowed_note(wanted, movie, titled)
        )
    return recent, tuple(note for note in notes if note is not None)


def _parsed(text: str) -> tuple[str, float]:
    """Split a rating into the id or title and the stars."""
    wanted, _, number = text.rpartition("=")
    stars = _number(number)
    if not wanted.strip() or not math.isfinite(stars):
        raise UsageError(f"{text!r}: expected an id or a title, =, and stars, such as 'Heat=4'")
    return wanted.strip(), stars


def _number(text: str) -> float:
    """Return a number; NaN for any other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _movie(reader: "Reader", wanted: str) -> tuple[Movie, tuple[Movie, ...]]:
    """Return the movie with an id or title; if it is an id, also the movies with this title."""
    movie, titled = _found(reader, wanted)
    if movie is None:
        suggested = suggestion(_similar_titles(reader, wanted))
        raise UsageError(f"no {_words(reader).item} has the id or the title {wanted!r}.{suggested}")
    return movie, titled


def _found(reader: "Reader", wanted: str) -> tuple[Movie | None, tuple[Movie, ...]]:
    """Return the same as `_movie`, but None for a movie that is unknown."""
    movie, titled = reader.movie(wanted), reader.find_title(wanted)
    if movie is not None:
        return movie, titled
    if len(titled) > 1:
        named = ", ".join(f"{movie.movie_id} ({movie.title})" for movie in titled)
        items = _words(reader).items
        raise UsageError(
            f"{len(titled)} {items} have the title {wanted!r}; name one by id: {named}"
        )
    return (titled[0] if titled else None), ()


def _words(reader: "Reader") -> Words:
    """Return the words of the live generation, for an error."""
    return words_of(reader.status().manifest)
