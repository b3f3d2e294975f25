"""Lists that exceed a cap without need are those of the definition, place by place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.data.dataset import Histories
from reco_batch.evaluation.cap_breaches import CapBreaches
from reco_batch.evaluation.top10_diversity import Tile
from reco_batch.rules.list_rules import Cap


def allows(cap, item, shown):
    """Return whether a cap allows a movie in the place after those shown."""
    own = set(cap.values[item].tolist()) - {-1}
    return len(shown) >= cap.first or all(
        sum(value in cap.values[other] for other in shown) < cap.at_most for value in own
    )


def is_breach(row, gone, caps, eligible):
    """Return whether a place has a movie that a cap forbids while another one was left."""
    for place, item in enumerate(row):
        shown = [one for one in row[:place] if one >= 0]
        at_place = [cap for cap in caps if place < cap.first]
        if item < 0 or all(allows(cap, item, shown) for cap in at_place):
            continue
        left = set(np.flatnonzero(eligible).tolist()) - set(gone) - set(shown)
        if any(all(allows(cap, one, shown) for cap in at_place) for one in left):
            return True
    return False


def tile_of(lists, gone):
    """Join lists and histories as one tile."""
    ends = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    left_out = np.concatenate([[0], np.cumsum([len(row) for row in gone])]).astype(np.int64)
    histories = Histories(left_out, np.array([m for row in gone for m in row], np.int32))
    row = np.repeat(np.arange(len(lists)), np.diff(ends))
    return Tile(np.array([m for one in lists for m in one], np.int32), ends, row, None, histories)


@st.composite
def cases(draw):
    """Draw lists of movies with few values, some of them several."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    movies, width = draw(st.integers(1, 12)), draw(st.integers(1, 2))
    caps = []
    for _ in range(draw(st.integers(1, 2))):
        first = rng.integers(-1, 4, movies)
        values = np.stack([np.where(first < 0, -1, 5 * n + first) for n in range(width)], 1)
        caps.append(Cap(values.astype(np.int32), draw(st.integers(1, 2)), draw(st.integers(1, 6))))
    orders = [rng.permutation(movies).tolist() for _ in range(draw(st.integers(1, 6)))]
    lists = [row[: rng.integers(0, movies + 1)] for row in orders]
    gone = [
        [m for m in row[len(own) :] if rng.random() < 0.5]
        for row, own in zip(orders, lists, strict=True)
    ]
    for row in lists:
        if row and rng.random() < 0.1:
            row[-1] = -1
    return lists, gone, caps, rng.random(movies) < 0.8


@settings(max_examples=300, deadline=None)
@given(cases())
def test_breaches_are_those_of_the_definition(case):
    """Short lists, unknown movies, several caps and movies with several values agree."""
    lists, gone, caps, eligible = case

    found = CapBreaches(caps, eligible).count(tile_of(lists, gone))

    assert found == sum(is_breach(*pair, caps, eligible) for pair in zip(lists, gone, strict=True))


@pytest.mark.parametrize(
    ("row", "gone", "breaches"),
    [
        ([0, 1], [], 1),
        ([0, 1], [2], 0),
        ([0, 2], [], 0),
        ([0, 2, 1], [], 0),
    ],
)
def test_a_cap_gives_way_where_no_other_movie_is_left(row, gone, breaches):
    """Two movies of one brand and one of another, at most one of a brand in two places."""
    cap = Cap(np.array([[0], [0], [1]], np.int32), 1, 2)

    assert CapBreaches([cap], np.ones(3, np.bool_)).count(tile_of([row], [gone])) == breaches


def test_a_cap_does_not_count_beyond_its_places():
    """The third movie is left for the second place: its brand is capped in the first one only."""
    brand = Cap(np.array([[0], [1], [0]], np.int32), 1, 1)
    colour = Cap(np.array([[5], [5], [6]], np.int32), 1, 2)

    judge = CapBreaches([brand, colour], np.ones(3, np.bool_))

    assert judge.count(tile_of([[0, 1]], [[]])) == 1
