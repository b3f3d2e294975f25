"""The list of somebody who arrived today: the lists of what they rated, blended into one."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.answers import Reason
from reco_store.blend import blended, star_weights, votes_of
from reco_store.codec import decode_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reco_store.pinning import Pinned, Pinning, Request

__all__ = ["Arrival", "blend_lists"]

#: Of so many movies with the most votes the number of ratings is looked up.
_CONSIDERED: Final = 1_000
_SCALE: Final = (0.5, 5.0)
_WHOLE: Final = 1 << 30


class Arrival(NamedTuple):
    """The blended list, and why each movie is in it."""

    ids: list[str]
    scores: list[float]
    reasons: Mapping[str, Reason]  # by recommended movie


def blend_lists(pinning: Pinning, pinned: Pinned, ratings: Mapping[str, float]) -> Request[Arrival]:
    """Blend similar lists; one step for the cards that are not remembered.

    Args:
        pinning: of the namespace.
        pinned: whose first values are the similar lists, in the order of the ratings.
        ratings: stars by movie.

    Raises:
        UsageError: a rating is not on the generation's scale.
        Moved: the generation may be gone.
    """
    scale = pinned.view.manifest.get("rating_scale") or _SCALE
    weights = star_weights(ratings, scale)
    lists = {
        movie_id: decode_head(value, _WHOLE)
        for movie_id, value in zip(ratings, pinned.values, strict=False)
        if value is not None
    }
    votes = votes_of(weights, lists)
    chosen = nlargest(_CONSIDERED, votes, key=lambda movie_id: votes[movie_id].weight)
    missing = None in pinned.values
    labels, _ = yield from pinning.labels(pinned.view, [*chosen, *ratings], missing=missing)
    counts = {movie_id: labels[movie_id][3] for movie_id in chosen}
    ids, scores = blended({movie_id: votes[movie_id] for movie_id in chosen}, counts)
    reasons = {
        movie_id: Reason(votes[movie_id].because, labels[votes[movie_id].because][0])
        for movie_id in ids
    }
    return Arrival(ids, scores, reasons)
