"""Folded batches: unfolding returns the interactions, in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.models.training.folded_batches import stack_batches


@st.composite
def interactions(draw):
    """Draw rows of few users and movies, most of them repeated, and any batch size."""
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    users = rng.integers(1, draw(st.integers(2, 20)), count).astype(np.int32)
    movies = rng.integers(1, draw(st.integers(2, 20)), count).astype(np.int32)
    stars = (rng.integers(1, 11, count) / 2).astype(np.float32)
    return users, movies, stars, draw(st.integers(1, 70))


@given(interactions())
def test_unfolding_gives_the_interactions_back(case):
    """Slots index the user and movie of every interaction, in order."""
    users, movies, stars, batch_size = case

    steps = stack_batches(users, movies, stars, batch_size=batch_size)

    real = steps["weight"] == 1
    for column, slot, expected in (
        (steps["users"], steps["user_slot"], users),
        (steps["movies"], steps["movie_slot"], movies),
    ):
        np.testing.assert_array_equal(np.take_along_axis(column, slot, axis=1)[real], expected)
    np.testing.assert_array_equal(steps["rating"][real], stars)


@given(interactions())
def test_every_step_is_full_but_the_last(case):
    """Padding is at the end of the last step only, with weight 0."""
    users, movies, stars, batch_size = case

    weight = stack_batches(users, movies, stars, batch_size=batch_size)["weight"]

    assert weight.shape == (-(-len(users) // batch_size), batch_size)
    np.testing.assert_array_equal(weight.ravel(), np.arange(weight.size) < len(users))


@given(interactions())
def test_movies_are_counted_once_a_step(case):
    """Counts are those of the step's movies; a padding movie has weight 0."""
    users, movies, stars, batch_size = case

    steps = stack_batches(users, movies, stars, batch_size=batch_size)

    for step, start in enumerate(range(0, len(movies), batch_size)):
        expected, counts = np.unique(movies[start : start + batch_size], return_counts=True)
        there = len(expected)
        np.testing.assert_array_equal(steps["movies"][step, :there], expected)
        np.testing.assert_allclose(np.exp(steps["movie_log_count"][step, :there]), counts, 1e-6)
        assert (np.exp(steps["movie_log_count"][step, there:]) == 0).all()
        assert (steps["movies"][step, there:] == 0).all()
        assert np.isfinite(steps["movie_log_count"]).all()


@given(interactions())
def test_users_stand_once_in_a_step(case):
    """A user that repeats in a step is computed once."""
    users, movies, stars, batch_size = case

    steps = stack_batches(users, movies, stars, batch_size=batch_size)

    widest = 0
    for step, start in enumerate(range(0, len(users), batch_size)):
        expected = np.unique(users[start : start + batch_size])
        np.testing.assert_array_equal(steps["users"][step, : len(expected)], expected)
        widest = max(widest, len(expected))
    assert steps["users"].shape[1] == widest


@pytest.mark.parametrize("name", ["users", "movies", "user_slot", "movie_slot"])
def test_rows_are_int32(name):
    """Rows have the integer type of the table indices."""
    ones = np.ones(3, np.int32)

    steps = stack_batches(ones, ones, np.ones(3, np.float32), batch_size=2)

    assert steps[name].dtype == np.int32
