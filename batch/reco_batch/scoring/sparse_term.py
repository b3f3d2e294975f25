"""Sparse term of scores: weighted histories times a sparse item-item matrix, added in tiles.

    score(u, i) = users[u] . movies[i]  +  sum over rated m of  weight(u, m) * neighbours[m, i]

Neither a [U, I] matrix nor a dense [I, I] one is made. The addends of the term are added in the
order of the history, so its bits depend on the user's own row alone, not on tile, shard or thread.

The rows of `neighbours` for the histories of a few users are gathered as the columns of one tall
sparse matrix, in which each user has I rows; its product with the weights is the users' terms, one
after the other. That is about three times as fast as SciPy's product of two sparse matrices, which
indexes the non-zeros of a result that is nearly dense.

Shapes: U users, T users of a tile, I movies, N ratings.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories

#: Stored weights that are gathered at a time, unless one user has more: 2 MB with their columns.
#: Fewer cost more calls, more leave the second-level cache.
_GATHERED: Final = 1 << 18
#: Scores computed at a time, unless one user has more.
_SCORES: Final = 1 << 18


class Rated(NamedTuple):
    """Rated movies of users, with a weight for each rating."""

    history: Histories  # [U] rows
    weights: NDArray[np.float32]  # [N]

    def block(self, start: int, stop: int) -> "Rated":
        """Return the rows of users `start` to `stop`, without copying."""
        first, last = self.history.offsets[start], self.history.offsets[stop]
        return Rated(self.history.block(start, stop), self.weights[first:last])

    def rows(self, user_index: NDArray[np.integer]) -> "Rated":
        """Return the rows of the given users, in the given order."""
        offsets, places = self.history.places(user_index)
        return Rated(Histories(offsets, self.history.movie_index[places]), self.weights[places])


class SparseTerm(NamedTuple):
    """Sparse part of the scores of some users."""

    rated: Rated
    """Weighted histories of the users, [U] rows; any movie of the data may be part of one."""
    neighbours: sp.csr_matrix
    """Weights from a rated movie (row) to a candidate (column), float32; [all movies, I]."""

    def block(self, start: int, stop: int) -> "SparseTerm":
        """Return the term of users `start` to `stop`, without copying."""
        return self._replace(rated=self.rated.block(start, stop))

    def rows(self, user_index: NDArray[np.integer]) -> "SparseTerm":
        """Return the term of the given users, in the given order."""
        return self._replace(rated=self.rated.rows(user_index))

    def among(self, movie_count: int) -> "SparseTerm":
        """Return the same without candidates from index `movie_count` on.

        Such movies remain in the histories and still add to the scores of the others.
        """
        if movie_count >= self.neighbours.shape[1]:
            return self
        return self._replace(neighbours=self.neighbours[:, :movie_count])

    def add_to(self, scores: NDArray[np.float32], *, first: int) -> None:
        """Add the term to the scores of a tile of users, in place.

        Args:
            scores: [T, at least I] scores; columns beyond I are left as they are.
            first: row of the first user of the tile.

        Cost:
            One addition for each stored weight in the rows of a user's history.
        """
        rated, width = self.rated.block(first, first + len(scores)), self.neighbours.shape[1]
        stored = np.diff(self.neighbours.indptr)[rated.history.movie_index]
        before = np.concatenate([[0], np.cumsum(stored, dtype=np.int64)])[rated.history.offsets]
        for start, stop in _groups(before, most_users=max(1, _SCORES // width)):
            if before[stop] > before[start]:
                scores[start:stop, :width] += self._of_some(rated.block(start, stop))

    def contributions(
        self, user: int, movies: NDArray[np.int32], items: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return what some movies add to one user's scores of some candidates.

        Args:
            user: row of the user.
            movies: indices of movies, [n]; one outside the user's history adds nothing.
            items: indices of candidates, [k], each at most once.

        Returns:
            [k, n] addends of the term.
        """
        history, own = self.rated.block(user, user + 1)
        weights = np.zeros(self.neighbours.shape[0], np.float32)
        weights[history.movie_index] = own
        stored: NDArray[np.float32] = self.neighbours[movies][:, items].toarray().T
        return stored * weights[movies]

    def _of_some(self, rated: Rated) -> NDArray[np.float32]:
        """Return the term of a few users as a dense array, [T, I]."""
        users, width = len(rated.history.offsets) - 1, self.neighbours.shape[1]
        gathered = self.neighbours[rated.history.movie_index]  # [N, I], a copy
        indices, ends = gathered.indices, gathered.indptr[rated.history.offsets]
        for user in range(1, users):
            indices[ends[user] : ends[user + 1]] += user * width
        columns = sp.csc_matrix(
            (gathered.data, indices, gathered.indptr), (users * width, gathered.shape[0])
        )
        term: NDArray[np.float32] = columns @ rated.weights
        return term.reshape(users, width)


def _groups(before: NDArray[np.int64], *, most_users: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of consecutive groups of users, each of at least one.

    Args:
        before: [T + 1] stored weights of all earlier users; the last is that of all users.
        most_users: number of users that no group exceeds.
    """
    start, users = 0, len(before) - 1
    while start < users:
        fitting = int(np.searchsorted(before, before[start] + _GATHERED, side="right")) - 1
        stop = min(max(fitting, start + 1), start + most_users, users)
        yield start, stop
        start = stop
