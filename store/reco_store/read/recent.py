"""Session: what a user did since the run re-orders the precomputed list, without a model.

Each list votes for its movies: with 1 for its first movie, with 0 for its last one, and in
proportion to the scores between them. A movie's score is the vote of the user's list plus
`RECENT_WEIGHT` times the sum of the votes of ``next:<movieId>`` of the recent movies. For a user
without a list, a popular list takes its place, without what the user has rated. Pure functions.
"""

from __future__ import annotations

from itertools import accumulate, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "MAX_RECENT",
    "RECENT_WEIGHT",
    "Reordered",
    "followed",
    "reasons_of",
    "reorder",
    "votes",
]

#: Recent movies whose lists are read, newest first. More of them hardly change a list.
MAX_RECENT: Final = 10
#: Weight of a recent movie's list; that of the user's list is 1. See `benchmarks/recent.py`.
RECENT_WEIGHT: Final = 0.5


class Reordered(NamedTuple):
    """Combined list, best movie first; columns of equal length."""

    ids: list[str]
    scores: Iterator[float]
    sources: Iterator[str]


def followed(recent: Mapping[str, float | None], scale: Sequence[float] | None) -> tuple[str, ...]:
    """Return the recent movies whose lists are added, newest first.

    Args:
        recent: movie id -> stars or None, newest first. A movie with stars below the middle of the
            scale, or below 0 without a scale, is left out, and so are all after the tenth.
        scale: lowest and highest rating; None for implicit feedback.

    Raises:
        UsageError: stars are above the scale.
    """
    least = 0.0
    if scale is not None:
        low, high = scale
        least = (low + high) / 2
        for movie_id, stars in recent.items():
            if stars is not None and stars > high:
                raise UsageError(f"{stars:g} stars of {movie_id!r}: expected at most {high:g}")
    newest = islice(recent.items(), MAX_RECENT)
    return tuple(movie_id for movie_id, stars in newest if stars is None or stars >= least)


def votes(scores: Sequence[float]) -> list[float]:
    """Return the votes of a list for its movies, from 1 down to 0; all 0 if the scores are equal.

    A score that is higher than one before it, because a rule placed the movie there, is lowered to
    the lowest score before it, so the order of the list is kept.
    """
    if not scores:
        return []
    falling = list(scores)
    if falling != sorted(falling, reverse=True):
        falling = list(accumulate(falling, min))
    last = falling[-1]
    width = falling[0] - last
    return [(score - last) / width for score in falling] if width else [0.0] * len(falling)


def reorder(
    own: tuple[Sequence[str], Sequence[float]],
    source: str,
    lists: Iterable[tuple[Sequence[str], Sequence[float]]],
    next_source: str,
    seen: Iterable[str],
    *,
    weight: float = RECENT_WEIGHT,
) -> Reordered:
    """Add the lists of recent movies to a user's list.

    Args:
        own: ids and scores of the user's list, or of the popular list in its place.
        source: its source. A movie has it unless the recent movies' votes outweigh that list's.
        lists: ids and scores of the lists of recent movies, newest first.
        next_source: source of the movies for which they do.
        seen: movies that recent movies' lists do not add.
        weight: weight of a recent movie's list.

    Returns:
        Movies by descending score; equal ones in the order of the user's list, then of the others.
    """
    base = dict(zip(own[0], votes(own[1]), strict=True))
    added: dict[str, float] = {}
    for ids, scores in lists:
        for movie_id, vote in zip(ids, votes(scores), strict=True):
            added[movie_id] = added.get(movie_id, 0.0) + weight * vote
    for movie_id in seen:
        if movie_id not in base:
            added.pop(movie_id, None)
    total = base.copy()
    for movie_id, sum_of_votes in added.items():
        total[movie_id] = total.get(movie_id, 0.0) + sum_of_votes
    order = sorted(total, key=total.__getitem__, reverse=True)  # stable
    # Only the beginning of an answer is looked at, so the other columns are not computed for all.
    return Reordered(
        order,
        map(total.__getitem__, order),
        (
            next_source if added.get(movie_id, 0.0) > base.get(movie_id, -1.0) else source
            for movie_id in order
        ),
    )


def reasons_of(
    own: tuple[Sequence[str], Sequence[float]],
    lists: Mapping[str, tuple[Sequence[str], Sequence[float]]],
) -> dict[str, str]:
    """Return recommended movie -> recent movie, where the lists of recent movies add more.

    Args:
        own: as for `reorder`.
        lists: recent movie -> ids and scores of its list, newest first.

    Returns:
        The recent movie with the largest vote for each movie, the newest of equal ones.
    """
    base = dict(zip(own[0], votes(own[1]), strict=True))
    added: dict[str, float] = {}
    strongest: dict[str, tuple[float, str]] = {}
    for recent, (ids, scores) in lists.items():
        for movie_id, vote in zip(ids, votes(scores), strict=True):
            added[movie_id] = added.get(movie_id, 0.0) + RECENT_WEIGHT * vote
            if movie_id not in strongest or vote > strongest[movie_id][0]:
                strongest[movie_id] = vote, recent
    return {
        movie_id: recent
        for movie_id, (_, recent) in strongest.items()
        if added[movie_id] > base.get(movie_id, -1.0)
    }
