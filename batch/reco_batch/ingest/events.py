"""Events become interactions: the weights of a user's events of an item add up to one strength.

    strength = sum of weight * 2 ^ (-age / half_life), between -most and most

Age is counted up to the newest of all events. An interaction is in the place of its newest event,
as a repeated rating is. Pure functions over arrays.

Shapes: N events, P pairs of a user and an item, K kinds.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reco_batch.data import columns as c
from reco_batch.data.dataset import SECONDS_PER_DAY
from reco_batch.errors import DataRefused
from reco_batch.settings.input_keys import Counting


class Folded(NamedTuple):
    """One interaction for each pair."""

    strength: NDArray[np.float64]  # [P]
    latest: NDArray[np.uint32]  # [P, K] as in `Events.latest`


def kinds_of(ratings: pd.DataFrame) -> dict[str, int]:
    """Return the number of events of each kind, most frequent first; empty without kinds."""
    if c.EVENT not in ratings:
        return {}
    codes = ratings[c.EVENT].cat.codes.to_numpy()
    counts = np.bincount(codes[codes >= 0], minlength=len(ratings[c.EVENT].cat.categories))
    found = zip(ratings[c.EVENT].cat.categories, counts.tolist(), strict=True)
    return {kind: n for kind, n in sorted(found, key=lambda one: (-one[1], one[0])) if n}


def require_kinds(found: Mapping[str, int], counting: Counting | None, file: str) -> None:
    """Refuse kinds of events without a weight, and kinds to predict that no event has.

    Args:
        found: number of events of each kind, from `kinds_of`.
        counting: weights of the kinds; None if the ratings are no events.
        file: name of the table.

    Raises:
        DataRefused: with the kinds, their numbers and what to write.
    """
    if counting is None or not counting.weights:
        return
    listed = ", ".join(f"{kind!r} ({count:,} rows)" for kind, count in found.items())
    without = [kind for kind in found if kind not in counting.weights]
    if without:
        raise DataRefused(
            f"the kinds of events are {listed}, and {', '.join(map(repr, without))} has no weight",
            "a weight for each kind",
            f"Write {without[0]!r} = 1, or another weight, in [input.events], or leave such rows "
            "out of the table.",
            file,
        )
    missing = [kind for kind in counting.target if kind not in found]
    if missing:
        raise DataRefused(
            f"the kinds of events are {listed}, and no row is {' or '.join(map(repr, missing))}, "
            "which is to be predicted",
            "rows of each kind in target_events",
            "Correct [input.events], or set target_events in [input].",
            file,
        )


def values_of(ratings: pd.DataFrame, counting: Counting) -> NDArray[np.float64]:
    """Return the weight of each event, [N], before its age counts."""
    values = np.ones(len(ratings))
    if counting.weights:
        column = ratings[c.EVENT].cat
        weights = np.array([counting.weights.get(kind, 0.0) for kind in column.categories])
        values = weights[column.codes.to_numpy()]
    if c.WEIGHT in ratings:
        values = values * ratings[c.WEIGHT].to_numpy(np.float64)
    return values


def codes_of(ratings: pd.DataFrame, counting: Counting) -> NDArray[np.int16] | None:
    """Return the place of each event's kind in the weights, [N]; None without kinds."""
    if not counting.weights:
        return None
    place = {kind: at for at, kind in enumerate(counting.weights)}
    column = ratings[c.EVENT].cat
    places = np.array([place.get(kind, -1) for kind in column.categories], np.int16)
    return places[column.codes.to_numpy()]


def folded(
    pair: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    kept: NDArray[np.int64] | None,
    seconds: NDArray[np.int64] | None,
    codes: NDArray[np.int16] | None,
    counting: Counting,
) -> Folded:
    """Return the interactions of the pairs.

    Args:
        pair: [N] number of each event's pair of a user and an item.
        values: [N] weight of each event.
        kept: [P] row of the newest event of each pair, in the order of the result; None: all rows.
        seconds: [N] times; None without times, in which case age does not count.
        codes: [N] kind of each event; None without kinds.
        counting: limits of the sum, half-life and kinds.

    Cost:
        O(N log N) time for one sort; at most 50 bytes an event besides the result.
    """
    if seconds is not None and counting.half_life is not None and len(seconds):
        age = (seconds.max() - seconds) / (SECONDS_PER_DAY * counting.half_life)
        values = values * np.exp2(-age)
    groups = None if kept is None else _Groups.of(pair, kept)
    sums = np.clip(_by_pair(np.add, values, groups), -counting.most, counting.most)
    latest = np.zeros((len(sums), len(counting.weights)), np.uint32)
    if codes is not None:
        stamps = np.ones(len(pair), np.uint32)
        if seconds is not None:
            stamps += seconds.astype(np.uint32)
        for kind in range(latest.shape[1]):
            latest[:, kind] = _by_pair(np.maximum, stamps * (codes == kind), groups)
    return Folded(sums, latest)


class _Groups(NamedTuple):
    """Events sorted by their pair."""

    order: NDArray[np.int64]  # [N] rows
    starts: NDArray[np.int64]  # [P] first place of each pair in `order`
    place: NDArray[np.int64]  # [P] place of each pair in the result

    @classmethod
    def of(cls, pair: NDArray[np.int64], kept: NDArray[np.int64]) -> "_Groups":
        order = np.argsort(pair, kind="stable")
        ordered = pair[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        is_kept = np.zeros(len(pair), bool)
        is_kept[kept] = True
        place = (np.cumsum(is_kept) - 1)[order[is_kept[order]]]  # one is kept of each pair
        return cls(order, starts, place)


def _by_pair(
    function: np.ufunc, values: NDArray[np.generic], groups: _Groups | None
) -> NDArray[np.generic]:
    """Return a function of the values of each pair, [P]; without groups, each is alone."""
    if groups is None:
        return values
    found = np.empty(len(groups.starts), values.dtype)
    found[groups.place] = function.reduceat(values[groups.order], groups.starts)
    return found
