"""Sparse terms of scores, drawn at random, and their dense counterpart."""

import numpy as np
import scipy.sparse as sp

from reco_batch.data.dataset import Histories
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.sparse_term import Rated, SparseTerm


def integers(rng, *shape):
    """Draw small integers: their float sums are exact, and many are equal."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def drawn_sparse(rng, *, users, movies, numbers=integers, share=0.3):
    """Draw a term with empty histories and empty item-item rows, histories in no order."""
    counts = rng.integers(0, max(2, int(movies * share)), users)
    counts[rng.random(users) < 0.2] = 0
    own = [rng.permutation(movies)[:count].astype(np.int32) for count in counts]
    history = Histories(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(own))
    dense = numbers(rng, movies, movies) * (rng.random((movies, movies)) < share)
    dense[rng.random(movies) < 0.2] = 0
    neighbours = sp.csr_matrix(dense.astype(np.float32))
    return SparseTerm(Rated(history, numbers(rng, len(history.movie_index))), neighbours)


def drawn_vectors(rng, *, users, movies, width=3, numbers=integers):
    """Draw vectors with a sparse term."""
    sparse = drawn_sparse(rng, users=users, movies=movies, numbers=numbers)
    return Embeddings(numbers(rng, users, width), numbers(rng, movies, width), sparse)


def dense_term(sparse):
    """Return the [U, I] matrix of a term."""
    (history, weights), neighbours = sparse
    rows = np.repeat(np.arange(len(history.offsets) - 1), np.diff(history.offsets))
    matrix = np.zeros((len(history.offsets) - 1, neighbours.shape[0]), np.float32)
    matrix[rows, history.movie_index] = weights
    return matrix @ neighbours.toarray()


def dense_scores(vectors):
    """Return the [U, I] scores."""
    return vectors.users @ vectors.movies.T + dense_term(vectors.sparse)
