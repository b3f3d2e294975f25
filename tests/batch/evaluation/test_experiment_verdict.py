"""Verdict of an experiment: planted differences are found, chance is not."""

from dataclasses import replace

import numpy as np
import pytest

from reco_batch.artifact.manifests import NOT_MEASURED
from reco_batch.data.dataset import Dataset, Movies, Ratings
from reco_batch.evaluation.experiment_verdict import (
    TIGHTEST_DAYS,
    Counts,
    arms_of,
    counts_of,
    difference,
    experiment_section,
    ratios,
)
from reco_store.contract.experiment import Experiment

DAY = 86_400
BEGAN = 1_000 * DAY
PAIR = Experiment("stars", (("reco", 1.0), ("reco-b", 1.0)), BEGAN)
SEEDS, USERS, LOOKS = 1_000, 400, 28


def habits(rng, users):
    """Return the rates of people who differ widely, and keep their habits."""
    return rng.gamma(0.5, 0.4, users)


def alike(rng, users):  # a function like `habits`
    """Return the rates of people without habits: the looks differ most."""
    return np.full(users, 0.2)


def counts_of_looks(sums, own):
    """Return the counts of some users at each look, of their sums until then, [LOOKS, USERS]."""
    sums = sums[:, own]
    return Counts(np.full(len(sums), own.sum()), sums.sum(axis=1), (sums**2).sum(axis=1))


def called(rng, effect, *, rates=habits, share=0.5):
    """Return in which experiments a difference was called, by the sign of the first call, [SEEDS].

    Each has its own people and assignment, and a look each day.
    """
    signs = np.zeros(SEEDS)
    for seed in range(SEEDS):
        in_arm = rng.random(USERS) < share
        rate = rates(rng, USERS)
        before = rng.poisson(rate * TIGHTEST_DAYS)
        daily = rng.poisson(rate * np.where(in_arm, 1 + effect, 1), (LOOKS, USERS))
        sums = np.cumsum(daily, axis=0)
        unit = float(counts_of(before, np.ones(USERS, bool)).spread)
        arms = [counts_of_looks(sums, own) for own in (in_arm, ~in_arm)]
        change, width = difference(*arms, unit=unit, error=0.05)
        looks = np.flatnonzero(np.abs(change) > width)
        signs[seed] = np.sign(change[looks[0]]) if len(looks) else 0
    return signs


@pytest.mark.parametrize(
    ("rates", "share"), [(habits, 0.5), (alike, 0.5), (habits, 0.2), (habits, 0.05)]
)
def test_no_difference_is_called_in_at_most_two_percent(rates, share):
    """A thousand experiments of equal arms, looked at each day for four weeks."""
    signs = called(np.random.default_rng(1), 0.0, rates=rates, share=share)

    assert np.mean(signs != 0) <= 0.02


def one_by_one(rng, count):  # a function like `evenings`
    """Return the sizes of visits of people who take one movie at a time."""
    return np.ones(count, np.int64)


def evenings(rng, count):
    """Return the sizes of visits of people who rate what comes to mind: 20 films, or hundreds."""
    return np.ceil(rng.lognormal(np.log(20), 1.2, count)).astype(np.int64)


def rarely(rng, users, rate, size=one_by_one):
    """Return the counts of people who rarely take anything, at each look, [SEEDS, LOOKS]."""
    visits = rng.poisson(users * rate * LOOKS, SEEDS)
    seed = np.repeat(np.arange(SEEDS), visits)
    day = rng.integers(0, LOOKS, len(seed))
    user = seed * users + rng.integers(0, users, len(seed))
    order = np.lexsort((day, user))
    taken = size(rng, len(seed)).astype(float)
    total = taken.cumsum()
    is_first = np.r_[True, np.diff(user[order]) > 0][: len(order)]
    after = total - np.maximum.accumulate(np.where(is_first, total - taken, 0))  # of the user
    cell = seed[order] * LOOKS + day[order]

    def sums(weights):
        counts = np.bincount(cell, weights, minlength=SEEDS * LOOKS)
        return counts.reshape(SEEDS, LOOKS).cumsum(axis=1)

    squares = after**2 - (after - taken) ** 2
    return Counts(np.full((SEEDS, LOOKS), users), sums(taken), sums(squares))


@pytest.mark.parametrize(
    ("arm", "control", "rate"),
    [
        (200, 1_800, 0.001),
        (400, 3_600, 0.002),
        (100, 9_900, 0.002),
        (20, 1_980, 0.004),
        (1_000, 99_000, 0.0004),
        (1_900, 100, 0.01),
    ],
)
def test_a_small_arm_that_rarely_takes_anything_is_not_called(arm, control, rate):
    """By chance it does nothing for days: that is no certainty."""
    rng = np.random.default_rng(4)
    arms = rarely(rng, arm, rate), rarely(rng, control, rate)

    change, width = difference(*arms, unit=(arm + control) * rate * TIGHTEST_DAYS, error=0.05)

    assert np.mean((np.abs(change) > width).any(axis=1)) <= 0.02


@pytest.mark.parametrize(
    ("arm", "control", "rate"),
    [(100, 1_900, 0.002), (50, 950, 0.003), (40, 1_960, 0.01), (1_000, 1_000, 0.002)],
)
def test_an_evening_of_one_person_is_no_difference(arm, control, rate):
    """A few people of a small arm take nearly everything in it, as people rate films."""
    rng = np.random.default_rng(7)
    unit = float(rarely(rng, arm + control, rate, evenings).spread[:, TIGHTEST_DAYS].mean())
    arms = rarely(rng, arm, rate, evenings), rarely(rng, control, rate, evenings)

    change, width = difference(*arms, unit=unit, error=0.05)

    assert np.mean((np.abs(change) > width).any(axis=1)) <= 0.02


def trebled(rng, rate):  # a function like `fewer_and_keener`
    """Return the rates of people who take three times as much."""
    return 3 * rate


def fewer_and_keener(rng, rate):
    """Return the rates of people of whom fewer take more, as much together."""
    return rng.gamma(0.25, 4 * 0.3, len(rate))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.05])
@pytest.mark.parametrize("effect", [trebled, fewer_and_keener])
def test_an_interval_contains_the_true_difference_if_the_arms_differ_in_spread(effect, share):
    """That of the small arm counts as much as its size demands."""
    rng = np.random.default_rng(3)
    experiments, users, missed = 200, 2_000, 0
    for _ in range(experiments):
        in_arm = rng.random(users) < share
        control = rng.gamma(1, 0.3, users)
        rates = np.where(in_arm, effect(rng, control), control)
        unit = float(counts_of(rng.poisson(control * TIGHTEST_DAYS), in_arm | True).spread)
        sums = np.cumsum(rng.poisson(rates, (LOOKS, users)), axis=0)
        arms = [counts_of_looks(sums, own) for own in (in_arm, ~in_arm)]
        change, width = difference(*arms, unit=unit, error=0.05)
        true = 0.3 * (effect is trebled) * 2 * np.arange(1, LOOKS + 1)
        missed += (np.abs(change - true) > width).any()

    assert missed / experiments <= 0.03


@pytest.mark.parametrize(("users", "control"), [(9_000, 1_000), (1_000, 9_000)])
@pytest.mark.parametrize("width", [0.05, 0.4])
@pytest.mark.parametrize("uneven", [1, 9])
def test_a_lift_counts_the_uncertainty_of_both_arms(users, control, width, uneven):
    """Exactly the ratios that are not excluded: the smaller the control, the wider, to the right.

    An arm's mean minus so many times that of the control deviates by less than chance allows. The
    variance is that of all, or each arm's own, where the smaller arm is the more uneven one.
    """
    each = (uneven, 1) if users < control else (1, uneven)
    arms = [
        Counts(*map(np.float64, (count, count * mean, count * (mean**2 + variance))))
        for count, mean, variance in zip((users, control), (0.9, 0.6), each, strict=True)
    ]
    low, high = ratios(*arms, width=width)

    own, other = (one / (count - 1) for one, count in zip(each, (users, control), strict=True))
    if uneven == 1:
        own, other = 1 / users, 1 / control
    every = np.linspace(0, 10, 100_001)
    allowed = width * np.sqrt((own + every**2 * other) / (own + other))
    inside = every[np.abs(0.9 - every * 0.6) < allowed]
    assert (low, high) == pytest.approx((inside.min(), inside.max()), abs=2e-4)
    assert (low < 1 < high) == (width == 0.4)
    assert ratios(*arms, width=6.0) is None


def test_a_planted_difference_is_called_with_its_sign():
    """People of one arm take 80 % more: most experiments find it, and none the reverse."""
    signs = called(np.random.default_rng(2), 0.8)

    assert np.mean(signs > 0) > 0.8
    assert np.mean(signs < 0) <= 0.005


def planted(*, effect, days=20, users=3_000, experiment=PAIR, seed=3):
    """Return a data set of people before and in an experiment, whose second arm takes more."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"u{user:05}" for user in range(users))
    arm = arms_of(ids, experiment)
    rate = habits(rng, users) + 0.05
    early = rng.poisson(rate * TIGHTEST_DAYS) + 1
    later = rng.poisson(rate * (1 + effect * (arm == 1)) * days)
    user = np.repeat(np.tile(np.arange(users), 2), np.concatenate([early, later]))
    size = len(user)
    time = np.where(
        np.arange(size) < early.sum(),
        BEGAN - 1 - rng.integers(0, TIGHTEST_DAYS * DAY, size),
        BEGAN + rng.integers(0, days * DAY, size),
    )
    time[-1] = BEGAN + days * DAY
    return dataset(ids, user, time)


def dataset(ids, user, time, **more):
    """Return a data set of purchases, no two of the same movie."""
    movies = tuple(map(str, range(len(user))))
    empty = (None,) * len(user)
    ratings = Ratings(
        np.asarray(user, np.int32), np.arange(len(user), dtype=np.int32), None, np.asarray(time)
    )
    catalogue = Movies(movies, movies, ((),) * len(user), empty)
    first = np.full(len(ids), 10**12)
    np.minimum.at(first, user, time)
    return Dataset(ids, catalogue, replace(ratings, **more), (0, 1), first_time=first)


def section(data, experiment=PAIR, last=None):
    """Return the section of a data set."""
    arm = arms_of(data.user_ids, experiment)
    return experiment_section(data, experiment, arm, last=last or {})


def test_a_planted_experiment_has_its_figures():
    """Rates are those of the counts; the interval contains the planted lift and excludes zero."""
    data = planted(effect=0.4)
    found = section(data)

    arm = arms_of(data.user_ids, PAIR)
    is_late = data.ratings.timestamp >= BEGAN
    taken = np.bincount(arm[data.ratings.user_index[is_late]])
    users = np.bincount(arm)
    assert [one["namespace"] for one in found["arms"]] == ["reco", "reco-b"]
    assert [one["users"] for one in found["arms"]] == users.tolist()
    assert [one["interactions"] for one in found["arms"]] == taken.tolist()
    assert found["days"] == 20
    assert found["arms"][0]["rate"] == pytest.approx(taken[0] / users[0] / 20, abs=1e-6)
    (one,) = found["comparisons"]
    assert one["namespace"] == "reco-b"
    assert one["verdict"] == "better"
    assert one["difference"] == pytest.approx(np.subtract(*(taken / users)[::-1]) / 20, abs=1e-6)
    assert 0 < one["lift_low"] < 0.4 < one["lift_high"]
    assert one["low"] < one["difference"] < one["high"]
    (reverse,) = section(planted(effect=-0.4))["comparisons"]
    assert reverse["verdict"] == "worse"
    (nothing,) = section(planted(effect=0.0))["comparisons"]
    assert nothing["verdict"] == "open"
    assert nothing["lift_low"] < 0 < nothing["lift_high"]


def test_a_lift_is_no_lower_than_that_of_an_arm_that_takes_nothing():
    """A rate is never negative, however wide the interval."""
    ids = tuple(f"u{user}" for user in range(40))
    takers = np.repeat(np.flatnonzero(arms_of(ids, PAIR) == 0), 3)
    time = np.r_[np.full(40, BEGAN - 5), np.full(len(takers), BEGAN + DAY)]
    (one,) = section(dataset(ids, np.r_[:40, takers], time))["comparisons"]

    assert one["low"] < one["difference"] - 1
    assert one["lift"] == one["lift_low"] == -1
    assert one["lift_high"] > -1


def test_the_needed_users_find_the_wanted_effect_in_four_of_five_experiments():
    """So many people of these habits, of whom one arm takes as much more, and several looks."""
    rng, effect = np.random.default_rng(5), 0.1
    needed = planted_needs(users=5_000)
    users = round(needed["users"] * (needed["lift"] / effect) ** 2)
    experiments, found = 300, 0
    for _ in range(experiments):
        in_arm = rng.random(users) < 0.5
        rate = habits(rng, users) + 0.05
        unit = float(counts_of(rng.poisson(rate * TIGHTEST_DAYS), in_arm | True).spread)
        days = np.array([8, 4, 2, 2, 2, 1, 1])[:, None]  # 20 together
        sums = np.cumsum(rng.poisson(rate * (1 + effect * in_arm) * days), axis=0)
        arms = [counts_of_looks(sums, own) for own in (in_arm, ~in_arm)]
        change, width = difference(*arms, unit=unit, error=0.05)
        found += (change > width).any()

    assert found / experiments == pytest.approx(0.8, abs=0.05)


def planted_needs(users):
    """Return the users that an experiment without any difference is found to need."""
    found = section(planted(effect=0.0, users=users))
    needed = found["comparisons"][0]["needed"]
    rate = found["arms"][0]["rate"]
    assert needed["lift"] == 0.05
    assert needed["interactions_a_day"] == pytest.approx(needed["users"] * rate, abs=1)
    return needed


def test_the_unit_stays_during_an_experiment():
    """The run before hands it on; another experiment, or another start, gets its own."""
    data = planted(effect=0.0)
    own = section(data)["unit"]
    last = {"name": "stars", "began": BEGAN, "unit": 7.5}

    assert own > 100
    assert section(data, last=last)["unit"] == 7.5
    for other in ({"name": "x"}, {"began": BEGAN + 1}, {"unit": "7"}, {"unit": 0}):
        assert section(data, last={**last, **other})["unit"] == own


def test_several_arms_share_the_error():
    """Two comparisons are wider than one of the same users."""
    three = Experiment("stars", (*PAIR.arms, ("reco-c", 1e-9)), BEGAN)
    data = planted(effect=0.0)
    arm = arms_of(data.user_ids, PAIR)
    arm[:3] = 2
    found = experiment_section(data, three, arm, last={})

    assert [one["namespace"] for one in found["comparisons"]] == ["reco-b", "reco-c"]
    (alone,) = section(data)["comparisons"]
    several = found["comparisons"][0]
    assert several["high"] - several["low"] > 1.05 * (alone["high"] - alone["low"])


def test_only_targets_of_known_users_count():
    """A view is no purchase, and a user who came later belongs to no arm's count."""
    ids = ("a", "b", "c", "d", "new")
    user = [0, 1, 2, 3, 0, 0, 1, 4, 4]
    time = np.array([BEGAN - 5] * 4 + [BEGAN, BEGAN + DAY, BEGAN + 9, BEGAN + 9, BEGAN + 9])
    is_target = np.array([True] * 5 + [False] + [True] * 3)
    data = dataset(ids, user, time, is_target=is_target)
    arm = np.array([0, 1, 0, 1, 0])

    found = experiment_section(data, PAIR, arm, last={})

    assert [(one["users"], one["interactions"]) for one in found["arms"]] == [(2, 1), (2, 1)]
    assert found["until"] == BEGAN + DAY


def test_a_user_who_repeated_everything_since_is_still_known():
    """The input keeps the newest row of a user and movie: outcomes decide no membership."""
    data = dataset(("a", "b", "c", "d"), [0, 1, 2, 3], np.array([0, 1, BEGAN + 8, BEGAN + 9]))
    data = replace(data, first_time=np.array([0, 1, BEGAN - 5, BEGAN + 2]))

    found = experiment_section(data, PAIR, np.array([0, 1, 0, 1]), last={})

    assert [(one["users"], one["interactions"]) for one in found["arms"]] == [(2, 1), (1, 0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"began": None}, "begin it again"),
        ({"began": 10**10}, "no interaction since"),
        ({"began": 0}, "no user from before"),
    ],
)
def test_the_reason_is_in_place_of_the_figures(change, words):
    """Too early, too late, or without a start."""
    found = section(planted(effect=0, users=50), PAIR._replace(**change))

    assert found.keys() == {"name", "began", NOT_MEASURED}
    assert words in found[NOT_MEASURED]


def test_times_are_needed():
    """Without them it is unknown what came after the start."""
    data = planted(effect=0, users=50)
    data = replace(data, ratings=replace(data.ratings, timestamp=None))

    assert section(data)[NOT_MEASURED] == "the interactions have no times"


def test_equal_outcomes_leave_the_verdict_open():
    """Everybody did nothing: there is no spread to divide by, and no warning."""
    data = dataset(("a", "b", "c"), [0, 1, 2], np.array([0, 1, BEGAN + 9]))
    found = experiment_section(data, PAIR, np.array([0, 1, 1]), last={})

    assert found["comparisons"] == [{"namespace": "reco-b", "verdict": "open"}]
