"""Cold start: a list for a user with a few ratings, combined from the lists of the rated movies.

The list ``next:<movieId>`` contains the model's recommendations for a user with this one rating.
The model is additive: for a user with several ratings, a movie's score is the sum of its scores in
those lists. A movie outside a list has at most the list's last score. So each rated movie votes
for the movies of its list by how far their scores exceed the last one, weighted by its stars.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.contract.codec import decode_head
from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reco_store.read.pinning import Pinned, Pinning, Request

__all__ = [
    "ColdStartList",
    "Vote",
    "blend_lists",
    "blended",
    "require_few",
    "star_weights",
    "votes_of",
]

_SCALE: Final = (0.5, 5.0)
_WHOLE: Final = 1 << 30
#: With more ratings than these, a user has a list of their own after the next run.
MAX_RATINGS: Final = 50
#: The mean of equal stars may be off by the last bit of a sum, which is no dislike.
_ROUNDING: Final = 1e-9


class ColdStartList(NamedTuple):
    """Combined list, best movie first, with explanations."""

    ids: list[str]
    scores: list[float]
    reasons: Mapping[str, str]
    """Recommended movie -> rated movie."""


def blend_lists(
    pinning: Pinning, pinned: Pinned, ratings: Mapping[str, float], looked_at: int
) -> Request[ColdStartList]:
    """Combine the lists of the rated movies; takes one step if labels are not cached.

    Args:
        pinning: pins generations of the namespace.
        pinned: the first step; its first values are the lists, in the order of the ratings.
        ratings: movie id -> stars.
        looked_at: number of best movies that the answer will be chosen from. Their labels are read
            with those of the rated movies, which saves the answer a step.

    Raises:
        UsageError: a rating is not on the generation's scale.
        Moved: the generation may have been retired.
    """
    scale = pinned.snapshot.manifest.get("rating_scale") or _SCALE
    weights = star_weights(ratings, scale)
    lists = {
        movie_id: decode_head(value, _WHOLE)
        for movie_id, value in zip(ratings, pinned.values, strict=False)
        if value is not None
    }
    votes = votes_of(weights, lists)
    ids, scores = blended(votes)
    missing = None in pinned.values
    yield from pinning.labels(pinned.snapshot, [*ratings, *ids[:looked_at]], missing=missing)
    reasons = {movie_id: vote.because for movie_id, vote in votes.items() if vote.because}
    return ColdStartList(ids, scores, reasons)


class Vote(NamedTuple):
    """Sum of the votes of all rated movies for one movie."""

    weight: float
    because: str | None
    """Rated movie with the largest vote, among those with at least the mean rating."""


def require_few(ratings: Mapping[str, float]) -> None:
    """Refuse an unusable number of ratings before anything is read.

    Raises:
        UsageError: there is no rating, or there are too many.
    """
    if not 1 <= len(ratings) <= MAX_RATINGS:
        raise UsageError(f"{len(ratings)} ratings: expected 1 to {MAX_RATINGS}")


def star_weights(ratings: Mapping[str, float], scale: Sequence[float]) -> dict[str, float]:
    """Return the weight of each rating, from 0 for the lowest to 1 for the highest.

    Args:
        ratings: movie id -> stars.
        scale: lowest and highest rating.

    Raises:
        UsageError: a rating is not on the scale.
    """
    low, high = scale
    for movie_id, stars in ratings.items():
        if not low <= stars <= high:
            raise UsageError(f"{stars:g} stars of {movie_id!r}: expected {low:g} to {high:g}")
    return {movie_id: (stars - low) / (high - low) for movie_id, stars in ratings.items()}


def votes_of(
    weights: Mapping[str, float], lists: Mapping[str, tuple[Sequence[str], Sequence[float]]]
) -> dict[str, Vote]:
    """Sum the votes of the rated movies for the movies of their lists.

    A rated movie below the mean rating votes, but is no explanation.

    Args:
        weights: rated movie -> weight, 0 to 1.
        lists: rated movie -> ids and scores of its list, best first; a list may be missing.

    Returns:
        Movie -> vote, without rated movies. A movie that is last in every list has a vote of 0.
    """
    votes: dict[str, Vote] = {}
    strongest: dict[str, float] = {}
    mean = fsum(weights.values()) / max(1, len(weights))
    for rated, weight in weights.items():
        ids, scores = lists.get(rated, ((), ()))
        if weight <= 0 or not ids:
            continue
        last = scores[-1]
        for movie_id, score in zip(ids, scores, strict=True):
            if movie_id in weights:
                continue
            vote = weight * (score - last)
            total, because = votes.get(movie_id, (0.0, None))
            if weight >= mean - _ROUNDING and vote > strongest.get(movie_id, -1.0):
                strongest[movie_id], because = vote, rated
            votes[movie_id] = Vote(total + vote, because)
    return votes


def blended(votes: Mapping[str, Vote]) -> tuple[list[str], list[float]]:
    """Order movies by their votes.

    Returns:
        Ids and scores, best first; the best has the score 1. Ties go to the smaller id.
    """
    order = sorted(votes, key=lambda movie_id: (-votes[movie_id].weight, movie_id))
    most = votes[order[0]].weight if order else 0.0
    return order, [votes[movie_id].weight / most if most else 0.0 for movie_id in order]
