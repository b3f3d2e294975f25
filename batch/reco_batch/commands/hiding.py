"""What an operator wants to know of movies that are hidden: which they are."""

from collections.abc import Iterable, Mapping

from reco_store import ContractMismatch, Keys, NothingPublished, Reader
from reco_store.connection.client import Client


def titles_of(client: Client, keys: Keys, movie_ids: Iterable[str]) -> Mapping[str, str | None]:
    """Return the titles of movies in the live generation.

    Returns:
        By id in the given order; None for a movie that it does not have, or where there is none.

    Raises:
        StoreError: the store cannot be read.
    """
    reader = Reader(client=client, namespace=keys.namespace)
    titles: dict[str, str | None] = {}
    for movie_id in movie_ids:
        try:
            movie = reader.movie(movie_id)
        except (NothingPublished, ContractMismatch):  # nothing to look it up in
            movie = None
        titles[movie_id] = None if movie is None else movie.title
    return titles
