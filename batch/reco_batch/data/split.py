"""Split of the ratings into training, validation and test parts.

`random` is the split of the notebook: stratified by user, 80/20, then 90/10 of the rest. `time`
holds out each user's latest fifth. `global` holds out everything after one moment, which is the
task of a run: with the others, the training part contains what other users did later. Users with
too few ratings for a test part stay in training, and are counted. Where fewer than half of the
users with a test part have enough ratings for a validation part, some of the others are drawn to
hold out one rating: a choice for all users cannot be made on the most active ones. `global` needs
no such draw.

Of events, whole interactions are held out, so no event of a held-out pair of user and movie is in
training. Only interactions of target kinds are; the others are training data. Where the split is by
time, an interaction with any event after the held-out ones is in no part, since it would reveal
the future.

Shapes: N ratings, U users, C strata. All parts are row numbers of the ratings, int64.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.data.ordering import grouped, user_by_user
from reco_batch.errors import DataRefused
from reco_batch.settings.hyperparameters import SplitBy

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
#: ceil(1 / share): users with fewer ratings have none in the part.
_ROWS_FOR_TEST = 5
_ROWS_FOR_VALIDATION = 10
_NONE: Final[NDArray[np.int64]] = np.empty(0, np.int64)


class Split(NamedTuple):
    """Row numbers of each part; `train` is in training order."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    users_only_in_training: int
    newcomers: NDArray[np.int64] = _NONE
    """As late as validation, of users without training ratings or of no target kind: no choice is
    made on them, but the measured models train on them."""
    cold: NDArray[np.int64] = _NONE
    """As late as test, of users without earlier ratings: nothing can be measured on them."""
    moment: float | None = None
    """Moment of a global split, in seconds since 1970."""
    left_out: NDArray[np.int64] = _NONE
    """With an event as late as test, and not in it: no model that is measured trains on them."""


class _Targets(NamedTuple):
    """Interactions that may be held out, with the times that decide about it."""

    rows: NDArray[np.int64]
    when: NDArray[np.int64]  # of all interactions: that of the newest event of a target kind
    others: NDArray[np.int64]
    """Rows of all other interactions."""

    @classmethod
    def of(cls, ratings: Ratings) -> "_Targets":
        rows = np.arange(len(ratings))
        when = rows if ratings.timestamp is None else ratings.timestamp
        if ratings.target_time is not None:
            when = ratings.target_time
        if ratings.is_target is None:
            return cls(rows, when, _NONE)
        return cls(rows[ratings.is_target], when, rows[~ratings.is_target])


def split_ratings(
    ratings: Ratings,
    *,
    by: SplitBy,
    seed: int,
    date: datetime | None = None,
) -> Split:
    """Divide the ratings into three parts.

    Args:
        ratings: all ratings.
        by: kind of split: random within each user, the latest of each user, or the latest of all.
        seed: random seed; the notebook's is 42.
        date: moment after which a global split holds out every rating; None: the 80 % quantile of
            the timestamps.

    Returns:
        The parts; test and validation are empty if no user has enough ratings.

    Raises:
        DataRefused: the split needs timestamps and the ratings have none, or a global split has no
            rating on one side of its moment.

    Source:
        `train_test_split(stratify=...)` of scikit-learn, as called by the notebook, row for row.
    """
    if by is not SplitBy.RANDOM:
        _require_times(ratings)
    targets = _Targets.of(ratings)
    if by is SplitBy.TIME:
        return _by_time(ratings, targets, seed=seed)
    if by is SplitBy.GLOBAL:
        return _global(ratings, targets, seed=seed, date=date)
    users = ratings.user_index
    rest, test, few = _stratified(
        targets.rows, users, share=TEST_SHARE, at_least=_ROWS_FOR_TEST, seed=seed
    )
    train, validation, few_of_rest = _stratified(
        rest, users, share=VALIDATION_SHARE, at_least=_ROWS_FOR_VALIDATION, seed=seed
    )
    if few_of_rest:
        of_few = _one_each(rest, test, users, seed=seed)
        train = train[~np.isin(train, of_few)]
        validation = np.concatenate([validation, of_few])
    if few or few_of_rest or len(targets.others):  # those rows are at the end, in file order
        train = np.concatenate([train, targets.others])
        train = np.random.default_rng(seed).permutation(train)
    return Split(train, validation, test, few)


def _stratified(
    rows: NDArray[np.int64],
    users: NDArray[np.int32],
    *,
    share: float,
    at_least: int,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Hold out `share` of each user's rows, but none of users with fewer than `at_least`.

    Args:
        rows: rows to divide.
        users: user of each rating, in any row.
        share: share to hold out.
        at_least: smallest number of rows of a user of whom some are held out.
        seed: random seed.

    Returns:
        The remaining rows, the held-out rows, and the number of users with too few rows.
    """
    strata = users[rows]
    counts = np.bincount(strata)
    is_few = (counts > 0) & (counts < at_least)
    few = int(is_few.sum())
    if not few:
        return *stratified_parts(rows, strata, share=share, seed=seed), few
    stays = is_few[strata]
    if stays.all():
        return rows, rows[:0], few
    stay, held_out = stratified_parts(rows[~stays], strata[~stays], share=share, seed=seed)
    return np.concatenate([stay, rows[stays]]), held_out, few


def _one_each(
    rest: NDArray[np.int64], test: NDArray[np.int64], users: NDArray[np.int32], *, seed: int
) -> NDArray[np.int64]:
    """Return one random row of each drawn user with too few rows for a validation part."""
    drawn = _drawn_few(users[rest], users[test], seed=seed)
    own = np.random.default_rng(seed).permutation(rest[drawn[users[rest]]])
    _, first = np.unique(users[own], return_index=True)
    return own[first]


def _drawn_few(
    of_rest: NDArray[np.int32], of_test: NDArray[np.int32], *, seed: int
) -> NDArray[np.bool_]:
    """Draw users with a test part, but too few other rows for a validation part, [U].

    A user with n of these rows is drawn with probability n / 10, so one row of each drawn user is
    about a tenth of all such rows. None if most users with a test part have a validation part.

    Args:
        of_rest: user of each row that is not in the test part.
        of_test: user of each row of the test part.
        seed: random seed.
    """
    counts = np.bincount(of_rest)
    tested = np.isin(np.arange(len(counts)), of_test)
    is_few = tested & (counts < _ROWS_FOR_VALIDATION)
    if 2 * is_few.sum() <= tested.sum():
        return np.zeros(len(counts), np.bool_)
    return is_few & (np.random.default_rng(seed).random(len(counts)) < counts * VALIDATION_SHARE)


def _by_time(ratings: Ratings, targets: _Targets, *, seed: int) -> Split:
    """Hold out each user's latest fifth; validation is the latest tenth of the rest."""
    users, when = ratings.user_index, targets.when
    counts = np.bincount(users[targets.rows])
    few = (counts > 0) & (counts < _ROWS_FOR_TEST)
    of_test = np.where(few, 0, np.floor(counts * TEST_SHARE)).astype(np.int64)
    rest, test = _latest(targets.rows, users, when, of_test)
    counts = np.bincount(users[rest])
    enough = counts >= _ROWS_FOR_VALIDATION
    of_validation = np.where(enough, np.floor(counts * VALIDATION_SHARE), 0).astype(np.int64)
    of_validation += _drawn_few(users[rest], users[test], seed=seed)
    train, validation = _latest(rest, users, when, of_validation)
    train = np.concatenate([train, targets.others])
    first_of_test = _first_of(test, users, when)
    until = first_of_test[users[validation]]
    validation, _, late = _until(validation, ratings, until, until)
    before_test = first_of_test[users[train]]
    before_validation = _first_of(validation, users, when)[users[train]]
    train, newcomers, left_out = _until(train, ratings, before_validation, before_test)
    left_out = np.concatenate([left_out, late])
    # In file order a batch would contain few users, and so few negatives.
    train = np.random.default_rng(seed).permutation(train)
    return Split(train, validation, test, int(few.sum()), newcomers, left_out=left_out)


def _first_of(
    rows: NDArray[np.int64], users: NDArray[np.int32], when: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the earliest time of some rows of each user, [U]; for users without any, never."""
    first = np.full(int(users.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, users[rows], when[rows])
    return first


def _until(
    rows: NDArray[np.int64],
    ratings: Ratings,
    validation: NDArray[np.int64] | float,
    test: NDArray[np.int64] | float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows by their newest event of any kind.

    Returns:
        Rows up to the beginning of validation, up to that of test, and later ones.
    """
    newest = _require_times(ratings)[rows]
    is_late, is_recent = newest > test, newest > validation
    return rows[~(is_late | is_recent)], rows[is_recent & ~is_late], rows[is_late]


def _require_times(ratings: Ratings) -> NDArray[np.int64]:
    """Return the timestamps, which a split by time needs."""
    if ratings.timestamp is None:
        raise DataRefused(
            "the ratings have no timestamp column",
            "one, for a split by time",
            "Add the column or use --split random.",
        )
    return ratings.timestamp


def _global(ratings: Ratings, targets: _Targets, *, seed: int, date: datetime | None) -> Split:
    """Hold out everything after one moment; validation is the latest tenth of the rest.

    Ratings at the moment itself belong to the rest, so ties are never divided.
    """
    users, rows, when = ratings.user_index, targets.rows, targets.when[targets.rows]
    moment = np.quantile(when, 1 - TEST_SHARE) if date is None else date.timestamp()
    is_late = when > moment
    if is_late.all() or not is_late.any():
        day = datetime.fromtimestamp(float(moment), UTC).isoformat(timespec="seconds")
        raise DataRefused(
            f"{'all' if is_late.any() else 'no'} ratings are after {day}",
            "some before and some after it, for a global split",
            "Choose another --split-date or use --split random.",
        )
    late, earlier = rows[is_late], when[~is_late]
    recently = np.quantile(earlier, 1 - VALIDATION_SHARE)
    rest = np.concatenate([rows[~is_late], targets.others])
    train, recent, left_out = _until(rest, ratings, recently, moment)
    is_wanted = targets.when[recent] > recently
    if ratings.is_target is not None:
        is_wanted &= ratings.is_target[recent]
    validation, newcomers = _of_users(recent[is_wanted], users, known=users[train])
    newcomers = np.concatenate([newcomers, recent[~is_wanted]])
    known = np.concatenate([users[train], users[recent]])
    test, cold = _of_users(late, users, known=known)
    # In file order a batch would contain few users, and so few negatives.
    train = np.random.default_rng(seed).permutation(train)
    return Split(train, validation, test, 0, newcomers, cold, float(moment), left_out)


def _of_users(
    rows: NDArray[np.int64], users: NDArray[np.int32], *, known: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows into those of known users and the others."""
    is_known = np.isin(users[rows], known)
    return rows[is_known], rows[~is_known]


def _latest(
    rows: NDArray[np.int64],
    user_index: NDArray[np.int32],
    when: NDArray[np.int64],
    held_out: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out the latest rows of each user, as many as `held_out`, [U]."""
    users = user_index[rows]
    order = user_by_user(users, lambda own: (when[rows[own]], rows[own]))
    counts = np.bincount(users)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    position = np.empty(len(rows), np.int64)  # of each row among its user's, oldest first
    position[order] = np.arange(len(rows)) - starts[users[order]]
    is_late = position >= (counts - held_out)[users]
    return rows[~is_late], rows[is_late]


def stratified_parts(
    rows: NDArray[np.int64], strata: NDArray[np.int32], *, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows into two parts, each stratum by the same share as nearly as possible.

    `train_test_split(stratify=...)` makes the same draws, but collects the rows in lists of Python
    integers: gigabytes and most of the time for 32 million rows.

    Args:
        rows: [N], distinct.
        strata: stratum of each row, [N]; each stratum has at least 1 / share rows.
        share: share of the second part.
        seed: random seed.

    Returns:
        The rows of both parts, in the order of `train_test_split`.

    Cost:
        O(N + C) time, 17 bytes a row at peak.

    Source:
        scikit-learn's `StratifiedShuffleSplit._iter_indices`.
    """
    # The import takes a second, which a refused input need not wait for. `_approximate_mode` is
    # private; the tests compare with the public split.
    from sklearn.utils import check_random_state  # noqa: PLC0415
    from sklearn.utils.extmath import _approximate_mode  # noqa: PLC0415

    counts = np.bincount(strata)
    counts = counts[counts > 0]
    size = int(np.ceil(share * len(strata)))
    rng = check_random_state(seed)
    staying = _approximate_mode(counts, len(strata) - size, rng)
    _approximate_mode(counts - staying, size, rng)  # for its draws only

    ordered = grouped(rows, strata)
    first = 0
    for last in np.cumsum(counts).tolist():
        rng.shuffle(ordered[first:last])
        first = last
    both = np.stack([staying, counts - staying], axis=1).ravel()
    stays = np.repeat(np.arange(len(both)) % 2 == 0, both)
    stay, held_out = ordered[stays], ordered[~stays]
    rng.shuffle(stay)
    rng.shuffle(held_out)
    return stay, held_out
