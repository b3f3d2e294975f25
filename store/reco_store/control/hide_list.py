"""Hide list: movies that no list shows, whichever generation is live.

The list is a SET of movie ids. Readers check it at every request, so a change takes effect at once
and needs no run. Applications may change it themselves with SADD and SREM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reco_store.connection.client import Client, store_errors
from reco_store.contract.arguments import id_texts
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from reco_store.contract.arguments import Id
    from reco_store.contract.keys import Keys

__all__ = ["hidden", "hide", "unhide"]


def hide(client: Client, keys: Keys, movie_ids: Iterable[Id]) -> int:
    """Hide movies.

    Returns:
        Number of movies that were not hidden before.

    Raises:
        UsageError: there is no id, or one is empty or neither a str nor an integer.
        StoreError: the store does not answer or refuses.
    """
    movies = _checked(movie_ids)
    with store_errors(client):
        return client.sadd(keys.hidden, *movies)


def unhide(client: Client, keys: Keys, movie_ids: Iterable[Id]) -> int:
    """Stop hiding movies.

    Returns:
        Number of movies that were hidden before.

    Raises:
        UsageError: there is no id, or one is empty or neither a str nor an integer.
        StoreError: the store does not answer or refuses.
    """
    movies = _checked(movie_ids)
    with store_errors(client):
        return client.srem(keys.hidden, *movies)


def hidden(client: Client, keys: Keys) -> tuple[str, ...]:
    """Return the hidden movie ids, sorted as texts.

    Raises:
        StoreError: the store does not answer or refuses.
    """
    with store_errors(client):
        members = cast("Collection[bytes]", client.smembers(keys.hidden))
    return tuple(sorted(member.decode("utf-8", "replace") for member in members))


def _checked(movie_ids: Iterable[Id]) -> tuple[str, ...]:
    movies = id_texts(movie_ids, "movies")
    if not movies or not all(movies):
        raise UsageError(f"movies {list(movies)}: expected one id or more, none of them empty")
    return movies
