"""Order of ratings, compared with sorts of NumPy."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reco_batch.data import ordering
from reco_batch.data.ordering import grouped, user_by_user, whole_users

FAR = 2**62


def sorted_plainly(user, values, ties):
    """Sort by three keys."""
    return np.lexsort((ties, values, user))


@pytest.mark.parametrize("at_once", [1, 7, 30, 1000])
def test_slices_have_as_many_whole_users_as_fit(at_once):
    """A user with more rows than that has a slice alone, and one without rows has none."""
    users = np.random.default_rng(0).permutation(np.repeat([0, 2, 3, 5, 9], [4, 12, 1, 3, 10]))

    slices = list(whole_users(users.astype(np.int32), at_once=at_once))

    rows = np.sort(users)
    parts = [rows[part] for part in slices]
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert sum(len(set(part)) for part in parts) == 5
    assert all(len(part) <= at_once or len(set(part)) == 1 for part in parts)
    for part, after in pairwise(parts):
        assert len(part) + (after == after[0]).sum() > at_once


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-FAR, -5, 0, 1, 7, FAR]))),
    st.randoms(use_true_random=False),
)
def test_the_order_is_that_of_three_keys(monkeypatch, rows, chance):
    """The order is that of a sort by three keys, for values of any range."""
    user = np.array([user for user, _ in rows], np.int32)
    values = np.array([value for _, value in rows], np.int64)
    ties = np.array(chance.sample(range(len(rows)), len(rows)), np.uint64)

    def keys(rows):
        return values[rows], ties[rows]

    expected = sorted_plainly(user, values, ties)
    np.testing.assert_array_equal(user_by_user(user, keys), expected)
    for at_once in (1, 3):  # a user with more ratings is sorted alone
        with monkeypatch.context() as patch:
            patch.setattr(ordering, "_SORTED_AT_ONCE", at_once)
            np.testing.assert_array_equal(user_by_user(user, keys), expected)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-9, 9))))
def test_groups_keep_the_order_within(rows):
    """Values are grouped as a stable sort would, repeated ones included."""
    groups = np.array([group for group, _ in rows], np.int32)
    values = np.array([value for _, value in rows], np.int64)

    found = grouped(values, groups)

    np.testing.assert_array_equal(found, values[np.argsort(groups, kind="stable")])
    assert found.dtype == values.dtype
