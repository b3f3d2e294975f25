"""Digests of histories: equal for equal histories, different for anything that lists depend on."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from planted_ratings import as_dataset, planted_movies, planted_ratings
from reco_batch.data.dataset import Events, Histories, Ratings, newest_first
from reco_batch.data.history_digests import DIGEST_BYTES, history_digests

USERS = 12


@pytest.fixture
def dataset():
    """Planted ratings with stars and times."""
    return as_dataset(planted_ratings(users=USERS), planted_movies())


@pytest.fixture(params=[1, 5, USERS, 4096], autouse=True)
def _block(request, monkeypatch):
    """Blocks of one user, of a few, of all, and as in use."""
    monkeypatch.setattr("reco_batch.data.history_digests._USERS_PER_BLOCK", request.param)


def changed(before, after):
    """Return the users whose digests differ."""
    return [user for user in range(USERS) if before[user] != after[user]]


@pytest.mark.parametrize("name", ["rating", "timestamp", "movie_index"])
def test_each_column_counts(dataset, name):
    """Another value of one rating changes the digest of its user alone."""
    ratings, row = dataset.ratings, 5
    column = getattr(ratings, name).copy()
    column[row] = column[row] + 1 if name != "rating" else 5.5 - column[row]
    other = replace(dataset, ratings=replace(ratings, **{name: column}))
    found = changed(history_digests(dataset, None), history_digests(other, None))
    assert found == [ratings.user_index[row]]


def test_a_rating_more_counts_and_the_order_of_rows_does_not(dataset):
    """Rows may be in any order, since all times differ; movies may be in another order too."""
    count = len(dataset.ratings)
    rows = np.random.default_rng(1).permutation(count)
    shuffled = replace(dataset, ratings=dataset.ratings.take(rows))
    assert history_digests(shuffled, None) == history_digests(dataset, None)

    turned = replace(
        dataset,
        movies=replace(dataset.movies, ids=dataset.movies.ids[::-1]),
        ratings=replace(
            dataset.ratings, movie_index=len(dataset.movies) - 1 - dataset.ratings.movie_index
        ),
    )
    assert history_digests(turned, None) == history_digests(dataset, None)

    fewer = replace(dataset, ratings=dataset.ratings.take(np.arange(count - 1)))
    found = changed(history_digests(dataset, None), history_digests(fewer, None))
    assert found == [dataset.ratings.user_index[-1]]


def test_movies_that_lists_leave_out_count(dataset):
    """As days pass, a movie may be shown again although no rating is new."""
    nothing = Histories(np.zeros(USERS + 1, np.int64), np.zeros(0, np.int32))
    offsets = np.repeat([0, 1], [4, USERS - 3])
    one = Histories(offsets, np.array([7], np.int32))
    found = changed(history_digests(dataset, nothing), history_digests(dataset, one))
    assert found == [3]


def test_events_count_by_kind_and_by_relative_strength(dataset):
    """An older age of all events changes nothing; another kind of event, or weight, does."""
    ratings, count = dataset.ratings, len(dataset.ratings)
    strength = np.random.default_rng(2).uniform(0.1, 3, count).astype(np.float32)
    latest = np.ones((count, 2), np.uint32)
    events = Events(("view", "buy"), latest, ("buy",), ("buy",))
    implicit = replace(ratings, rating=None, strength=strength)
    shop = replace(dataset, ratings=implicit, events=events)
    before = history_digests(shop, None)
    assert {len(one) for one in before} == {2 * DIGEST_BYTES}
    older = replace(shop, ratings=replace(implicit, strength=strength * np.float32(0.37)))
    assert history_digests(older, None) == before

    bought = latest.copy()
    bought[3, 1] = 0
    other = replace(shop, events=events._replace(latest=bought))
    assert changed(before, history_digests(other, None)) == [ratings.user_index[3]]
    stronger = strength.copy()
    stronger[4] *= 0.5
    other = replace(shop, ratings=replace(implicit, strength=stronger))
    assert changed(before, history_digests(other, None)) == [ratings.user_index[4]]


def test_memory_is_that_of_sorting(dataset, monkeypatch):
    """Rows of all users at the same time took twice as much, 2.6 GB for 32 million ratings."""
    users, count, rng = 5_000, 100_000, np.random.default_rng(4)
    monkeypatch.setattr("reco_batch.data.history_digests._USERS_PER_BLOCK", 500)
    ratings = Ratings(
        rng.integers(users, size=count).astype(np.int32),
        rng.integers(len(dataset.movies), size=count).astype(np.int32),
        rng.uniform(0.5, 5, count).astype(np.float32),
        rng.integers(1_000_000, size=count),
    )
    many = replace(dataset, ratings=ratings, user_ids=tuple(map(str, range(users))))

    def peak(work, *given):
        tracemalloc.start()
        kept = work(*given)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(kept) in (users, count)
        return found

    assert peak(history_digests, many, None) < 1.2 * peak(newest_first, ratings)
