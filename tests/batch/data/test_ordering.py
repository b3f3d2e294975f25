"""Order of ratings, compared with sorts of NumPy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.data.ordering import grouped, user_by_user

FAR = 2**62


def sorted_plainly(user, values, ties):
    """Sort by three keys."""
    return np.lexsort((ties, values, user))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-FAR, -5, 0, 1, 7, FAR]))),
    st.randoms(use_true_random=False),
)
def test_the_order_is_that_of_three_keys(rows, chance):
    """The order is that of a sort by three keys, for values of any range."""
    user = np.array([user for user, _ in rows], np.int32)
    values = np.array([value for _, value in rows], np.int64)
    ties = np.array(chance.sample(range(len(rows)), len(rows)), np.uint64)

    found = user_by_user(user, values, ties=ties)

    np.testing.assert_array_equal(found, sorted_plainly(user, values, ties))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-9, 9))))
def test_groups_keep_the_order_within(rows):
    """Values are grouped as a stable sort would, repeated ones included."""
    groups = np.array([group for group, _ in rows], np.int32)
    values = np.array([value for _, value in rows], np.int64)

    found = grouped(values, groups)

    np.testing.assert_array_equal(found, values[np.argsort(groups, kind="stable")])
    assert found.dtype == values.dtype
