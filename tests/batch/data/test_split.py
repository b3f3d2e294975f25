"""Splits: the notebook's random split, the splits by time, and users with few ratings."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from reco_batch.data import columns as c
from reco_batch.data.dataset import Ratings
from reco_batch.data.split import SplitBy, split_ratings, stratified_parts
from reco_batch.errors import DataRefused

#: Kinds of split that hold out a share of each user's ratings.
BY_USER = (SplitBy.RANDOM, SplitBy.TIME)
HOW = st.sampled_from(BY_USER)


def ratings_with(counts, *, seed=0, timestamps=True):
    """Return the given number of ratings of each user, in random order."""
    rng = np.random.default_rng(seed)
    users = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    return Ratings(
        users,
        np.arange(len(users), dtype=np.int32),
        np.ones(len(users), np.float32),
        rng.integers(0, 50, len(users)) if timestamps else None,
    )


def per_user(ratings, rows, count):
    """Count the rows of each user."""
    return np.bincount(ratings.user_index[rows], minlength=count)


def test_equals_the_notebooks_split(make_ratings, make_dataset):
    """The random split equals scikit-learn's split of text ids, including the order."""
    frame = make_ratings(seed=5, at_least=14)
    train_valid, test = train_test_split(
        frame, test_size=0.2, stratify=frame[c.USER_ID], random_state=42
    )
    train, validation = train_test_split(
        train_valid, test_size=0.1, stratify=train_valid[c.USER_ID], random_state=42
    )

    split = split_ratings(make_dataset(frame).ratings, by=SplitBy.RANDOM, seed=42)

    assert split.users_only_in_training == 0
    np.testing.assert_array_equal(split.train, train.index)
    np.testing.assert_array_equal(split.validation, validation.index)
    np.testing.assert_array_equal(split.test, test.index)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 25), min_size=1, max_size=12), HOW, st.integers(0, 2**31))
def test_parts_divide_the_ratings(counts, how, seed):
    """Every rating is in one part; users with fewer than five are in training only."""
    if not sum(counts):
        return
    ratings = ratings_with(counts, seed=seed)

    split = split_ratings(ratings, by=how, seed=seed)

    rows = np.concatenate([split.train, split.validation, split.test])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(ratings)))
    held_out = per_user(ratings, np.concatenate([split.validation, split.test]), len(counts))
    few = np.array(counts) < 5
    assert (held_out[few] == 0).all()
    assert split.users_only_in_training == (few & (np.array(counts) > 0)).sum()


@settings(max_examples=40)
@given(st.lists(st.integers(15, 40), min_size=1, max_size=8), HOW)
@example([15, 37], SplitBy.RANDOM)
def test_shares(counts, how):
    """A fifth of the ratings of users with enough is held out, and a tenth of the rest."""
    ratings = ratings_with(counts)

    split = split_ratings(ratings, by=how, seed=1)

    test = per_user(ratings, split.test, len(counts))
    validation = per_user(ratings, split.validation, len(counts))
    rest = np.array(counts) - test
    assert (np.abs(test - np.array(counts) * _share(split.test, counts, how, 0.2)) < 1.01).all()
    assert (test >= 1).all()
    assert (np.abs(validation - rest * _share(split.validation, rest, how, 0.1)) < 1.01).all()


def _share(part, sizes, how, share):
    """Return the share of each user's ratings that a part should have.

    A random part is rounded up as a whole, then shared out among the users.
    """
    if how is SplitBy.TIME:
        return share
    assert len(part) == np.ceil(share * np.sum(sizes))
    return len(part) / np.sum(sizes)


@pytest.mark.parametrize("how", BY_USER)
def test_some_users_with_few_ratings_are_in_the_validation_part(how):
    """One rating of as many of them as have a tenth of their ratings; never of fewer than five."""
    counts = np.array([4] * 300 + [6] * 500 + [40] * 20)
    ratings = ratings_with(counts)

    split = split_ratings(ratings, by=how, seed=42)

    test = per_user(ratings, split.test, len(counts))
    validation = per_user(ratings, split.validation, len(counts))
    assert (validation[counts == 4] == 0).all()
    assert (validation[counts == 6] <= 1).all()
    rest = (counts - test)[counts == 6].sum()
    assert validation[counts == 6].sum() == pytest.approx(rest / 10, rel=0.2)
    assert (validation[counts == 40] >= 3).all()


@pytest.mark.parametrize("how", BY_USER)
def test_users_with_few_ratings_are_not_drawn_where_most_have_many(how):
    """The validation part of the others is large enough to choose by."""
    counts = np.array([6] * 40 + [40] * 41)
    ratings = ratings_with(counts)

    split = split_ratings(ratings, by=how, seed=42)

    assert (per_user(ratings, split.validation, len(counts))[counts == 6] == 0).all()


def test_a_split_by_time_validates_the_latest_rating_of_users_with_few():
    """The rating before those of the test part."""
    ratings = ratings_with([6] * 200)
    ratings = replace(ratings, timestamp=np.arange(len(ratings)))

    split = split_ratings(ratings, by=SplitBy.TIME, seed=42)

    assert len(split.validation) > 50
    last_of_train = np.zeros(200, int)
    np.maximum.at(last_of_train, ratings.user_index[split.train], split.train)
    assert (last_of_train[ratings.user_index[split.validation]] < split.validation).all()


@pytest.mark.parametrize("how", BY_USER)
def test_one_user_with_one_rating(how):
    """The only rating of the only user stays in training."""
    split = split_ratings(ratings_with([1]), by=how, seed=42)

    assert split.train.tolist() == [0]
    assert len(split.validation) == len(split.test) == 0
    assert split.users_only_in_training == 1


@pytest.mark.parametrize("how", BY_USER)
def test_a_single_user_is_split(how):
    """A data set of one user has all three parts."""
    split = split_ratings(ratings_with([50]), by=how, seed=42)

    assert (len(split.train), len(split.validation), len(split.test)) == (36, 4, 10)


@pytest.mark.parametrize("how", BY_USER)
@pytest.mark.parametrize("few", [3, 8])
def test_training_mixes_those_who_have_few_ratings(how, few):
    """Users with few ratings are spread over the training order, so batches are mixed."""
    ratings = ratings_with([few] * 50 + [40] * 20)

    split = split_ratings(ratings, by=how, seed=42)

    at = np.flatnonzero(ratings.user_index[split.train] < 50)
    assert at.mean() < 0.7 * len(split.train)


@pytest.mark.parametrize("how", SplitBy)
def test_seed_fixes_the_parts(how):
    """Equal seeds give equal rows in equal order, and another seed gives another order."""
    ratings = ratings_with([20] * 10)

    one, same, other = (split_ratings(ratings, by=how, seed=seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(one.train, same.train)
    np.testing.assert_array_equal(one.test, same.test)
    assert (one.train != other.train).any()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 99))
def test_time_holds_out_the_latest(counts, seed):
    """No training rating is newer than a held-out one of the same user; ties are in file order."""
    ratings = ratings_with(counts, seed=seed)
    when = np.stack([ratings.timestamp, np.arange(len(ratings))], axis=1).tolist()

    split = split_ratings(ratings, by=SplitBy.TIME, seed=42)

    for user, count in enumerate(counts):
        train, validation, test = (
            [when[row] for row in rows if ratings.user_index[row] == user] for rows in split[:3]
        )
        assert len(test) == (count // 5 if count >= 5 else 0)
        assert max(train) < min([*validation, *test], default=[99, 0])
        assert max([*train, *validation]) < min(test, default=[99, 0])


@pytest.mark.parametrize("how", [SplitBy.TIME, SplitBy.GLOBAL])
def test_time_needs_timestamps(how):
    """A split by time without timestamps is refused with a next step."""
    with pytest.raises(DataRefused, match="no timestamp column") as refused:
        split_ratings(ratings_with([20], timestamps=False), by=how, seed=42)

    assert refused.value.exit_code == 4
    assert "--split random" in str(refused.value)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 99))
def test_global_holds_out_what_is_after_one_moment(counts, seed):
    """Training is before validation and validation before test; later users are cold."""
    ratings = ratings_with(counts, seed=seed)
    when, user = ratings.timestamp, ratings.user_index
    late = when > pd.Series(when).quantile(0.8)
    assume(late.any())

    split = split_ratings(ratings, by=SplitBy.GLOBAL, seed=42)

    earlier = np.concatenate([split.train, split.validation, split.newcomers])
    later = np.concatenate([split.test, split.cold])
    np.testing.assert_array_equal(np.sort(later), np.flatnonzero(late))
    np.testing.assert_array_equal(np.sort(earlier), np.flatnonzero(~late))
    recent = np.concatenate([split.validation, split.newcomers])
    middle = pd.Series(when[~late]).quantile(0.9)
    np.testing.assert_array_equal(np.sort(recent), np.flatnonzero(~late & (when > middle)))
    assert set(user[split.test]) <= set(user[earlier])
    assert not set(user[split.cold]) & set(user[earlier])
    assert set(user[split.validation]) <= set(user[split.train])
    assert not set(user[split.newcomers]) & set(user[split.train])


def test_a_date_divides_at_midnight_utc():
    """A rating at the given moment belongs to the earlier side, one a second later to the test."""
    midnight = datetime(2018, 1, 1, tzinfo=UTC)
    when = int(midnight.timestamp()) + np.array([-9, -8, -7, 0, 1, 2])
    ratings = replace(ratings_with([6]), timestamp=when)

    split = split_ratings(ratings, by=SplitBy.GLOBAL, seed=42, date=midnight)

    assert split.test.tolist() == [4, 5]
    assert split.validation.tolist() == [3]
    assert sorted(split.train) == [0, 1, 2]
    assert split.moment == midnight.timestamp()


@pytest.mark.parametrize(
    ("year", "found"), [(1960, "all ratings are after 1960"), (2060, "no ratings are after 2060")]
)
def test_a_date_outside_the_ratings_is_refused(year, found):
    """Without ratings on both sides of the moment nothing can be measured."""
    date = datetime(year, 1, 1, tzinfo=UTC)

    with pytest.raises(DataRefused, match=found) as refused:
        split_ratings(ratings_with([20]), by=SplitBy.GLOBAL, seed=42, date=date)

    assert "--split-date" in str(refused.value)


def test_ratings_of_one_time_cannot_be_divided():
    """If more than a fifth of the ratings have the latest time, no quantile divides them."""
    ratings = replace(ratings_with([20]), timestamp=np.full(20, 7))

    with pytest.raises(DataRefused, match="no ratings are after 1970-01-01T00:00:07"):
        split_ratings(ratings, by=SplitBy.GLOBAL, seed=42)


def test_random_needs_no_timestamps():
    """The random split needs no timestamps."""
    split = split_ratings(ratings_with([20], timestamps=False), by=SplitBy.RANDOM, seed=42)

    assert len(split.test) == 4


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(10, 60), min_size=1, max_size=30),
    st.sampled_from([0.1, 0.2, 0.25]),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_public_split(counts, share, seed):
    """The stratified split equals scikit-learn's, row for row, for all strata and roundings."""
    strata = np.repeat(np.arange(len(counts)) * 3, counts).astype(np.int32)  # some are not there
    strata = np.random.default_rng(seed).permutation(strata)
    rows = np.arange(len(strata))

    stay, held_out = stratified_parts(rows, strata, share=share, seed=seed)

    theirs = train_test_split(rows, test_size=share, stratify=strata, random_state=seed)
    np.testing.assert_array_equal(stay, theirs[0])
    np.testing.assert_array_equal(held_out, theirs[1])


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_many_users_are_as_few(share):
    """The draws that break ties are also equal for thousands of strata."""
    rng = np.random.default_rng(1)
    strata = rng.permutation(np.repeat(np.arange(3000), rng.integers(10, 40, 3000)))
    strata = strata.astype(np.int32)

    ours = stratified_parts(np.arange(len(strata)), strata, share=share, seed=42)

    theirs = train_test_split(
        np.arange(len(strata)), test_size=share, stratify=strata, random_state=42
    )
    for mine, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, their)


def events_with(rng, *, users=12, movies=40):
    """Draw interactions of views and purchases, each pair once, with the times of both kinds."""
    pairs = np.argwhere(rng.random((users, movies)) < 0.6)
    view, purchase = (rng.integers(1, 500, len(pairs)) for _ in range(2))
    has_purchase = rng.random(len(pairs)) < 0.5
    has_view = ~has_purchase | (rng.random(len(pairs)) < 0.7)
    latest = np.column_stack([view * has_view, purchase * has_purchase]).astype(np.uint32)
    return Ratings(
        pairs[:, 0].astype(np.int32),
        pairs[:, 1].astype(np.int32),
        None,
        latest.max(axis=1).astype(np.int64) - 1,
        is_target=has_purchase & (rng.random(len(pairs)) < 0.9),  # the others were returned
        target_time=latest[:, 1].astype(np.int64) - 1,
    )


@pytest.mark.parametrize("by", list(SplitBy))
@pytest.mark.parametrize("seed", range(8))
def test_only_target_kinds_are_held_out_and_nothing_later_is_learned(by, seed):
    """Validation and test have purchases only; by time, training knows no later event."""
    ratings = events_with(np.random.default_rng(seed))

    split = split_ratings(ratings, by=by, seed=1)

    parts = [*split[:3], split.newcomers, split.cold, split.left_out]
    assert sorted(np.concatenate(parts)) == list(range(len(ratings)))
    assert ratings.is_target[split.validation].all()
    assert ratings.is_target[split.test].all()
    assert len(split.validation)
    bought = ratings.target_time
    if by is SplitBy.RANDOM:
        assert not len(split.left_out)
        share = len(split.test) / ratings.is_target.sum()
        assert 0.15 < share < 0.25
        assert np.isin(np.flatnonzero(~ratings.is_target), split.train).all()
        return
    assert len(split.left_out)
    for user in range(12) if by is SplitBy.TIME else [slice(None)]:
        theirs = ratings.user_index == user if by is SplitBy.TIME else np.ones(len(ratings), bool)
        held, checked = (bought[part[theirs[part]]] for part in (split.test, split.validation))
        known = ratings.timestamp[split.train[theirs[split.train]]]
        later = ratings.timestamp[split.newcomers[theirs[split.newcomers]]]
        judged = ratings.timestamp[split.validation[theirs[split.validation]]]
        never = 10**9
        assert judged.max(initial=0) <= held.min(initial=never)
        assert known.max(initial=0) <= min(held.min(initial=never), checked.min(initial=never))
        assert later.max(initial=0) <= held.min(initial=never)


@pytest.mark.parametrize("by", list(SplitBy))
def test_events_of_one_kind_are_split_as_ratings(by):
    """Row for row."""
    ratings = replace(ratings_with([20, 7, 30, 3]), rating=None)
    events = replace(ratings, target_time=ratings.timestamp.copy())

    plain, alike = (split_ratings(one, by=by, seed=1) for one in (ratings, events))

    for own, other in zip(plain, alike, strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_purchase_before_the_moment_that_was_viewed_after_it_is_in_no_part():
    """It was known, so it is not to be predicted; its strength knows the later view."""
    latest = np.array([[0, 11], [95, 21], [0, 91], [31, 0], [96, 0], [0, 41]], np.uint32)
    ratings = Ratings(
        np.zeros(6, np.int32),
        np.arange(6, dtype=np.int32),
        None,
        latest.max(axis=1).astype(np.int64) - 1,
        is_target=latest[:, 1] > 0,
        target_time=latest[:, 1].astype(np.int64) - 1,
    )
    date = datetime.fromtimestamp(50, UTC)

    split = split_ratings(ratings, by=SplitBy.GLOBAL, seed=1, date=date)

    assert split.test.tolist() == [2]
    assert split.left_out.tolist() == [1, 4]
    assert split.validation.tolist() == [5]
    assert sorted(split.train) == [0, 3]


def test_a_purchase_of_the_validation_part_that_was_viewed_after_the_test_part_is_in_no_part():
    """The measured models train on validation, where its strength would reveal that view."""
    bought = np.arange(1, 14)
    latest = np.column_stack([np.where(bought == 11, 20, 0), bought]).astype(np.uint32)
    ratings = Ratings(
        np.zeros(13, np.int32),
        np.arange(13, dtype=np.int32),
        None,
        latest.max(axis=1).astype(np.int64) - 1,
        target_time=bought - 1,
    )

    split = split_ratings(ratings, by=SplitBy.TIME, seed=1)

    assert sorted(split.test) == [11, 12]
    assert split.left_out.tolist() == [10]
    assert not len(split.validation)
    assert sorted(np.concatenate([split.train, split.newcomers])) == list(range(10))
