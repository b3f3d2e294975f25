"""Hybrid without its users, as it is stored for refreshes.

The vectors of users follow from their ratings (`HybridRetrieval.fold_in`), so the stored model has
none, and no data of a user.

Shapes: U users, I movies, S dimensions of the similarity vectors.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.retrieval.hybrid import Halves, HybridRetrieval, Users
from reco_batch.settings.hyperparameters import HybridParameters

_Number = TypeVar("_Number", bound=np.number)


class StoredHybrid(NamedTuple):
    """Trained hybrid without users."""

    halves: Halves
    parameters: HybridParameters
    similar: NDArray[np.float32]  # [I, S]
    movie_ids: tuple[str, ...]

    @classmethod
    def of(cls, model: HybridRetrieval) -> "StoredHybrid":
        """Return a trained model without its users."""
        halves, parameters, similar, movie_ids = model.movie_side()
        encoder = halves.encoder._replace(users=halves.encoder.users[:0])
        return cls(halves._replace(encoder=encoder), parameters, similar, tuple(movie_ids))

    def arranged(self, movie_ids: tuple[str, ...]) -> "StoredHybrid":
        """Return the model for other movies, in their order.

        A movie that the model does not know has the vector zero, and the least bias and popularity
        of all movies: it comes after every movie that a user may like.
        """
        if movie_ids == self.movie_ids:
            return self
        rows = places(self.movie_ids, movie_ids)
        encoder = self.halves.encoder
        least = np.append(np.zeros(encoder.movies.shape[1] - 1), encoder.movies[:, -1].min())
        halves = self.halves._replace(
            encoder=encoder._replace(
                history=taken(encoder.history, rows), movies=taken(encoder.movies, rows, least)
            ),
            neighbours=_taken_both_ways(self.halves.neighbours, rows),
            popularity=taken(self.halves.popularity, rows, self.halves.popularity.min(axis=0)),
        )
        similar = taken(self.similar, rows)
        return StoredHybrid(halves, self.parameters, similar, movie_ids)

    def with_users(self, ratings: Ratings, user_ids: Sequence[str]) -> HybridRetrieval:
        """Return the model of these users, whose vectors follow from their ratings."""
        return HybridRetrieval(
            self.halves,
            Users.of(ratings, user_count=len(user_ids)),
            self.parameters,
            similar=self.similar,
            ids=(user_ids, self.movie_ids),
        )


def places(known: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return the row of each wanted id among the known ones; -1 for none."""
    row = {one: place for place, one in enumerate(known)}
    return np.array([row.get(one, -1) for one in wanted], np.int64)


def taken(
    rows: NDArray[_Number], wanted: NDArray[np.int64], unknown: NDArray[np.floating] | float = 0
) -> NDArray[_Number]:
    """Return the wanted rows, and `unknown` in place of row -1."""
    found = rows[wanted]
    found[wanted < 0] = unknown
    return found


def _taken_both_ways(matrix: sp.csr_matrix, wanted: NDArray[np.int64]) -> sp.csr_matrix:
    """Return the wanted rows and columns of a square matrix; row and column -1 are empty."""
    count = matrix.shape[0]
    wider = sp.csr_matrix(
        (matrix.data, matrix.indices, np.append(matrix.indptr, matrix.indptr[-1])),
        (count + 1, count + 1),
    )
    return wider[wanted][:, wanted].tocsr()
