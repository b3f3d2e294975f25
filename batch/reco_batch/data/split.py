"""Train, validation and test parts of the ratings.

`random` is the notebook's split: stratified by user, 80/20, then 90/10 of what is left.
`time` holds out each user's latest fifth, which is what a night really has to predict.
Users with too few ratings to stand in every part stay in training, and are counted.

Shapes: N ratings, U users. All parts are row numbers of the ratings, int64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.data.ordering import user_by_user
from reco_batch.data.stratified import stratified_parts
from reco_batch.errors import DataRefused
from reco_batch.settings.hyperparameters import SplitBy

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
#: ceil(1 / share): with fewer rows than this, not every user could have one in the part.
_ROWS_FOR_TEST = 5
_ROWS_FOR_VALIDATION = 10


class Split(NamedTuple):
    """Row numbers of each part; the order of `train` is the order of training."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    users_only_in_training: int


def split_ratings(ratings: Ratings, *, by: SplitBy, seed: int) -> Split:
    """Divide the ratings into three parts.

    Args:
        ratings: all ratings.
        by: at random within each user, or by time.
        seed: of the random split; the notebook's is 42.

    Returns:
        The parts; test and validation may be empty when no user has enough ratings.

    Raises:
        DataRefused: a split by time of ratings without timestamps.

    Source:
        scikit-learn's `train_test_split(stratify=...)`, as the notebook called it, row for row.
    """
    if by is SplitBy.TIME:
        return _by_time(ratings, seed=seed)
    rows = np.arange(len(ratings))
    rest, test, few = _stratified(
        rows, ratings.user_index, share=TEST_SHARE, at_least=_ROWS_FOR_TEST, seed=seed
    )
    train, validation, few_of_rest = _stratified(
        rest,
        ratings.user_index[rest],
        share=VALIDATION_SHARE,
        at_least=_ROWS_FOR_VALIDATION,
        seed=seed,
    )
    if few or few_of_rest:  # the rows of those users stand at the end, in the order of the file
        train = np.random.default_rng(seed).permutation(train)
    return Split(train, validation, test, few)


def _stratified(
    rows: NDArray[np.int64],
    strata: NDArray[np.int32],
    *,
    share: float,
    at_least: int,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Split off `share` of each user's rows; users with fewer than `at_least` keep all theirs.

    Returns:
        The rows that stay, the rows held out, and how many users had too few.
    """
    counts = np.bincount(strata)
    enough = counts[strata] >= at_least
    few = int(((counts > 0) & (counts < at_least)).sum())
    if not enough.any():
        return rows, rows[:0], few
    rows_of_enough = rows[enough]
    stay, held_out = stratified_parts(strata[enough], share=share, seed=seed)
    stay, held_out = rows_of_enough[stay], rows_of_enough[held_out]
    return np.concatenate([stay, rows[~enough]]), held_out, few


def _by_time(ratings: Ratings, *, seed: int) -> Split:
    """Hold out each user's latest fifth; validation is the latest tenth of the rest."""
    if ratings.timestamp is None:
        raise DataRefused(
            "the ratings have no timestamp column",
            "one, for a split by time",
            "Add the column or use --split random.",
        )
    rows = np.arange(len(ratings))
    rest, test, few = _latest(rows, ratings, share=TEST_SHARE, at_least=_ROWS_FOR_TEST)
    train, validation, _ = _latest(
        rest, ratings, share=VALIDATION_SHARE, at_least=_ROWS_FOR_VALIDATION
    )
    # In the file's order a batch would hold few users, and so few negatives.
    return Split(np.random.default_rng(seed).permutation(train), validation, test, few)


def _latest(
    rows: NDArray[np.int64], ratings: Ratings, *, share: float, at_least: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Split off the latest `share`, rounded down, of each user's rows."""
    assert ratings.timestamp is not None  # noqa: S101  # the caller has refused already
    users = ratings.user_index[rows]
    order = user_by_user(users, ratings.timestamp[rows], ties=rows)
    counts = np.bincount(users)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    position = np.empty(len(rows), np.int64)  # of each row among its user's, oldest first
    position[order] = np.arange(len(rows)) - starts[users[order]]
    kept = counts - np.where(counts >= at_least, np.floor(counts * share), 0).astype(np.int64)
    held_out = position >= kept[users]
    few = int(((counts > 0) & (counts < at_least)).sum())
    return rows[~held_out], rows[held_out], few
