"""Dataset: arrays of ratings, movies and histories, and the findings."""

import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.data.dataset import Findings, Histories, Movies, Ratings, histories


def ratings_of(users, movies, timestamps=None):
    """Make ratings of three stars."""
    return Ratings(
        np.array(users, np.int32),
        np.array(movies, np.int32),
        np.full(len(users), 3, np.float32),
        None if timestamps is None else np.array(timestamps, np.int64),
    )


def catalogue(*ids):
    """Make a catalogue of ids."""
    return Movies(ids, ids, tuple(() for _ in ids), tuple(None for _ in ids))


def test_rows_are_taken_in_the_given_order():
    """Rows of all columns are taken in the given order."""
    ratings = ratings_of([0, 1, 2], [5, 6, 7], [10, 20, 30])

    taken = ratings.take(np.array([2, 0]))

    assert len(ratings) == 3
    assert len(taken) == 2
    assert taken.user_index.tolist() == [2, 0]
    assert taken.movie_index.tolist() == [7, 5]
    assert taken.timestamp.tolist() == [30, 10]
    assert ratings_of([0], [1]).take(np.array([0])).timestamp is None


def test_targets_have_the_time_of_their_target_event():
    """In every part, and with or without other interactions."""
    events = dataclasses.replace(
        ratings_of([0] * 3, range(3), [10, 20, 30]),
        target_time=np.array([10, 5, -1]),
        is_target=np.array([True, True, False]),
    )

    assert events.targets.timestamp.tolist() == [10, 5]
    assert events.targets.targets.timestamp.tolist() == [10, 5]
    assert events.take(np.array([2, 1])).targets.timestamp.tolist() == [5]
    assert dataclasses.replace(events, is_target=None).targets.timestamp.tolist() == [10, 5, -1]
    assert dataclasses.replace(events, target_time=None).targets.timestamp.tolist() == [10, 20]


def test_strengths_of_fitted_rows_have_a_mean_of_1_over_those_above_0():
    """Whatever their age, so that penalties and losses mean the same in each part."""
    strength = np.array([4, 0.03, -0.02, 0.01, 9], np.float32)
    events = dataclasses.replace(ratings_of([0] * 5, range(5)), rating=None, strength=strength)

    fitted = events.fitted(np.array([3, 2, 1]))

    assert fitted.movie_index.tolist() == [3, 2, 1]
    assert fitted.strength.tolist() == pytest.approx([0.5, -1, 1.5])
    assert fitted.strength.dtype == np.float32
    assert events.fitted(np.array([2])).strength.tolist() == strength[[2]].tolist()
    assert dataclasses.replace(events, strength=None).fitted(np.array([0])).strength is None


def test_ratings_are_copied_column_by_column():
    """Ratings are replaced and pickled column by column; their length is that of a column."""
    ratings = ratings_of([0, 1, 2], [5, 6, 7], [10, 20, 30])

    other = dataclasses.replace(ratings, timestamp=None)
    sent = copy.deepcopy(ratings)  # as a worker gets it

    assert (len(other), other.timestamp, other.movie_index.tolist()) == (3, None, [5, 6, 7])
    assert sent.timestamp.tolist() == [10, 20, 30]
    with pytest.raises(dataclasses.FrozenInstanceError):
        ratings.timestamp = None


def test_history_is_newest_first():
    """A history begins with the latest rating; among equal times the later row is first."""
    rated = histories(
        ratings_of([1, 0, 1, 1, 1], [10, 11, 12, 13, 14], [5, 5, 9, 1, 5]), user_count=3
    )

    assert rated.of(0).tolist() == [11]
    assert rated.of(1).tolist() == [12, 14, 10, 13]
    assert rated.of(2).tolist() == []


def test_history_without_timestamps_has_the_order_of_the_file():
    """Without timestamps a later row counts as newer."""
    rated = histories(ratings_of([0, 0, 1, 0], [1, 2, 3, 4]), user_count=2)

    assert rated.of(0).tolist() == [4, 2, 1]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 3)), max_size=40),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_histories_hold_every_rating(rows, start, stop):
    """A history contains all movies of its user, and a block equals its rows."""
    users, movies, times = ([row[column] for row in rows] for column in range(3))

    rated = histories(ratings_of(users, movies, times), user_count=6)

    assert len(rated.offsets) == 7
    for user in range(6):
        own = [(t, i, m) for i, (u, m, t) in enumerate(rows) if u == user]
        assert rated.of(user).tolist() == [m for _, _, m in sorted(own, reverse=True)]
    block = rated.block(start, max(start, stop))
    assert block.offsets[0] == 0
    for row, user in enumerate(range(start, max(start, stop))):
        np.testing.assert_array_equal(block.of(row), rated.of(user))


def test_rows_are_those_of_the_requested_users():
    """Requested rows are in the given order, with empty and repeated users."""
    rated = Histories(np.array([0, 2, 2, 5, 6]), np.int32([7, 3, 1, 4, 9, 8]))

    rows = rated.rows(np.array([2, 1, 0, 2]))

    assert [rows.of(row).tolist() for row in range(4)] == [[1, 4, 9], [], [7, 3], [1, 4, 9]]
    assert len(rated.rows(np.array([], np.int64)).movie_index) == 0


@pytest.mark.parametrize(
    ("ids", "numeric"),
    [
        (("1", "20", "0"), True),
        (("9007199254740991",), True),
        (("9007199254740992",), False),
        (("1", "x"), False),
        (("01",), False),
        (("-1",), False),
        (("1.0",), False),
        (("٣",), False),
        ((), True),
    ],
)
def test_numeric_ids_are_canonical_integers(ids, numeric):
    """Ids are numeric only if JSON changes none of them."""
    assert catalogue(*ids).numeric_ids is numeric
    assert len(catalogue(*ids)) == len(ids)


def test_findings_with_a_count_of_zero_are_omitted():
    """Findings with a count above zero become sentences with their number."""
    assert Findings(ratings_read=10_000).describe() == ()

    sentences = Findings(
        duplicates_dropped=1234,
        ratings_of_unknown_movies=7,
        unknown_movies=2,
        movies_without_ratings=3,
    ).describe()

    assert len(sentences) == 3
    assert "1,234 ratings repeated" in sentences[0]
    assert "7 ratings of 2 movies" in sentences[1]
    assert "3 movies without a rating" in sentences[2]


def test_interactions_have_no_stars():
    """Implicit feedback is taken like ratings, and access to its stars raises an error."""
    bought = dataclasses.replace(ratings_of([0, 1], [5, 6]), rating=None)

    assert bought.take(np.array([1])).rating is None
    assert ratings_of([0], [5]).stars.tolist() == [3]
    with pytest.raises(ValueError, match="the ratings have no stars"):
        bought.stars  # noqa: B018  # the reading is what raises


def test_findings_about_interactions_call_them_so():
    """Findings on implicit feedback call it interactions, and begin with its consequences."""
    sentences = Findings(
        ratings_read=1234,
        without_stars=True,
        duplicates_dropped=2,
        ratings_of_unknown_movies=7,
        unknown_movies=2,
        movies_without_ratings=3,
    ).describe()

    assert sentences[0].startswith("1,234 interactions, no rating column: ratings are not pre")
    assert sentences[1].startswith("2 interactions repeated")
    assert sentences[2].startswith("7 interactions of 2 movies")
    assert sentences[3].startswith("3 movies without an interaction:")
