"""Movies that a user's lists leave out, because the user rated them too recently.

Shapes: U users.
"""

from collections.abc import Collection, Mapping

import numpy as np

from reco_batch.data.dataset import (
    SECONDS_PER_DAY,
    Events,
    Histories,
    Ratings,
    histories,
    newest_first,
)
from reco_batch.settings.rules import ALLOWED, NEVER, days_after


def may_return(rule: str | Mapping[str, str], seen: Collection[str]) -> bool:
    """Return whether lists of users may show movies of their history.

    Args:
        rule: `[rules] seen`.
        seen: kinds of events of the histories; empty without events.
    """
    rules = [rule] if isinstance(rule, str) else [rule.get(kind, NEVER) for kind in seen]
    return any(days_after(one) is not None for one in rules)


def keeps_unseen_out(rule: str | Mapping[str, str], seen: Collection[str]) -> bool:
    """Return whether lists of users may leave out movies that no history has; see `may_return`."""
    if isinstance(rule, str):
        return False
    return any(days_after(rule[kind]) != 0 for kind in rule if kind not in seen)


def left_out(
    ratings: Ratings, seen: Histories, *, movie_count: int, repeat_days: float | None
) -> Histories:
    """Return the movies that each user's lists leave out, newest first.

    Args:
        ratings: ratings of the users, each pair of user and movie once, at its latest time.
        seen: listed movies of each user's history, newest first, [U] rows.
        movie_count: number of listed movies; later ones are in no list anyway.
        repeat_days: days after a rating from which its movie may be shown again, counted up to the
            newest of all ratings; 0: at once; None: never.

    Raises:
        ValueError: days are counted, but the ratings have no times.
    """
    if repeat_days is None:
        return seen
    user_count = len(seen.offsets) - 1
    if repeat_days == 0 or not len(ratings):
        return Histories(np.zeros(user_count + 1, np.int64), np.zeros(0, np.int32))
    if ratings.timestamp is None:
        raise ValueError("ratings without timestamps; expected ratings with them")
    first = int(ratings.timestamp.max()) - repeat_days * SECONDS_PER_DAY
    order = newest_first(ratings)
    recent = ratings.take(order[ratings.timestamp[order] > first])
    return histories(
        recent, user_count=user_count, order=np.arange(len(recent), dtype=np.int64)
    ).below(movie_count)


def left_out_by_kind(
    ratings: Ratings,
    events: Events,
    seen: Histories,
    *,
    movie_count: int,
    rules: Mapping[str, str],
) -> Histories:
    """Return the movies that each user's lists leave out, newest first, by the kinds of events.

    Args:
        ratings: interactions of the users.
        events: kinds of their events.
        seen: listed movies of each user's history, newest first, [U] rows.
        movie_count: number of listed movies; later ones are in no list anyway.
        rules: kind -> how long lists leave out a movie after such an event, as in `[rules] seen`.
            Of the other kinds, those that count as seen keep a movie out for ever.
    """
    newest = int(events.latest.max(initial=0))
    is_out = np.zeros(len(ratings), bool)
    for kind in events.kinds:
        days = days_after(rules.get(kind, NEVER if kind in events.seen else ALLOWED))
        first = 0 if days is None else max(newest - days * SECONDS_PER_DAY, 0)
        is_out |= events.of([kind]) > first
    order = newest_first(ratings)
    recent = ratings.take(order[is_out[order]])
    count = len(seen.offsets) - 1
    return histories(recent, user_count=count, order=np.arange(len(recent))).below(movie_count)
