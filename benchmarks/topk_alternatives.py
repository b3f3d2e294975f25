"""Other ways to the best k movies of each user, each with its best settings.

Every way gets the same vectors and histories and a number of users. It computes their lists and
returns the movie indices of the last few for comparison. Some ways exclude nothing, as their
docstrings note.

Shapes: U users, I movies, D width, B users per call.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import faiss
import numpy as np
import scipy.sparse as sp
from implicit.cpu.topk import topk as implicit_topk
from numpy.typing import NDArray
from synthetic import Factors
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Histories
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.scoring.sparse_term import Rated, SparseTerm
from reco_batch.scoring.topk import tile_rows_of, top_k_blocks

PACKAGES = ("faiss-cpu", "implicit", "tf-keras")
K = 100
THREADS = 2
BATCH = 256
#: Its best tile from 20,000 movies on; at 9,737 it is 6 % faster with 256.
ARGPARTITION_ROWS = 64
#: Weights of each row of the sparse item-item matrix.
STORED = 300
#: Users whose lists are compared.
COMPARED = 64
Lists = NDArray[np.int32]


class Case(NamedTuple):
    """Input of a scoring."""

    factors: Factors
    seen: Histories

    def batches(self, users: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield the bounds of batches of users."""
        yield from ((start, min(start + size, users)) for start in range(0, users, size))


def gemm_only(case: Case, users: int) -> None:
    """Multiply only: the lower bound of every exact way."""
    queries, items = case.factors
    rows = tile_rows_of(len(items))
    buffers = [np.empty((rows, len(items)), np.float32) for _ in range(THREADS)]

    def work(tile: tuple[int, int]) -> None:
        buffer = buffers.pop()
        np.matmul(queries[slice(*tile)], items.T, out=buffer[: tile[1] - tile[0]])
        buffers.append(buffer)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, case.batches(users, rows)))


def ours(case: Case, users: int) -> Lists:
    """Run the job's function."""
    last: Lists = np.empty((0, K), np.int32)
    queries, items = case.factors
    seen = case.seen.block(0, users)
    for block in top_k_blocks(queries[:users], items, seen, k=K, threads=THREADS):
        last = block.items
    return last


def with_sparse_term(case: Case) -> Callable[[Case, int], Lists]:
    """Run the job's function with a sparse term whose rows have `STORED` weights each."""
    movies, rng = len(case.factors.movies), np.random.default_rng(STORED)
    # Popular columns are more frequent, as in histories; repeated ones are added up.
    columns = (movies * rng.random(movies * STORED) ** 3).astype(np.int32)
    weights = rng.random(len(columns), np.float32)
    neighbours = sp.csr_matrix((weights, columns, np.arange(movies + 1) * STORED), (movies, movies))
    own = rng.random(len(case.seen.movie_index), np.float32)
    term = SparseTerm(Rated(case.seen, own), neighbours)

    def lists(case: Case, users: int) -> Lists:
        queries, items = case.factors
        seen, sparse = case.seen.block(0, users), term.block(0, users)
        blocks = top_k_blocks(queries[:users], items, seen, k=K, threads=THREADS, sparse=sparse)
        return [block.items for block in blocks][-1]

    return lists


def argpartition(case: Case, users: int) -> Lists:
    """Use NumPy in the usual form, in two threads over tiles, one BLAS thread each."""
    queries, items = case.factors

    def work(tile: tuple[int, int]) -> Lists:
        scores = queries[slice(*tile)] @ items.T
        seen = case.seen.block(*tile)
        rows = np.repeat(np.arange(len(scores)), np.diff(seen.offsets))
        scores[rows, seen.movie_index] = -np.inf
        best = np.argpartition(scores, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
        return np.take_along_axis(best, order, 1).astype(np.int32)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, case.batches(users, ARGPARTITION_ROWS)))[-1]


def brute_force(case: Case, *, batch: int) -> Callable[[Case, int], Lists]:
    """Use TFRS's BruteForce layer as the notebook does; excludes nothing."""
    layer = tfrs.layers.factorized_top_k.BruteForce(k=K)
    layer.index(case.factors.movies)

    def lists(case: Case, users: int) -> Lists:
        for tile in case.batches(users, batch):
            _, found = layer(tf.constant(case.factors.users[slice(*tile)]))
        return found.numpy()

    return lists


def brute_force_with_exclusions(case: Case) -> Callable[[Case, int], Lists]:
    """Use the same layer with exclusions: batches of 32 users with histories of similar length."""
    layer = tfrs.layers.factorized_top_k.BruteForce(k=K)
    layer.index(case.factors.movies)

    def lists(case: Case, users: int) -> Lists:
        order = np.argsort(np.diff(case.seen.offsets[: users + 1]), kind="stable")
        for start, stop in case.batches(users, 32):
            rows = order[start:stop]
            width = int(np.diff(case.seen.offsets)[rows].max())
            excluded = np.full((len(rows), width), -1, np.int32)
            for place, row in enumerate(rows):
                own = case.seen.of(row)
                excluded[place, : len(own)] = own
            queries = tf.constant(case.factors.users[rows])
            _, found = layer.query_with_exclusions(queries, tf.constant(excluded))
        return found.numpy()

    return lists


def tf_function(case: Case) -> Callable[[Case, int], Lists]:
    """Compile product, scatter of -inf, and top_k into one function."""
    items = tf.constant(case.factors.movies)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, case.factors.users.shape[1]], tf.float32),
            tf.TensorSpec([None, 2], tf.int32),
        ]
    )
    def best(queries: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
        scores = tf.matmul(queries, items, transpose_b=True)
        never = tf.fill(tf.shape(seen)[:1], -np.inf)
        return tf.math.top_k(tf.tensor_scatter_nd_update(scores, seen, never), K).indices

    def lists(case: Case, users: int) -> Lists:
        for tile in case.batches(users, BATCH):
            seen = case.seen.block(*tile)
            rows = np.repeat(np.arange(tile[1] - tile[0]), np.diff(seen.offsets))
            pairs = np.column_stack([rows, seen.movie_index]).astype(np.int32)
            found = best(tf.constant(case.factors.users[slice(*tile)]), tf.constant(pairs))
        return found.numpy()

    return lists


def faiss_flat(case: Case) -> Callable[[Case, int], Lists]:
    """Search faiss's exact index for k and a history more, and drop the history.

    Users of a batch have histories of similar length, so that few searches return too many.
    """
    index = faiss.IndexFlatIP(case.factors.movies.shape[1])
    index.add(case.factors.movies)
    count = len(case.factors.movies)

    def lists(case: Case, users: int) -> Lists:
        lengths = np.diff(case.seen.offsets[: users + 1])
        order = np.argsort(lengths, kind="stable")
        for start, stop in case.batches(users, BATCH):
            rows = order[start:stop]
            more = min(count, K + int(lengths[rows[-1]]))
            _, found = index.search(case.factors.users[rows], more)
            seen = np.zeros((len(rows), count), bool)
            for place, row in enumerate(rows):
                seen[place, case.seen.of(row)] = True
            left = ~np.take_along_axis(seen, found, 1)
            kept = left & (np.cumsum(left, axis=1) <= K)
            best = found[kept].reshape(len(rows), K)
        return best.astype(np.int32)

    return lists


def implicit_cpu(case: Case) -> Callable[[Case, int], Lists]:
    """Run implicit's C++, which needs one BLAS thread for its two threads."""
    ones = np.ones(len(case.seen.movie_index), np.float32)
    shape = (len(case.seen.offsets) - 1, len(case.factors.movies))
    matrix = sp.csr_matrix((ones, case.seen.movie_index, case.seen.offsets), shape)

    def lists(case: Case, users: int) -> Lists:
        with threadpool_limits(1, "blas"):
            for tile in case.batches(users, 1024):
                found, _ = implicit_topk(
                    case.factors.movies,
                    case.factors.users[slice(*tile)],
                    K,
                    filter_query_items=matrix[slice(*tile)],
                    num_threads=THREADS,
                )
        return found

    return lists
