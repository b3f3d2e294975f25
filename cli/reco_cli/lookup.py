"""Finds the movie that a person means by an id or a title."""

from typing import TYPE_CHECKING, NamedTuple

from reco_store import Answer, Choice, Movie

if TYPE_CHECKING:  # a command that reads nothing, such as --help, need not load redis
    from reco_store import Reader

_NO_MOVIES: tuple[Movie, ...] = ()


class Found(NamedTuple):
    """What is known of the movie that was asked for."""

    movie: Movie | None  # None: no movie has the id or the title, or several have the title
    candidates: tuple[Movie, ...]  # the movies that share the title, when there are several
    answer: Answer  # the movies similar to it


def look_up(reader: "Reader", wanted: str, choice: Choice) -> Found:
    """Find a movie and what is similar to it.

    An id comes before a title, so every movie can be reached, whatever its title.

    Args:
        reader: the store.
        wanted: a movie's id, or its exact title with or without the year.
        choice: how many similar movies to read, and which.

    Raises:
        StoreError: the store cannot be read.
    """
    movie, candidates = reader.movie(wanted), _NO_MOVIES
    if movie is None:
        titled = reader.find_title(wanted)
        movie, candidates = (titled[0], _NO_MOVIES) if len(titled) == 1 else (None, titled)
    similar_to = wanted if movie is None else movie.movie_id
    return Found(movie, candidates, reader.similar(similar_to, **choice))
