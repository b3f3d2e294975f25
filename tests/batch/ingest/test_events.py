"""Events of a user and an item against a plain reference, and which tables are refused."""

import math

import numpy as np
import pandas as pd
import pytest

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows
from reco_batch.ingest.readers import RawTables
from reco_batch.ingest.validate import build_dataset
from reco_batch.scoring.popularity import Recency, recent_counts, recent_lists
from reco_batch.settings.input_keys import ColumnKeys, InputKeys

DAY = 86_400
START = 1_600_000_000
KINDS = {"view": 1.0, "add to cart": 3.0, "purchase": 5.0, "return": -4.0}


def counting(*, weight=False, **more):
    """Return how events are counted, for settings of [input]."""
    columns = ColumnKeys(event="kind", weight="quantity" if weight else None)
    return InputKeys(columns=columns, **{"events": KINDS, **more}).counting


def tables(rows, *, times=True, weights=False, kinds=True):
    """Return tables of rows: user, item, kind, seconds and weight."""
    users, items, own, seconds, quantities = zip(*rows, strict=True)
    frame = pd.DataFrame({c.USER_ID: pd.Categorical(users), c.MOVIE_ID: pd.Categorical(items)})
    if kinds:
        frame[c.EVENT] = pd.Categorical(own)
    if times:
        frame[c.TIMESTAMP] = np.array(seconds, np.int64)
    if weights:
        frame[c.WEIGHT] = np.array(quantities, float)
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    names = sorted(set(items))
    movies = pd.DataFrame({c.MOVIE_ID: names, c.TITLE: names})
    movies.index = pd.RangeIndex(2, len(movies) + 2)
    return RawTables(frame, movies, "events.csv", "items.csv")


def built(rows, how, **form):
    """Return the data set of some rows."""
    return build_dataset(tables(rows, **form), rating_scale=(0.5, 5), counting=how)


def drawn(rng):
    """Draw a table in which pairs repeat; one purchase and one cart are never returned."""
    count = int(rng.integers(1, 40))
    names = list(KINDS)
    rows = [
        (
            f"u{rng.integers(4)}",
            f"i{rng.integers(4)}",
            names[rng.choice(4, p=[0.5, 0.2, 0.2, 0.1])],
            START + int(rng.integers(0, 100)) * DAY // 4,
            float(rng.choice([1, 2, 0.5])),
        )
        for _ in range(count)
    ]
    return [*rows, *(("u9", "i9", kind, START, 1.0) for kind in ("purchase", "add to cart"))]


def by_hand(rows, how, *, times, weights):
    """Add up the events in a loop: pair -> strength, times of its kinds, its newest row."""
    newest = max(row[3] for row in rows)
    pairs = {}
    for place, (user, item, kind, seconds, weight) in enumerate(rows):
        value = how.weights[kind] * (weight if weights else 1)
        half_lives = (newest - seconds) / DAY / how.half_life if times and how.half_life else 0
        sums, latest, key = pairs.get((user, item), ({}, {}, (-1, -1)))
        part = "back" if value < 0 else "bought" if kind in how.target else "other"
        whole, aged = sums.get(part, (0.0, 0.0))
        sums = {**sums, part: (whole + value, aged + value * 0.5**half_lives)}
        latest = {**latest, kind: max(latest.get(kind, 0), seconds)}
        pairs[user, item] = sums, latest, max(key, (seconds if times else 0, place))
    return {
        pair: (min(max(strength_of(sums), -how.most), how.most), latest, place)
        for pair, (sums, latest, (_, place)) in pairs.items()
    }


def strength_of(sums):
    """Return the strength from the sums, without and with age, of each part of a pair's events."""
    none = (0.0, 0.0)
    (bought, aged), (back, aged_back) = sums.get("bought", none), sums.get("back", none)
    other = sums.get("other", none)[1]
    if not bought or not back:
        return aged + aged_back + other
    left = bought + back
    if abs(left) < 1e-9:
        return 0.0
    return aged * left / bought + other if left > 0 else min(aged + aged_back, 0.0)


@pytest.mark.parametrize("block", range(10))
def test_conversion_equals_a_loop(block):
    """300 random tables: sums, limit, age, kinds that are seen, kinds to predict, and order."""
    for seed in range(30 * block, 30 * block + 30):
        rng = np.random.default_rng(seed)
        rows, times, weights = drawn(rng), bool(rng.random() < 0.7), bool(rng.random() < 0.3)
        settings = {
            "max_strength": float(rng.choice([4, 8])) if rng.random() < 0.5 else None,
            "half_life": float(rng.choice([2, 30])) if times and rng.random() < 0.5 else None,
            "seen_events": ("purchase", "return") if rng.random() < 0.5 else (),
            "target_events": ("purchase", "add to cart") if rng.random() < 0.3 else (),
        }
        how = counting(weight=weights, **settings)

        data = built(rows, how, times=times, weights=weights)

        expected = by_hand(rows, how, times=times, weights=weights)
        order = sorted(expected, key=lambda pair: expected[pair][2])
        ratings, events = data.ratings, data.events
        ids, items = data.user_ids, data.movies.ids
        found = [
            (ids[u], items[i]) for u, i in zip(ratings.user_index, ratings.movie_index, strict=True)
        ]
        assert found == order
        strengths = np.array([expected[pair][0] for pair in order])
        mean = strengths[strengths > 0].mean()
        own = np.ones(len(order)) if ratings.strength is None else ratings.strength
        np.testing.assert_allclose(own, strengths / mean, rtol=1e-5, atol=1e-6)
        latest = [expected[pair][1] for pair in order]
        seen = settings["seen_events"] or ("view", "add to cart", "purchase")
        assert events.is_seen.tolist() == [any(kind in one for kind in seen) for one in latest]
        target = settings["target_events"] or ("purchase",)
        wanted = [
            strength > 0 and any(kind in one for kind in target)
            for strength, one in zip(strengths, latest, strict=True)
        ]
        chosen = np.ones(len(order), bool) if ratings.is_target is None else ratings.is_target
        sure = np.abs(strengths) > 1e-9  # a sum of 0 may be off by the last bit
        assert chosen[sure].tolist() == np.array(wanted)[sure].tolist()
        for kind in KINDS:
            stamps = [one.get(kind, -1) + 1 if times else int(kind in one) for one in latest]
            assert events.of([kind]).tolist() == stamps
        if times and ratings.is_target is not None:
            bought = [max(one.get(kind, -1) for kind in target) for one in latest]
            assert ratings.targets.timestamp.tolist() == list(np.array(bought)[ratings.is_target])
        if times:
            newest = [max(one.values()) for one in latest]
            assert ratings.timestamp.tolist() == newest


def test_a_view_makes_no_old_purchase_recent():
    """Popularity of the last days, and its lists, go by the time of the purchase."""
    year = 365 * DAY
    old = [(user, "old", "purchase", START + 5 * place, 1) for place, user in enumerate("abc")]
    viewed = [(user, "old", "view", START + year, 1) for user in "abc"]
    new = [(user, "new", "purchase", START + year, 1) for user in "abc"]

    data = built([*old, *new, *viewed], counting())

    targets = data.ratings.targets
    assert sorted(targets.timestamp) == [START, START + 5, START + 10, *[START + year] * 3]
    assert recent_counts(targets, movie_count=2, days=30).tolist() == [3, 0]
    lists = recent_lists(targets, data.movies, Recency(30, 90, 7), n=2)
    assert [one.movie_index.tolist() for one in lists] == [[0], [0]]


@pytest.mark.parametrize(
    ("weight", "strength", "is_bought"), [(-2, 4, True), (-5, 0, False), (-6, -1, False)]
)
def test_a_return_takes_a_purchase_back_by_its_weight(weight, strength, is_bought):
    """With the weight of the purchase nothing is left of it, nor of the view that led to it."""
    kinds = {"view": 1.0, "purchase": 5.0, "return": float(weight)}
    own = [("u", "a", kind, START + at, 1) for at, kind in enumerate(kinds)]
    other = [("v", "b", "purchase", START, 1), ("v", "a", "view", START, 1)]

    ratings = built([*own, *other], counting(events=kinds)).ratings

    pairs = list(zip(ratings.user_index, ratings.movie_index, strict=True))
    own, bought = pairs.index((0, 0)), pairs.index((1, 1))
    assert 5 * ratings.strength[own] / ratings.strength[bought] == pytest.approx(strength)
    assert (ratings.is_target[own], ratings.is_target[bought]) == (is_bought, True)


def test_a_second_copy_that_was_kept_is_still_bought():
    """One return of two purchases leaves one, and a return without a purchase is no purchase."""
    rows = [
        ("u", "a", "purchase", START, 2),
        ("u", "a", "return", START + 1, 1),
        ("u", "b", "view", START, 9),
        ("u", "b", "return", START, 1),
    ]
    how = counting(weight=True, events={"view": 1.0, "purchase": 5.0, "return": -5.0})

    ratings = built(rows, how, weights=True).ratings

    assert ratings.is_target.tolist() == [True, False]
    assert ratings.strength.tolist() == pytest.approx([5 / 4.5, 4 / 4.5])


def test_a_return_of_fractions_leaves_nothing():
    """0.1 and 0.2 that are returned together were returned whole, although their sum is not 0.3."""
    own = [("u", "a", "purchase", START, 0.1), ("u", "a", "purchase", START + 1, 0.2)]
    own += [("u", "a", "return", START + 2, 0.3), ("u", "a", "view", START, 1)]
    other = [("v", "b", "purchase", START, 1)]
    kinds = {"view": 1.0, "purchase": 5.0, "return": -5.0}

    ratings = built([*own, *other], counting(weight=True, events=kinds), weights=True).ratings

    assert ratings.strength.tolist() == [0, 1]
    assert ratings.is_target.tolist() == [False, True]


def test_a_return_takes_back_a_share_of_an_older_purchase():
    """With a half-life a return outweighs the purchase, and the piece kept is not disliked."""
    half = [("u", "a", "purchase", START, 2), ("u", "a", "return", START + 90 * DAY, 1)]
    whole = [("v", "a", "purchase", START, 1), ("v", "a", "return", START + 90 * DAY, 1)]
    other = [("w", "b", "purchase", START, 1)]
    kinds = {"view": 1.0, "purchase": 5.0, "return": -5.0}
    how = counting(weight=True, events=kinds, half_life=30)

    ratings = built([*half, *whole, *other], how, weights=True).ratings

    of_user = dict(zip(ratings.user_index.tolist(), ratings.strength.tolist(), strict=True))
    assert of_user == pytest.approx({0: 1, 1: 0, 2: 1})


def test_a_negative_quantity_of_a_return_is_no_liking():
    """Tills export a return with both its kind and a quantity below 0; the run notes it."""
    bought = [("u", "a", "purchase", START, 1), ("u", "b", "purchase", START, 1)]
    returned = ("u", "a", "return", START + 1, 2)
    how = counting(weight=True)

    own = built([*bought, returned], how, weights=True)
    signed = built([*bought, (*returned[:4], -2)], how, weights=True)

    np.testing.assert_array_equal(signed.ratings.strength, own.ratings.strength)
    assert signed.ratings.is_target.tolist() == [True, False]
    assert not any("1 return" in note for note in own.findings.notes)
    assert any("have 'weight' below 0 as well (1 return)" in one for one in signed.findings.notes)


def test_equal_weights_are_no_weights():
    """With one weight for all kinds, the data equal those of a table without kinds."""
    rng = np.random.default_rng(3)
    rows = [row for row in drawn(rng) if row[2] != "return"]

    plain = build_dataset(tables(rows, kinds=False), rating_scale=(0.5, 5))
    alike = built(rows, counting(events=dict.fromkeys(("view", "add to cart", "purchase"), 2.0)))

    assert alike.ratings.strength is None
    assert alike.ratings.is_target is None
    assert alike.ratings.target_time is None
    for name in ("user_index", "movie_index", "timestamp"):
        own, other = getattr(alike.ratings, name), getattr(plain.ratings, name)
        np.testing.assert_array_equal(own, other)
    assert alike.seen is alike.ratings


def test_the_weight_alone_is_the_strength():
    """Without kinds, weights add up without a limit, and those below 0 are dislikes."""
    rows = [("u", "a", "", 1, 3), ("u", "b", "", 2, 1), ("v", "a", "", 3, -2), ("u", "a", "", 4, 5)]
    how = InputKeys(columns=ColumnKeys(weight="hours")).counting

    data = built(rows, how, weights=True, kinds=False)

    assert data.ratings.strength.tolist() == pytest.approx([1 / 4.5, -2 / 4.5, 8 / 4.5])
    assert data.ratings.is_target.tolist() == [True, False, True]
    assert data.events is None
    assert data.seen is data.ratings
    assert "1 interaction repeated a user and a movie: their weights were added" in " ".join(
        data.findings.describe()
    )


ROWS = [("u", "a", "view", START, 1.0), ("u", "b", "purchase", START, 2.0)]


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (
            [*ROWS, ("u", "c", "wish", START, 1.0), ("v", "c", "wish", START, 1.0)],
            {},
            "'view' (1 rows), and 'wish' has no weight; expected a weight for each kind. Write 'wi",
        ),
        (ROWS[:1], {}, "no row is 'purchase', which is to be predicted; expected rows of each"),
        (ROWS, {"target_events": ("add to cart",)}, "no row is 'add to cart', which is to be"),
        (
            [*ROWS, ("u", "b", "return", START, 3.0)],
            {},
            "no user has an item with a strength above 0",
        ),
        ([*ROWS, ("u", "b", "view", 5, math.nan)], {}, "line 4: weight is nan; expected a value"),
        ([*ROWS, ("u", "b", "view", 5, -math.inf)], {}, "line 4: weight is -inf; expected a fin"),
    ],
)
def test_a_table_that_cannot_be_counted_is_refused(rows, settings, words):
    """In one line, with what was found and what to write."""
    with pytest.raises(DataRefused) as found:
        built(rows, counting(weight=True, max_strength=3, **settings), weights=True)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_age_needs_times():
    """A half-life without times is refused, not ignored."""
    with pytest.raises(DataRefused, match="the events have no time, and half_life counts their"):
        built(ROWS, counting(half_life=30), times=False)


def test_bad_weights_are_tolerated_up_to_the_limit():
    """As any other unusable value."""
    raw = tables([*ROWS, ("u", "b", "view", START, math.inf)], weights=True)

    data = build_dataset(
        raw._replace(bad=BadRows(1)), rating_scale=(0.5, 5), counting=counting(weight=True)
    )

    assert data.findings.kinds == {"purchase": 1, "view": 1}
    assert "weight is inf" in " ".join(data.findings.describe())


def test_names_of_kinds_are_any_text():
    """Also with the signs of a format."""
    rows = [("u", "a", "{0}", START, 1.0), ("u", "b", "%s", START, 1.0)]
    data = built(rows, counting(events={"{0}": 1, "%s": 2}))
    assert "2 events (1 %s, 1 {0}), no rating column" in data.findings.describe()[1]
