"""The stratified split is scikit-learn's, row for row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from reco_batch.data.stratified import stratified_parts


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(10, 60), min_size=1, max_size=30),
    st.sampled_from([0.1, 0.2, 0.25]),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_public_split(counts, share, seed):
    """Same rows in the same order, however the strata lie, and whatever rounding leaves."""
    strata = np.repeat(np.arange(len(counts)) * 3, counts).astype(np.int32)  # some are not there
    strata = np.random.default_rng(seed).permutation(strata)
    rows = np.arange(len(strata))

    stay, held_out = stratified_parts(strata, share=share, seed=seed)

    theirs = train_test_split(rows, test_size=share, stratify=strata, random_state=seed)
    np.testing.assert_array_equal(stay, theirs[0])
    np.testing.assert_array_equal(held_out, theirs[1])


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_many_users_are_as_few(share):
    """The draws that break ties are the same where there are thousands of them."""
    rng = np.random.default_rng(1)
    strata = rng.permutation(np.repeat(np.arange(3000), rng.integers(10, 40, 3000)))
    strata = strata.astype(np.int32)

    ours = stratified_parts(strata, share=share, seed=42)

    theirs = train_test_split(
        np.arange(len(strata)), test_size=share, stratify=strata, random_state=42
    )
    for mine, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, their)
