"""Events become interactions: the weights of a user's events of an item add up to one strength.

    strength = sum of weight * 2 ^ (-age / half_life), between -most and most

A return takes back a share of the purchases, whatever their ages, and the views before: where the
events of target kinds and those below 0 do not add up to more than 0, no other event of that user
and item counts. Age is counted up to the newest of all events. An interaction is in the place of
its newest event, as a repeated rating is. Pure functions over arrays.

Shapes: N events, P pairs of a user and an item, K kinds.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reco_batch.data import columns as c
from reco_batch.data.dataset import SECONDS_PER_DAY
from reco_batch.errors import DataRefused
from reco_batch.settings.input_keys import Counting

#: Share of the purchases whose rest is a rounding error: 0.1 + 0.2 - 0.3 is not 0.
_ROUNDING: Final = 1e-9
Value = TypeVar("Value", bound=np.generic)


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
    """Return the weight of each event, [N], before its age counts.

    A kind below 0 stays below 0 whatever the sign of the column `weight`: exports of tills have
    both the kind and a quantity of -1 for a return.
    """
    values = np.ones(len(ratings))
    if counting.weights:
        column = ratings[c.EVENT].cat
        weights = np.array([counting.weights.get(kind, 0.0) for kind in column.categories])
        values = weights[column.codes.to_numpy()]
    if c.WEIGHT in ratings:
        factors = ratings[c.WEIGHT].to_numpy(np.float64)
        values = values * np.where(values < 0, np.abs(factors), factors)
    return values


def sign_note(ratings: pd.DataFrame, counting: Counting | None, name: str) -> tuple[str, ...]:
    """Return a note if kinds below 0 have values below 0 in the column `weight`, named `name`."""
    if counting is None or not counting.weights or c.WEIGHT not in ratings:
        return ()
    below = [kind for kind, weight in counting.weights.items() if weight < 0]
    found = ratings[c.EVENT][ratings[c.WEIGHT] < 0]
    counts = {kind: n for kind in below if (n := int((found == kind).sum()))}
    if not counts:
        return ()
    listed = ", ".join(f"{n:,} {kind}" for kind, n in counts.items())
    sentence = (
        f"events of a kind with a weight below 0 have {name!r} below 0 as well ({listed}): they "
        "count below 0, as without its sign"
    )
    return (sentence,)


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
    aged = values
    if seconds is not None and counting.half_life is not None and len(seconds):
        age = (seconds.max() - seconds) / (SECONDS_PER_DAY * counting.half_life)
        aged = values * np.exp2(-age)
    groups = None if kept is None else _Groups.of(pair, kept)
    totals = _by_pair(np.add, aged, groups)
    if codes is not None and (values < 0).any():
        targets = [place for place, kind in enumerate(counting.weights) if kind in counting.target]
        bought = np.isin(codes, targets) & (values > 0)
        totals = _without_returned(totals, values, aged, groups, bought=bought)
    sums = np.clip(totals, -counting.most, counting.most)
    latest = np.zeros((len(sums), len(counting.weights)), np.uint32)
    if codes is not None:
        stamps = np.ones(len(pair), np.uint32)
        if seconds is not None:
            stamps += seconds.astype(np.uint32)
        for kind in range(latest.shape[1]):
            latest[:, kind] = _by_pair(np.maximum, stamps * (codes == kind), groups)
    return Folded(sums, latest)


def _without_returned(
    totals: NDArray[np.float64],
    values: NDArray[np.float64],
    aged: NDArray[np.float64],
    groups: "_Groups | None",
    *,
    bought: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the sums, [P], without what was returned.

    A return takes back a share of the purchases, by the weights without age: it is younger than
    they are. If nothing is left, the views before it do not count either.

    Args:
        totals: [P] sums with age.
        values: [N] weight of each event.
        aged: [N] the same with age.
        groups: events of each pair.
        bought: [N] True for an event above 0 of a target kind.
    """

    def total(of: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _by_pair(np.add, np.where(inside, of, 0.0), groups)

    below = values < 0
    gross, back = total(values, bought), total(values, below)
    net = gross + back
    net[np.abs(net) <= _ROUNDING * gross] = 0
    left = total(aged, bought) * (net / np.maximum(gross, 1e-300)) + total(aged, ~bought & ~below)
    lost = np.minimum(np.where(net < 0, total(aged, bought | below), 0.0), 0.0)
    return np.where((gross > 0) & (back < 0), np.where(net > 0, left, lost), totals)


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


def _by_pair(function: np.ufunc, values: NDArray[Value], groups: _Groups | None) -> NDArray[Value]:
    """Return a function of the values of each pair, [P]; without groups, each is alone."""
    if groups is None:
        return values
    found = np.empty(len(groups.starts), values.dtype)
    found[groups.place] = function.reduceat(values[groups.order], groups.starts)
    return found
