"""Co-occurrence counts against a count pair by pair, and their factors."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import START, random_ratings, ratings_of
from reco_batch.models.retrieval import cooccurrence as sessions
from reco_batch.models.retrieval.cooccurrence import (
    affordable_window,
    cooccurrence_counts,
    cooccurrence_factors,
    has_order,
    in_order,
    without_order,
)

EMPTY = sp.csr_matrix((6, 6), dtype=np.float32)
NOBODY = sp.csr_matrix((0, 6), dtype=np.float32)


def lot(user, movie):
    """Mix a pair as SplitMix64, with Python integers."""
    mixed = int(user) << 32 | int(movie)
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return mixed ^ mixed >> 31


def plain_co_ratings(ratings, *, movie_count, window):
    """Count every pair in Python."""
    counts = np.zeros((movie_count, movie_count))
    for user in set(ratings.user_index):
        own = sorted(
            (ratings.timestamp[row], lot(user, ratings.movie_index[row]), ratings.movie_index[row])
            for row in np.flatnonzero(ratings.user_index == user)
        )
        if own[0][0] == own[-1][0]:
            continue  # all of one time: there is no order
        for place, (first, _, one) in enumerate(own):
            for apart, (then, _, other) in enumerate(own[place + 1 : place + 1 + window], start=1):
                share = np.exp(-(then - first) / 7200)
                if share > 1e-3:
                    counts[one, other] += share / np.sqrt(apart)
                    counts[other, one] += share / np.sqrt(apart)
    return counts


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_counts_are_those_of_counting_by_hand(seed, window):
    """Equal times, several sessions and wide windows count every pair correctly."""
    ratings = random_ratings(np.random.default_rng(seed), users=4, movies=8)

    found = cooccurrence_counts(ratings, movie_count=9, window=window)

    expected = plain_co_ratings(ratings, movie_count=9, window=window)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5)
    assert found.dtype == np.float32


@given(st.integers(0, 10**6))
def test_the_order_of_rows_has_no_effect(seed):
    """Counts of shuffled ratings are equal to the last bit."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(rng, users=5, movies=8)

    one = cooccurrence_counts(ratings, movie_count=8, window=5)
    other = cooccurrence_counts(
        ratings.take(rng.permutation(len(ratings))), movie_count=8, window=5
    )

    np.testing.assert_array_equal(one.toarray(), other.toarray())


def test_a_pair_counts_less_the_longer_it_took():
    """The weight is 1 at once, 1/e after two hours, 0 the next day."""
    for seconds, expected in ((0, 1), (7200, np.exp(-1)), (86400, 0)):
        times = [START, START + seconds, 0]
        ratings = ratings_of([(0, 0), (0, 1), (0, 2)], timestamps=times)
        assert cooccurrence_counts(ratings, movie_count=3, window=1)[0, 1] == pytest.approx(
            expected
        )


@pytest.mark.parametrize(
    "ratings", [ratings_of([(0, 0), (0, 1)], timestamps=None), ratings_of([])], ids=["time", "data"]
)
def test_without_time_or_ratings_there_are_no_pairs(ratings):
    """The order of rows has no effect."""
    counts = cooccurrence_counts(ratings, movie_count=6, window=3)

    assert counts.shape == (6, 6)
    assert counts.nnz == 0


def test_order_is_by_user_and_time():
    """The order of ties is independent of the file."""
    ratings = ratings_of(
        [(1, 0), (0, 5), (0, 2), (0, 7), (1, 4)], timestamps=[START, 8, 9, 3, START - 1]
    )

    ((users, movies, times, _),) = in_order(ratings)

    assert users.tolist() == [0, 0, 0, 1, 1]
    assert movies.tolist() == [7, 5, 2, 4, 0]
    assert times.tolist() == [3, 8, 9, START - 1, START]


@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_parts_have_whole_users(at_once):
    """Together they are the whole order; users without ratings belong to none."""
    rng = np.random.default_rng(at_once)
    pairs = [(user, movie) for user in (0, 2, 3, 7) for movie in range(1 + user)]
    ratings = ratings_of(pairs, timestamps=rng.integers(0, 5, len(pairs)).tolist())
    ratings = ratings.take(rng.permutation(len(pairs)))

    parts = list(in_order(ratings, at_once=at_once))

    (whole,) = in_order(ratings)
    for found, expected in zip(zip(*parts, strict=True), whole, strict=True):
        if expected is not None:
            np.testing.assert_array_equal(np.concatenate(found), expected)
    users = [set(part.user_index.tolist()) for part in parts]
    assert sum(map(len, users)) == len(set().union(*users)) == 4
    assert len(parts) > 1


def test_a_part_may_have_dislikes_alone(monkeypatch):
    """Events with strengths below 0 are no evidence, and do not end the count."""
    monkeypatch.setattr("reco_batch.models.retrieval.cooccurrence._PAIRS_AT_ONCE", 1)
    ratings = ratings_of([(0, 0), (0, 1), (1, 0), (1, 1)], timestamps=[1, 2, 3, 4])
    ratings = replace(ratings, strength=np.array([-1, -1, 1, 1], np.float32))

    counts = cooccurrence_counts(ratings, movie_count=2, window=5)

    assert counts.nnz == 2
    nothing = replace(ratings, strength=-np.ones(4, np.float32))
    assert not cooccurrence_counts(nothing, movie_count=2, window=5).nnz


def test_a_pair_of_events_counts_the_geometric_mean_of_their_strengths():
    """A dislike is no part of the order: its neighbours are next to each other."""
    plain = ratings_of([(0, 0), (0, 1), (0, 2)], timestamps=[START] * 2 + [START + 1])
    events = replace(
        ratings_of([(0, 0), (0, 3), (0, 1), (0, 2)], timestamps=[START] * 3 + [START + 1]),
        strength=np.array([4, -1, 9, 0.25], np.float32),
    )

    one = cooccurrence_counts(plain, movie_count=4, window=5).toarray()
    other = cooccurrence_counts(events, movie_count=4, window=5).toarray()

    roots = np.array([2, 3, 0.5, 0])
    np.testing.assert_allclose(other, one * roots * roots[:, np.newaxis], rtol=1e-6)


def test_equal_times_do_not_make_neighbours_of_the_catalogue():
    """With dates instead of times, adjacent movies count no more than others."""
    movie_count, user_count = 20, 300
    pairs = [(user, movie) for user in range(user_count) for movie in range(movie_count)]
    days = [START + 86400 * (movie == 0) for _, movie in pairs]
    ratings = ratings_of(pairs, timestamps=days)

    counts = cooccurrence_counts(ratings, movie_count=movie_count, window=3).toarray()

    of_one_day = counts[1:, 1:]
    next_to = np.diagonal(of_one_day, 1).mean()
    mean_of_any = of_one_day.sum() / ((movie_count - 1) * (movie_count - 2))
    assert next_to == pytest.approx(mean_of_any, rel=0.1)


def test_ratings_of_one_time_have_no_order():
    """Users whose ratings were imported at once are ignored; the others count as before."""
    of_one = [(0, 0), (0, 1), (0, 2)]
    at_once = ratings_of([*of_one, (1, 0), (1, 1)], timestamps=[START, START, START, 5, 9])
    nobody = ratings_of(of_one, timestamps=[START] * 3)

    counts = cooccurrence_counts(at_once, movie_count=3, window=2)

    alone = cooccurrence_counts(
        ratings_of([(0, 0), (0, 1)], timestamps=[5, 9]), movie_count=3, window=2
    )
    np.testing.assert_array_equal(counts.toarray(), alone.toarray())
    assert not cooccurrence_counts(nobody, movie_count=3, window=2).nnz
    assert has_order(at_once)
    assert not has_order(nobody)
    assert not has_order(ratings_of(of_one, timestamps=None))
    assert not has_order(ratings_of([]))


def test_ratings_without_time_have_no_order():
    """The call raises an error."""
    with pytest.raises(ValueError, match="no order"):
        next(in_order(ratings_of([(0, 0)], timestamps=None)))


def test_window_shrinks_with_the_ratings():
    """The budget is 240 million pairs, and at least one per rating."""
    assert affordable_window(40, 0) == 40
    assert affordable_window(40, 6_000_000) == 40
    assert affordable_window(40, 32_000_000) == 7
    assert affordable_window(40, 80_000_000) == 3
    assert affordable_window(40, 500_000_000) == 1


def test_too_many_pairs_are_counted_in_a_smaller_window(monkeypatch):
    """Counts equal those of the reduced window."""
    ratings = random_ratings(np.random.default_rng(1), users=4, movies=8)
    expected = cooccurrence_counts(ratings, movie_count=8, window=2)
    assert (expected != cooccurrence_counts(ratings, movie_count=8, window=6)).nnz

    monkeypatch.setattr(sessions, "_MOST_PAIRS", 2 * len(ratings))

    found = cooccurrence_counts(ratings, movie_count=8, window=6)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_users_counted_a_few_at_a_time_are_all_counted(seed, at_once):
    """No pair is lost between parts, however small."""
    ratings = random_ratings(np.random.default_rng(seed), users=6, movies=8)
    whole = cooccurrence_counts(ratings, movie_count=8, window=4)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "_PAIRS_AT_ONCE", at_once)
        parts = cooccurrence_counts(ratings, movie_count=8, window=4)

    np.testing.assert_allclose(parts.toarray(), whole.toarray(), rtol=1e-5)


def scaled(counts):
    """Divide by both movies' totals, in plain numpy."""
    totals = counts.toarray().sum(axis=1) + 20
    return counts.toarray() / np.sqrt(np.outer(totals, totals))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_factors_keep_the_most_of_the_scaled_counts(seed, dim):
    """Products of the factors equal those of numpy's truncated decomposition."""
    ratings = random_ratings(np.random.default_rng(seed), users=5, movies=8, share=0.7)
    counts = cooccurrence_counts(ratings, movie_count=8, window=4)

    factors = cooccurrence_factors(counts, NOBODY, dim=dim, seed=0)

    left, values, _ = np.linalg.svd(scaled(counts))
    expected = (left[:, :dim] * values[:dim] ** 2) @ left[:, :dim].T
    next_value = values[dim] if dim < 8 else 0
    if values[dim - 1] - next_value > 1e-4:  # else either direction is right
        np.testing.assert_allclose(factors @ factors.T, expected, atol=1e-5)
    assert factors.dtype == np.float32


def test_factors_of_nothing():
    """Zeros of the given width; a movie that no user rated with another has zeros too."""
    ratings = ratings_of([(0, 0), (0, 1), (1, 1), (1, 2)])

    nothing = cooccurrence_factors(EMPTY, NOBODY, dim=3, seed=0)
    some = cooccurrence_factors(
        cooccurrence_counts(ratings, movie_count=4, window=2), NOBODY, dim=2, seed=0
    )

    np.testing.assert_array_equal(nothing, np.zeros((6, 3), np.float32))
    np.testing.assert_allclose(some[3], 0, atol=1e-7)
    assert (np.abs(some[:3]).max(axis=1) > 0.01).all()


def test_fewer_movies_than_factors():
    """There are no more factors than movies."""
    counts = cooccurrence_counts(ratings_of([(0, 0), (0, 1)]), movie_count=2, window=1)

    assert cooccurrence_factors(counts, NOBODY, dim=32, seed=0).shape == (2, 2)


def test_seed_fixes_the_factors():
    """Equal seeds return equal bits."""
    ratings = random_ratings(np.random.default_rng(3), users=20, movies=60)
    counts = cooccurrence_counts(ratings, movie_count=60, window=9)

    one, again, other = (
        cooccurrence_factors(counts, NOBODY, dim=4, seed=seed) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_without_order_factors_come_from_corating_counts():
    """Factors are those of the co-rating counts then."""
    chance = np.random.default_rng(5).random((30, 6))
    interactions = sp.csr_matrix((chance < 0.4).astype(np.float32))
    both = (interactions.T @ interactions).toarray()
    np.fill_diagonal(both, 0)

    found = cooccurrence_factors(EMPTY, interactions, dim=3, seed=0)

    expected = cooccurrence_factors(sp.csr_matrix(both), NOBODY, dim=3, seed=0)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)
    assert np.abs(found).max() > 0.1


def test_without_order_the_most_rated_movies_are_counted(monkeypatch):
    """The budget bounds memory; ties keep the lower index, and other movies are folded in."""
    monkeypatch.setattr(sessions, "_MOST_MOVIES", 3)
    chance = np.random.default_rng(5).random((30, 6))
    interactions = sp.csr_matrix((chance < [0.2, 0.9, 0.5, 0.5, 0.1, 0.8]).astype(np.float32))
    rated = np.asarray(interactions.sum(axis=0)).ravel()
    most = np.argsort(-rated, kind="stable")[:3]

    found = cooccurrence_factors(EMPTY, interactions, dim=3, seed=0)

    kept = sorted(most)
    together = (interactions.T @ interactions).toarray()[:, kept]
    together[kept, range(3)] = 0
    total = together.sum(axis=1)
    scale = 1 / np.sqrt(total + 20)
    core = together[kept] * np.outer(scale[kept], scale[kept])
    left, values, right = np.linalg.svd(core)
    np.testing.assert_allclose(  # whatever the signs
        found[kept] @ found[kept].T, (left * values**2) @ left.T, atol=1e-5
    )
    rest = np.setdiff1d(np.arange(6), kept)
    projected = (scale[rest, None] * together[rest] * scale[kept]) @ right.T
    np.testing.assert_allclose(
        found[rest] @ found[kept].T, projected @ (left * values).T, atol=1e-5
    )
    assert (np.abs(found).max(axis=1) > 1e-3).all()


def test_movies_without_counts_are_folded_in_on_request():
    """A movie that is always rated alone has no ordered counts, but has co-ratings."""
    counts = sp.csr_matrix(np.array([[0, 3, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], "f4"))
    interactions = sp.csr_matrix(np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]], "f4"))
    wanted = np.array([False, False, True, True])

    without = cooccurrence_factors(counts, interactions, dim=4, seed=0)
    found = cooccurrence_factors(counts, interactions, dim=4, seed=0, folded_in=wanted)

    np.testing.assert_array_equal(found[:2], without[:2])
    assert (np.abs(without[2:]) < 1e-6).all()
    alike = found[2] / np.linalg.norm(found[2]) @ (found[:2].sum(axis=0))
    assert alike > 0.1
    assert (np.abs(found[3]) < 1e-6).all()  # no user who rated it rated another


@pytest.mark.parametrize(("alone", "folded"), [(1, False), (2, True)])
def test_corating_counts_are_used_if_order_omits_too_many_movies(alone, folded):
    """Up to a tenth of the rated movies may rely on content; unrated ones do not count."""
    counts = np.zeros((12, 12), np.float32)
    ordered = np.arange(10 - alone)
    counts[ordered, np.roll(ordered, 1)] = counts[np.roll(ordered, 1), ordered] = 1
    interactions = sp.csr_matrix(np.append(np.ones((3, 10)), np.zeros((3, 2)), axis=1))

    found = without_order(sp.csr_matrix(counts), interactions)

    if folded:
        assert found.nonzero()[0].tolist() == [8, 9, 10, 11]
    else:
        assert found is None


def test_directions_without_a_value_are_none():
    """Movies are folded in along directions with a singular value; others are arbitrary."""
    counts = np.zeros((4, 4), np.float32)
    counts[0, 1] = counts[1, 0] = counts[1, 2] = counts[2, 1] = 5  # of rank 2
    interactions = sp.csr_matrix(np.array([[1, 0, 0, 1], [0, 1, 1, 0]], np.float32))

    found = cooccurrence_factors(
        sp.csr_matrix(counts), interactions, dim=4, seed=0, folded_in=np.ones(4, np.bool_)
    )

    scale = 1 / np.sqrt(counts.sum(axis=1) + 20)
    _, _, right = np.linalg.svd(counts * np.outer(scale, scale))
    told = scale[0] * right[:2, 0] / np.sqrt(1 + 20)
    assert np.linalg.norm(found[3]) == pytest.approx(np.linalg.norm(told), rel=1e-4)
