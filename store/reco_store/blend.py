"""Movies for somebody of whom a few ratings are known, from the lists of what is similar to each.

Every rated movie votes for the movies of its list: the more stars, the higher in the list and the
more alike, the more. Similar lists have popularity divided out, so that they are more than the
hits; of a stranger it says something again, and a part of it is put back. The three numbers below
were chosen by ``benchmarks/for_ratings.py`` on users set apart for that. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Blend", "Vote", "blended", "star_weights", "votes_of"]

#: More ratings than these are too many for one answer; who has them has a list of their own.
MAX_RATINGS: Final = 50


class Blend(NamedTuple):
    """How votes are weighed."""

    alike: float = 3.0  # power of the similarity
    place: float = 0.5  # power by which a place far down counts less
    popularity: float = 0.75  # power of the number of ratings
    first_places: int = 10  # before which places count nearly alike
    unrated: int = 5  # ratings that every movie is given, so that new ones have a chance


class Vote(NamedTuple):
    """What the rated movies say for a movie."""

    weight: float
    because: str  # the rated movie that says most


def star_weights(ratings: Mapping[str, float], scale: Sequence[float]) -> dict[str, float]:
    """Return the weight of each rating, from 0 for the fewest stars to 1 for the most.

    Args:
        ratings: stars by movie.
        scale: lowest and highest rating.

    Raises:
        UsageError: no rating, too many, or one that is not on the scale.
    """
    if not 1 <= len(ratings) <= MAX_RATINGS:
        raise UsageError(f"{len(ratings)} ratings: expected 1 to {MAX_RATINGS}")
    low, high = scale
    for movie_id, stars in ratings.items():
        if not low <= stars <= high:
            raise UsageError(f"{stars:g} stars of {movie_id!r}: expected {low:g} to {high:g}")
    return {movie_id: (stars - low) / (high - low) for movie_id, stars in ratings.items()}


def votes_of(
    weights: Mapping[str, float],
    lists: Mapping[str, tuple[Sequence[str], Sequence[float]]],
    blend: Blend = Blend(),  # noqa: B008  a constant
) -> dict[str, Vote]:
    """Add up what each rated movie says for the movies of its list.

    Args:
        weights: of each rated movie.
        lists: ids and scores of what is similar to each, best first; one may be missing.
        blend: how votes are weighed.

    Returns:
        By movie; never a rated one.
    """
    votes: dict[str, Vote] = {}
    strongest: dict[str, float] = {}
    for rated, weight in weights.items():
        if weight <= 0 or rated not in lists:
            continue
        for place, (movie_id, score) in enumerate(zip(*lists[rated], strict=True)):
            if movie_id in weights:
                continue
            said: float = weight * max(score, 0.0) ** blend.alike
            said /= (place + blend.first_places) ** blend.place
            before = votes.get(movie_id, Vote(0.0, rated))
            because = rated if said > strongest.get(movie_id, 0.0) else before.because
            strongest[movie_id] = max(said, strongest.get(movie_id, 0.0))
            votes[movie_id] = Vote(before.weight + said, because)
    return votes


def blended(
    votes: Mapping[str, Vote],
    counts: Mapping[str, int],
    blend: Blend = Blend(),  # noqa: B008
) -> tuple[list[str], list[float]]:
    """Order movies by their votes and by how many have rated them.

    Args:
        votes: by movie.
        counts: number of ratings of each.
        blend: how votes are weighed.

    Returns:
        Ids and scores, best first; the best has the score 1. Ties go to the smaller id.
    """
    scores = {
        movie_id: vote.weight * (counts[movie_id] + blend.unrated) ** blend.popularity
        for movie_id, vote in votes.items()
        if vote.weight > 0
    }
    order = sorted(scores, key=lambda movie_id: (-scores[movie_id], movie_id))
    most = scores[order[0]] if order else 1.0
    return order, [scores[movie_id] / most for movie_id in order]
