"""Vectors of a trained retrieval model, whose products and sparse term are the scores.

Shapes: U users, I movies, D embedding dimensions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.scoring.sparse_term import SparseTerm


class Embeddings(NamedTuple):
    """Vectors to score; the row number is the index."""

    users: NDArray[np.float32]  # [U, D]
    movies: NDArray[np.float32]  # [I, D]
    sparse: SparseTerm | None = None
    """Sparse term of the same users' scores; None: the dot product is the score."""

    def among(self, movie_count: int) -> "Embeddings":
        """Return the same without candidates from index `movie_count` on."""
        sparse = None if self.sparse is None else self.sparse.among(movie_count)
        return Embeddings(self.users, self.movies[:movie_count], sparse)

    def rows(self, user_index: NDArray[np.integer]) -> "Embeddings":
        """Return the same with the given users only, in the given order."""
        sparse = None if self.sparse is None else self.sparse.rows(user_index)
        return Embeddings(self.users[user_index], self.movies, sparse)

    def first_users(self, user_count: int) -> "Embeddings":
        """Return the same with the first users only, without copying."""
        sparse = None if self.sparse is None else self.sparse.block(0, user_count)
        return Embeddings(self.users[:user_count], self.movies, sparse)
