"""Digest of each user's history: equal for equal ratings, so that a refresh finds what changed.

Shapes: U users, I movies, N ratings, K kinds of events.
"""

from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Histories, Ratings, newest_first

#: Bytes of a digest.
DIGEST_BYTES: Final = 16
#: Strengths are relative to the user's largest and rounded, since ageing changes their last bits.
_STRENGTH_STEPS: Final = 10_000
#: Users whose rows are in memory at the same time; those of all would be 80 bytes a rating.
_USERS_PER_BLOCK: Final = 4_096


def history_digests(dataset: Dataset, left_out: Histories | None) -> list[str]:
    """Return a digest of each user's ratings and of the movies that the user's lists leave out.

    Args:
        dataset: ratings, and the kinds of their events.
        left_out: [U] movies that lists leave out, if these are not simply those of the history.

    Returns:
        U hexadecimal digests. Movies count by their id, and strengths relative to each other, so
        that neither another order of the movies nor the age of all events changes a digest.
    """
    count, names = len(dataset.user_ids), _names(dataset.movies.ids)
    order = newest_first(dataset.ratings)
    counts = np.bincount(dataset.ratings.user_index, minlength=count)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    digests: list[str] = []
    for start in range(0, count, _USERS_PER_BLOCK):
        ends = offsets[start : start + _USERS_PER_BLOCK + 1]
        table = _table(dataset, order[ends[0] : ends[-1]], names)
        for user, (first, last) in enumerate(pairwise(ends - ends[0]), start):
            digest = blake2b(table[first:last].tobytes(), digest_size=DIGEST_BYTES)
            if left_out is not None:
                digest.update(b"left out")
                digest.update(names[left_out.of(user)].tobytes())
            digests.append(digest.hexdigest())
    return digests


def _names(movie_ids: tuple[str, ...]) -> NDArray[np.int64]:
    """Return a number for each movie id that does not depend on the other movies, [I]."""
    hashed = b"".join(blake2b(one.encode(), digest_size=8).digest() for one in movie_ids)
    return np.frombuffer(hashed, np.int64)


def _table(
    dataset: Dataset, rows: NDArray[np.int64], names: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return all that a vector depends on, as whole numbers, a row per rating.

    Args:
        dataset: ratings, and the kinds of their events.
        rows: all ratings of some users.
        names: [I] number of each movie.
    """
    ratings = dataset.ratings.take(rows)
    columns: list[NDArray[Any]] = [names[ratings.movie_index]]
    if ratings.rating is not None:
        columns.append(ratings.rating.astype(np.float64).view(np.int64))
    if ratings.timestamp is not None:
        columns.append(ratings.timestamp)
    if ratings.strength is not None:
        columns.append(_relative(ratings, ratings.strength))
    if dataset.events is not None:
        columns.extend(dataset.events.latest[rows].T)
    return np.column_stack([column.astype(np.int64) for column in columns])


def _relative(ratings: Ratings, strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each strength as a share of the largest of the user's, in steps."""
    users, user_index = np.unique(ratings.user_index, return_inverse=True)
    largest = np.zeros(len(users), np.float32)
    np.maximum.at(largest, user_index, np.abs(strength))
    shares = strength / np.where(largest > 0, largest, np.float32(1))[user_index]
    steps: NDArray[np.float64] = np.rint(shares * _STRENGTH_STEPS)
    return steps
