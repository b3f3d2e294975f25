"""The list of somebody who arrived today: the lists of what they rated, blended into one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.contract.codec import decode_head
from reco_store.read.list_fusion import blended, star_weights, votes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reco_store.read.pinning import Pinned, Pinning, Request

__all__ = ["Arrival", "blend_lists"]

_SCALE: Final = (0.5, 5.0)
_WHOLE: Final = 1 << 30


class Arrival(NamedTuple):
    """The blended list, and why each movie is in it."""

    ids: list[str]
    scores: list[float]
    reasons: Mapping[str, str]  # rated movies, by recommended movie


def blend_lists(
    pinning: Pinning, pinned: Pinned, ratings: Mapping[str, float], looked_at: int
) -> Request[Arrival]:
    """Blend the lists of the rated movies; one step for the cards that are not remembered.

    Args:
        pinning: of the namespace.
        pinned: whose first values are the lists, in the order of the ratings.
        ratings: stars by movie.
        looked_at: how many of the best movies the answer will be chosen from; their cards are
            read with those of the rated ones, which saves the answer a step.

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
    ids, scores = blended(votes)
    missing = None in pinned.values
    yield from pinning.labels(pinned.view, [*ratings, *ids[:looked_at]], missing=missing)
    reasons = {movie_id: vote.because for movie_id, vote in votes.items() if vote.because}
    return Arrival(ids, scores, reasons)
