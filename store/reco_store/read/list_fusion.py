"""Movies for somebody of whom a few ratings are known, from the lists of each rated movie.

The list ``next:<movieId>`` is what the night's model recommends to somebody of whom this movie is
all that is known, and the model adds up what it knows: the scores of several movies' lists, summed,
are its scores for somebody who rated them all. A movie that is not in a list has the list's last
score at most. So each rated movie says of those in its list how far they are above the last one,
and the more stars it has, the more that counts. Pure functions.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Vote", "blended", "require_few", "star_weights", "votes_of"]

#: More ratings than these are too many for one answer; who has them has a list of their own.
MAX_RATINGS: Final = 50
#: A mean of equal stars may be off by the last bit of a sum, which is no dislike.
_ROUNDING: Final = 1e-9


class Vote(NamedTuple):
    """What the rated movies say for a movie."""

    weight: float
    because: str | None  # the movie that says most, of those that are no less liked than the others


def require_few(ratings: Mapping[str, float]) -> None:
    """Refuse what is no answer's business, before anything is read.

    Raises:
        UsageError: no rating, or too many.
    """
    if not 1 <= len(ratings) <= MAX_RATINGS:
        raise UsageError(f"{len(ratings)} ratings: expected 1 to {MAX_RATINGS}")


def star_weights(ratings: Mapping[str, float], scale: Sequence[float]) -> dict[str, float]:
    """Return the weight of each rating, from 0 for the fewest stars to 1 for the most.

    Args:
        ratings: stars by movie.
        scale: lowest and highest rating.

    Raises:
        UsageError: one is not on the scale.
    """
    low, high = scale
    for movie_id, stars in ratings.items():
        if not low <= stars <= high:
            raise UsageError(f"{stars:g} stars of {movie_id!r}: expected {low:g} to {high:g}")
    return {movie_id: (stars - low) / (high - low) for movie_id, stars in ratings.items()}


def votes_of(
    weights: Mapping[str, float], lists: Mapping[str, tuple[Sequence[str], Sequence[float]]]
) -> dict[str, Vote]:
    """Add up what each rated movie says for the movies of its list.

    A movie below the mean of what was given counts, but is named to nobody as a reason.

    Args:
        weights: of each rated movie.
        lists: ids and scores that go on from each, best first; one may be missing.

    Returns:
        By movie; never a rated one. Who is last in every list has a vote of 0.
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
            said = weight * (score - last)
            total, because = votes.get(movie_id, (0.0, None))
            if weight >= mean - _ROUNDING and said > strongest.get(movie_id, -1.0):
                strongest[movie_id], because = said, rated
            votes[movie_id] = Vote(total + said, because)
    return votes


def blended(votes: Mapping[str, Vote]) -> tuple[list[str], list[float]]:
    """Order movies by their votes.

    Returns:
        Ids and scores, best first; the best has the score 1. Ties go to the smaller id.
    """
    order = sorted(votes, key=lambda movie_id: (-votes[movie_id].weight, movie_id))
    most = votes[order[0]].weight if order else 0.0
    return order, [votes[movie_id].weight / most if most else 0.0 for movie_id in order]
