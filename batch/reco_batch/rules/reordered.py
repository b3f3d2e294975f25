"""Places of lists by caps, new movies and diversity, from candidates by descending score.

The places are filled one after the other. A place goes to the candidate with the best score that
no cap forbids; to the best such new movie, if fewer new movies than their share precede it; and
with diversity, in the first places, to the candidate with the best

    (1 - diversity) * relevance - diversity * largest similarity to an earlier place

among those with the best scores (maximal marginal relevance). If nothing is left that the caps
allow, they give way: lists are never shorter than without rules.

The result is the same as if all movies were candidates: a row whose candidates may not suffice is
repeated with more (`widen`).

Shapes: R rows, M candidates of a row, P of them for diversity, k list length, I movies.
Source: Carbonell and Goldstein, The use of MMR, diversity-based reranking (SIGIR 1998).
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.rules.list_rules import VARIED_AMONG, VARIED_PLACES, Cap, ListRules

#: Factor by which candidates grow for the rows that need more.
_MORE: Final = 4


class Ordered(NamedTuple):
    """Movies of some rows by descending score, then by ascending index."""

    items: NDArray[np.int32]  # [R, M] movie indices; -1 if none is left
    scores: NDArray[np.float32]  # [R, M]; -inf where items is -1


class Best(NamedTuple):
    """Functions that return the best movies of some rows of a tile."""

    of_all: Callable[[NDArray[np.int64], int], Ordered]
    """Takes rows and a number of movies."""
    of_new: Callable[[NDArray[np.int64], int], Ordered]
    """Takes rows and a number of movies, and returns the best of the new ones."""


def reordered(found: Ordered, best: Best, rules: ListRules, *, k: int, item_count: int) -> Ordered:
    """Return the k movies of each row in the places that the rules give them.

    Args:
        found: the best `rules.candidates(k)` movies of each row, or all.
        best: returns more of them.
        rules: rules that reorder.
        k: list length.
        item_count: I.

    Returns:
        [R, k] movies; scores are those of the movies, and may rise.
    """
    items = np.full((len(found.items), k), -1, np.int32)
    scores = np.full(items.shape, -np.inf, np.float32)
    rows, width = np.arange(len(items)), found.items.shape[1]
    new = 0 if rules.new is None else rules.new.due(k - 1)
    while len(rows):
        everything = width >= item_count
        arrivals, more_new = _arrivals(found, best, rules, rows, width if everything else new)
        places = _Places(
            _joined(found, arrivals), more_new, width, rules, k=k, everything=everything
        )
        items[rows], scores[rows] = places.filled()
        rows = rows[places.is_short]
        width, new = min(_MORE * width, item_count), _MORE * new
        if len(rows):
            found = best.of_all(rows, width)
    return Ordered(items, scores)


def _arrivals(
    found: Ordered, best: Best, rules: ListRules, rows: NDArray[np.int64], most: int
) -> tuple[Ordered, NDArray[np.bool_]]:
    """Return the best new movies of each row that are not among its candidates.

    Also returns which rows may have more of them, [R].
    """
    count = 0 if rules.new is None else len(rules.new.movie_index)
    if not count:
        return Ordered(found.items[:, :0], found.scores[:, :0]), np.zeros(len(rows), np.bool_)
    most = max(1, min(most, count))
    items, scores = best.of_new(rows, most)
    last_item, last_score = found.items[:, -1:], found.scores[:, -1:]
    # The candidates are all movies up to the last one.
    inside = (scores > last_score) | ((scores == last_score) & (items <= last_item))
    inside |= last_item < 0
    outside = Ordered(np.where(inside, -1, items), np.where(inside, np.float32(-np.inf), scores))
    return outside, (items[:, -1] >= 0) & (most < count)


def _joined(found: Ordered, arrivals: Ordered) -> Ordered:
    if not arrivals.items.shape[1]:
        return found
    both = (np.concatenate(pair, axis=1) for pair in zip(found, arrivals, strict=True))
    return Ordered(*both)


class _Places:
    """Places of some rows that are filled one after the other."""

    def __init__(
        self,
        found: Ordered,
        more_new: NDArray[np.bool_],
        width: int,
        rules: ListRules,
        *,
        k: int,
        everything: bool,
    ) -> None:
        self._found, self._width, self._rules, self._k = found, width, rules, k
        self._row = np.arange(len(found.items))
        self._free = found.items >= 0
        self._count = self._free.sum(axis=1)
        #: A row may have more movies than these candidates.
        self._has_more = self._free[:, width - 1] & (not everything)
        self.is_short = np.zeros(len(found.items), np.bool_)
        #: A row may have more new movies than these candidates.
        self._more_new = more_new
        self._chosen = np.full((len(found.items), k), -1, np.int64)  # positions of candidates
        self._is_new: NDArray[np.bool_] | None = None
        if rules.new is not None:
            newness = np.zeros(int(found.items.max(initial=0)) + 2, np.bool_)
            newness[rules.new.movie_index[rules.new.movie_index < len(newness) - 1]] = True
            self._is_new = newness[found.items]
            self._new_shown = np.zeros(len(found.items), np.int64)
        self._caps = [_Capped(cap, found.items) for cap in rules.caps]
        self._variety = _Variety(found, rules) if rules.diversity else None

    def filled(self) -> Ordered:
        """Return the movies of all places, [R, k]."""
        last = max((cap.first for cap in self._caps), default=0)
        head = min(self._k, max(last, VARIED_PLACES if self._variety else 0))
        for place in range(head):
            self._fill_one(place)
        if head < self._k:
            self._chosen[:, head:] = self._tail(head)
        is_left = self._chosen >= 0
        items, scores = (np.take_along_axis(one, self._chosen, axis=1) for one in self._found)
        return Ordered(np.where(is_left, items, -1), np.where(is_left, scores, np.float32(-np.inf)))

    def _fill_one(self, place: int) -> None:
        caps = [cap for cap in self._caps if place < cap.first]
        if self._variety is not None and not caps and self._is_new is None:
            self._put(place, self._variety.best(), place < self._count)
            return
        fitting = self._free
        for cap in caps:
            fitting = fitting > cap.is_full
        chosen, fits = _first(fitting)
        # A movie outside of the candidates may have a better score than one of the arrivals.
        self.is_short |= self._has_more & (~fits | (chosen >= self._width))
        if self._variety is not None and place < VARIED_PLACES:
            chosen = self._variety.choice(fitting, chosen)
        if self._is_new is not None:
            chosen, fits = self._new_choice(place, fitting & self._is_new, chosen, fits)
        is_left = fits
        if not fits.all():
            relaxed, is_left = _first(self._free)
            chosen = np.where(fits, chosen, relaxed)
        self._put(place, chosen, is_left)

    def _new_choice(
        self,
        place: int,
        fitting: NDArray[np.bool_],
        chosen: NDArray[np.int64],
        fits: NDArray[np.bool_],
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the choices with the best new movie in the rows where one is due."""
        assert self._rules.new is not None  # noqa: S101  # the caller has checked it
        is_due = self._new_shown < self._rules.new.due(place)
        newest, is_there = _first(fitting)
        self.is_short |= is_due & ~is_there & self._more_new
        takes = is_due & is_there
        return np.where(takes, newest, chosen), fits | takes

    def _put(self, place: int, chosen: NDArray[np.int64], is_left: NDArray[np.bool_]) -> None:
        self._chosen[:, place] = np.where(is_left, chosen, -1)
        self._free[self._row, chosen] = False
        if self._is_new is not None:
            self._new_shown += self._is_new[self._row, chosen] & is_left
        for cap in self._caps:
            if place < cap.first - 1:
                cap.count(chosen, is_left)
        if self._variety is not None and place < VARIED_PLACES - 1:
            self._variety.add(chosen)

    def _tail(self, head: int) -> NDArray[np.int64]:
        """Return the candidates of the places from `head` on, [R, k - head]; -1 if none is left.

        These depend on scores and new movies alone, so no place waits for the one before it. There
        are always enough candidates: k movies, and as many new ones as are due.
        """
        count = self._k - head
        others = self._free if self._is_new is None else self._free > self._is_new
        order = np.argsort(~others, axis=1, kind="stable")[:, :count]
        order = np.where(np.take_along_axis(others, order, axis=1), order, -1)
        order = np.pad(order, ((0, 0), (0, count - order.shape[1])), constant_values=-1)
        if self._is_new is None:
            return order
        chosen = np.full((len(order), count), -1, np.int64)
        row, column = np.nonzero(self._free & self._is_new)
        place = self._new_places(head, row, column)
        inside = place < self._k
        chosen[row[inside], place[inside] - head] = column[inside]
        is_open = chosen < 0
        row, place = np.nonzero(is_open)
        chosen[row, place] = order[row, np.cumsum(is_open, axis=1)[row, place] - 1]
        return chosen

    def _new_places(
        self, head: int, row: NDArray[np.int64], column: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the places of the new movies from `head` on.

        A new movie is shown when all better movies are, or when it is due, whichever is first.

        Args:
            head: first place.
            row: rows of new movies that are left, ascending, [N].
            column: their positions among the candidates, [N].
        """
        assert self._rules.new is not None  # noqa: S101  # the caller has checked it
        left = np.bincount(row, minlength=len(self._row))  # [R]
        before = np.arange(len(row)) - np.repeat(np.cumsum(left) - left, left)
        by_score = head + np.cumsum(self._free, axis=1)[row, column] - 1
        due = np.array([self._rules.new.due(place) for place in range(self._k)])
        # Never later than the first place at which more are due than are shown before it.
        by_share = np.searchsorted(due, self._new_shown[row] + before, side="right")
        by_share = np.maximum(by_share, head + before)
        return np.asarray(np.minimum(by_score, by_share))


class _Capped:
    """Candidates of whose values there are enough movies in the places so far."""

    def __init__(self, cap: Cap, items: NDArray[np.int32]) -> None:
        self.first = cap.first
        self.is_full = np.zeros(items.shape, np.bool_)
        self._at_most = cap.at_most
        self._values = cap.values[items]  # [R, M, W]; empty places are not free
        self._shown = np.zeros((len(items), 0, cap.values.shape[1]), np.int32)  # [R, places, W]

    def count(self, chosen: NDArray[np.int64], is_left: NDArray[np.bool_]) -> None:
        """Count the movie that each row shows next."""
        own = self._values[np.arange(len(chosen)), chosen]  # [R, W]
        own = np.where(is_left[:, np.newaxis], own, -1)
        self._shown = np.concatenate([self._shown, own[:, np.newaxis]], axis=1)
        for column in own.T:
            value = column[:, np.newaxis, np.newaxis]
            count = (self._shown == value).any(axis=2).sum(axis=1)
            full = np.flatnonzero((count >= self._at_most) & (column >= 0))
            self.is_full[full] |= (self._values[full] == value[full]).any(axis=2)


class _Variety:
    """Marginal relevance of the best candidates, given the places so far."""

    def __init__(self, found: Ordered, rules: ListRules) -> None:
        assert rules.vectors is not None  # noqa: S101  # `with_vectors` was called
        self._found, self._vectors, self._weight = found, rules.vectors, np.float32(rules.diversity)
        items, scores = (one[:, :VARIED_AMONG] for one in found)
        self._row = np.arange(len(items))
        self._of_pool = rules.vectors[items]  # [R, P, S]
        last = np.where(items >= 0, scores, np.inf).min(axis=1, keepdims=True)
        spread = scores[:, :1] - last
        relevance = np.divide(
            scores - last, spread, out=np.zeros_like(scores), where=(spread > 0) & (items >= 0)
        )
        self._relevance = (1 - self._weight) * relevance  # [R, P]
        # What is opposite counts as unrelated, so the value is never above the relevance.
        self._value = np.where(items >= 0, self._relevance, np.float32(-np.inf))

    def best(self) -> NDArray[np.int64]:
        """Return the best of the candidates that are left, [R]; any one where none is."""
        return np.asarray(self._value.argmax(axis=1))

    def choice(self, fitting: NDArray[np.bool_], otherwise: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the best of the fitting candidates; `otherwise` where the pool has none."""
        fits = fitting[:, : self._value.shape[1]]
        value = np.where(fits, self._value, np.float32(-np.inf))
        best = value.argmax(axis=1)
        return np.where(value[self._row, best] > -np.inf, best, otherwise)

    def add(self, chosen: NDArray[np.int64]) -> None:
        """Compare the candidates with the one that each row shows next."""
        own = self._vectors[self._found.items[self._row, chosen]]  # [R, S]
        alike = np.matmul(self._of_pool, own[:, :, np.newaxis])[:, :, 0]
        alike *= -self._weight
        alike += self._relevance
        np.minimum(self._value, alike, out=self._value)
        inside = chosen < self._value.shape[1]
        self._value[self._row[inside], chosen[inside]] = -np.inf


def _first(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the position of the first true value of each row, and whether there is one."""
    position = mask.argmax(axis=1)
    return position, mask[np.arange(len(mask)), position]
