"""Rules of lists: equal to a plain implementation that looks at every movie, place by place."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.data.dataset import Histories
from reco_batch.rules.list_rules import (
    VARIED_AMONG,
    VARIED_PLACES,
    Cap,
    ListRules,
    NewMovies,
)
from reco_batch.scoring import topk
from reco_batch.scoring.topk import top_k_blocks


def plain(scores, excluded, rules, k):
    """Return one user's list, by the definition."""
    scores = scores.copy()
    if rules.boost is not None:
        scores += rules.boost * np.float32(scores.std())
    left = [
        item
        for item in np.lexsort((np.arange(len(scores)), -scores)).tolist()
        if item not in excluded and (rules.eligible is None or rules.eligible[item])
    ]
    pool = left[:VARIED_AMONG]
    new = set() if rules.new is None else set(rules.new.movie_index.tolist())
    shown = []
    while left and len(shown) < k:
        shown.append(choice(left, pool, shown, scores, rules, new))
        left.remove(shown[-1])
    return shown


def choice(left, pool, shown, scores, rules, new):
    """Return the movie of the next place."""
    place = len(shown)
    fitting = [item for item in left if all(fits(cap, item, shown) for cap in rules.caps)]
    due = 0 if rules.new is None else math.floor(rules.new.share * (place + 1) + 1e-9)
    arrivals = [item for item in fitting if item in new]
    if arrivals and len(new.intersection(shown)) < due:
        return arrivals[0]
    varied = [item for item in fitting if item in pool]
    if rules.diversity and place < VARIED_PLACES and varied:
        return max(varied, key=lambda item: marginal(item, pool, shown, scores, rules))
    return fitting[0] if fitting else left[0]


def fits(cap, item, shown):
    """Return whether a cap allows a movie in the next place."""
    if len(shown) >= cap.first:
        return True
    own = set(cap.values[item].tolist()) - {-1}
    return all(
        sum(value in cap.values[other].tolist() for other in shown) < cap.at_most for value in own
    )


def marginal(item, pool, shown, scores, rules):
    """Return the marginal relevance of a movie."""
    weight = np.float32(rules.diversity)
    spread = scores[pool[0]] - scores[pool[-1]]
    relevance = (scores[item] - scores[pool[-1]]) / spread if spread > 0 else np.float32(0)
    alike = [rules.vectors[item] @ rules.vectors[other] for other in shown]
    return (1 - weight) * relevance - weight * max([np.float32(0), *alike])


@st.composite
def cases(draw):
    """Draw small catalogues with ties, many exclusions and every combination of rules."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, users = draw(st.integers(1, 160)), draw(st.integers(1, 4))
    queries = rng.integers(-3, 4, (users, 2)).astype(np.float32)
    items = rng.integers(-3, 4, (count, 2)).astype(np.float32)
    gone = [set(np.flatnonzero(rng.random(count) < draw(SHARES)).tolist()) for _ in range(users)]
    caps = tuple(
        Cap(codes(rng, count, draw(st.integers(1, 3))), draw(st.integers(1, 3)), draw(LENGTHS))
        for _ in range(draw(st.integers(0, 2)))
    )
    new = np.flatnonzero(rng.random(count) < draw(SHARES)).astype(np.int32)
    # One coordinate each, so that every dot product is exact.
    vectors = np.eye(3, dtype=np.float32)[rng.integers(0, 3, count)]
    rules = ListRules(
        rng.random(count) < draw(st.sampled_from([0.3, 0.9])) if draw(st.booleans()) else None,
        rng.choice([0, 0, 0.5, -1], count).astype(np.float32) if draw(st.booleans()) else None,
        caps,
        NewMovies(new, draw(st.sampled_from([0.1, 0.2, 0.5, 1.0])))
        if draw(st.booleans())
        else None,
        draw(st.sampled_from([0.0, 0.25, 0.75, 1.0])),
        vectors,
    )
    return queries, items, gone, rules, draw(st.integers(1, count))


SHARES = st.sampled_from([0.0, 0.05, 0.3, 0.9])
LENGTHS = st.sampled_from([1, 3, 10, 50])


def codes(rng, count, width):
    """Return a few values of each movie, mostly the same one, different within a movie."""
    first = rng.choice([0, 0, 0, 0, 1, 2, -1], count)
    return np.stack([np.where(first < 0, -1, first * 3 + n) for n in range(width)], 1).astype("i4")


@settings(max_examples=300, deadline=None)
@given(cases())
def test_lists_are_those_of_the_definition(case):
    """Every place is right, and the lists are full."""
    queries, items, gone, rules, k = case
    rows = [sorted(row) for row in gone]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    excluded = Histories(offsets, np.array([item for row in rows for item in row], np.int32))

    found = next(iter(top_k_blocks(queries, items, excluded, k=k, threads=1, rules=rules)))

    scores = queries @ items.T
    for row, own in enumerate(scores):
        wanted = plain(own, gone[row], rules, k)
        assert found.items[row].tolist() == wanted + [-1] * (k - len(wanted))
        listed = found.items[row][: len(wanted)]
        if rules.boost is None:
            np.testing.assert_array_equal(found.scores[row][: len(wanted)], own[listed])


def test_lists_do_not_depend_on_threads_or_tiles(monkeypatch):
    """Three tiles by two threads are one tile by one."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(700, 8)).astype(np.float32)
    queries = rng.normal(size=(150, 8)).astype(np.float32)
    rules = ListRules(
        rng.random(700) < 0.9,
        np.where(rng.random(700) < 0.1, 0.7, 0).astype(np.float32),
        (Cap(rng.integers(0, 9, (700, 1), np.int32), 1, 10),),
        NewMovies(np.arange(0, 700, 50, dtype=np.int32), 0.2),
        0.3,
    ).with_vectors(items)
    once = next(iter(top_k_blocks(queries, items, None, k=40, threads=1, rules=rules)))
    monkeypatch.setattr(topk, "_MOST_TILE_ROWS", 64)
    again = next(iter(top_k_blocks(queries, items, None, k=40, threads=2, rules=rules)))

    np.testing.assert_array_equal(once.items, again.items)


@pytest.mark.parametrize("share", [0.2, 0.1, 0.3])
def test_the_share_of_new_movies_holds_at_every_place(share):
    """At least share * n of the first n places have new movies, whatever their scores."""
    items = np.arange(500, 0, -1, dtype=np.float32)[:, np.newaxis]
    rules = ListRules(new=NewMovies(np.arange(400, 500, dtype=np.int32), share))
    found = next(
        iter(top_k_blocks(np.ones((1, 1), "f4"), items, None, k=100, threads=1, rules=rules))
    )

    shown = np.cumsum(found.items[0] >= 400)
    assert (shown >= np.floor(share * np.arange(1, 101) + 1e-9)).all()
    assert shown[-1] == round(100 * share)


def test_a_due_new_movie_is_looked_for_beyond_those_that_the_caps_forbid():
    """The best new movies are of a brand that is shown; the next two are not, and are due."""
    items = np.arange(60, 0, -1, dtype=np.float32)[:, np.newaxis]
    brand = np.arange(60, dtype=np.int32)[:, np.newaxis]
    brand[[40, 41]] = brand[0]
    new = NewMovies(np.array([40, 41, 50, 51], np.int32), 0.2)
    rules = ListRules(caps=(Cap(brand, 1, 10),), new=new)
    found = next(
        iter(top_k_blocks(np.ones((1, 1), "f4"), items, None, k=10, threads=1, rules=rules))
    )

    assert found.items[0].tolist() == [0, 1, 2, 3, 50, 4, 5, 6, 7, 51]
