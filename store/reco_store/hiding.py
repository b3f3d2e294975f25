"""The hide list: movies that no list shows, whatever generation is live.

A SET of movie ids beside the pointer. Readers ask it at every request, so a change acts at once and
needs no night. Applications may change it themselves, with SADD and SREM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reco_store.client import Client, store_errors
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from reco_store.keys import Keys

__all__ = ["hidden", "hide", "unhide"]


def hide(client: Client, keys: Keys, movie_ids: Collection[str]) -> int:
    """Hide movies.

    Returns:
        How many were not hidden before.

    Raises:
        UsageError: no movie is named, or an id is empty.
        StoreError: the store does not answer or refuses.
    """
    _require_ids(movie_ids)
    with store_errors(client):
        return client.sadd(keys.hidden, *movie_ids)


def unhide(client: Client, keys: Keys, movie_ids: Collection[str]) -> int:
    """Show movies again.

    Returns:
        How many were hidden before.

    Raises:
        UsageError: no movie is named, or an id is empty.
        StoreError: the store does not answer or refuses.
    """
    _require_ids(movie_ids)
    with store_errors(client):
        return client.srem(keys.hidden, *movie_ids)


def hidden(client: Client, keys: Keys) -> tuple[str, ...]:
    """Return what is hidden, in the order of the ids as texts.

    Raises:
        StoreError: the store does not answer or refuses.
    """
    with store_errors(client):
        members = cast("Collection[bytes]", client.smembers(keys.hidden))
    return tuple(sorted(member.decode("utf-8", "replace") for member in members))


def _require_ids(movie_ids: Collection[str]) -> None:
    if not movie_ids or not all(movie_ids):
        raise UsageError(f"movies {list(movie_ids)}: expected one id or more, none of them empty")
