"""Finds the movie that a person means by an id or a title."""

from typing import TYPE_CHECKING, NamedTuple

from reco_store import Answer, ListFilters, Movie, UsageError

if TYPE_CHECKING:  # a command that reads nothing, such as --help, need not load redis
    from reco_store import Reader

_NO_MOVIES: tuple[Movie, ...] = ()


class Found(NamedTuple):
    """What is known of the movie that was asked for."""

    movie: Movie | None  # None: no movie has the id or the title, or several have the title
    candidates: tuple[Movie, ...]  # the movies that share the title, when there are several
    answer: Answer  # the movies similar to it
    titled: tuple[Movie, ...] = ()  # the movies whose title is the id that was asked for
    meant: tuple[Movie, ...] = ()  # of an unknown title: movies with some of its words


def look_up(reader: "Reader", wanted: str, choice: ListFilters) -> Found:
    """Find a movie and what is similar to it.

    An id comes before a title, so every movie can be reached, whatever its title.

    Args:
        reader: the store.
        wanted: a movie's id, or its exact title with or without the year.
        choice: how many similar movies to read, and which.

    Raises:
        StoreError: the store cannot be read.
    """
    movie, titled = reader.movie(wanted), reader.find_title(wanted)
    if movie is not None:
        return Found(movie, _NO_MOVIES, reader.similar(movie.movie_id, **choice), titled)
    if len(titled) == 1:
        return Found(titled[0], _NO_MOVIES, reader.similar(titled[0].movie_id, **choice))
    meant = _NO_MOVIES if titled else similar_titles(reader, wanted)
    return Found(None, titled, reader.similar(wanted, **choice), meant=meant)


def similar_titles(reader: "Reader", wanted: str) -> tuple[Movie, ...]:
    """Return up to three movies with words of a title that no movie has."""
    try:
        return reader.search(wanted, n=3, partial=True)
    except UsageError:  # it has no word
        return _NO_MOVIES
