"""Variety of lists: unlike movies in a list, users' tags in their lists, even use of the catalogue.

Pure functions over arrays. Shapes: U users, K list length, I movies, S similarity dimensions,
G tags.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories

#: Share of the history's distribution in that of the list, so that no divergence is infinite.
SMOOTHING: Final = 0.01
#: Cells of the arrays of some users.
_CELLS: Final = 1 << 21


def intra_list_diversity(
    lists: NDArray[np.int32], vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the mean of 1 - cosine over all pairs of movies in each list, [U].

    NaN for a list with fewer than two movies. A movie whose vector is zero is unlike all others.

    Args:
        lists: [U, K] movie indices; -1 is no movie.
        vectors: [I, S] similarity vectors of any length.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    alike = np.full(len(lists), np.nan)
    for rows in _slices(len(lists), lists.shape[1] * vectors.shape[1]):
        shown = lists[rows] >= 0
        own = unit[lists[rows]] * shown[:, :, np.newaxis]  # [rows, K, S]
        # The square of a sum of vectors has each pair twice, and each vector with itself.
        twice = np.square(own.sum(axis=1)).sum(axis=1) - np.square(own).sum(axis=(1, 2))
        count = shown.sum(axis=1)
        pairs = count * (count - 1)
        np.divide(twice, pairs, out=alike[rows], where=pairs > 0)
    return 1 - alike


def gini(counts: NDArray[np.int64]) -> float:
    """Return the Gini index of how often each movie is recommended.

    0 if all are recommended equally often, near 1 if a few have all places; NaN without any.

    Args:
        counts: [I] places of each movie in all lists.
    """
    if not counts.sum():
        return float("nan")
    ascending = np.sort(counts).astype(np.float64)
    rank = np.arange(1, len(counts) + 1)
    return float((2 * rank - len(counts) - 1) @ ascending / (len(counts) * ascending.sum()))


def tag_shares(tags: Sequence[Sequence[str]]) -> sp.csr_matrix:
    """Return each movie's distribution over the tags, [I, G]: equal shares, none without tags."""
    number = {tag: n for n, tag in enumerate(sorted({tag for own in tags for tag in own}))}
    ends = np.cumsum([0, *map(len, tags)])
    columns = np.array([number[tag] for own in tags for tag in own], np.int32)
    counts = np.diff(ends)
    shares = np.repeat(1 / np.maximum(counts, 1), counts)
    return sp.csr_matrix((shares, columns, ends), (len(tags), len(number)))


def miscalibration(
    lists: NDArray[np.int32], histories: Histories, shares: sp.csr_matrix
) -> NDArray[np.float64]:
    """Return the divergence between the tags of each user's history and of the list, [U].

    The Kullback-Leibler divergence, in nats; 0 if the list has the tags of the history in the same
    shares. NaN for a user whose history, or list, has no movie with a tag.

    Args:
        lists: [U, K] movie indices; -1 is no movie.
        histories: movies of the same users, [U] rows.
        shares: [I, G] result of `tag_shares`.

    Source:
        Steck, Calibrated recommendations (RecSys 2018), equations 2, 3 and 5, with equal weights.
    """
    found = np.full(len(lists), np.nan)
    mean_length = len(histories.movie_index) // max(1, len(lists))
    for rows in _slices(len(lists), max(shares.shape[1], mean_length)):
        own = histories.block(rows.start, rows.stop)
        wanted = _distribution(own.movie_index, np.diff(own.offsets), shares)
        shown = lists[rows]
        given = _distribution(shown[shown >= 0], (shown >= 0).sum(axis=1), shares)
        smooth = (1 - SMOOTHING) * given + SMOOTHING * wanted
        ratio = np.divide(wanted, smooth, out=np.ones_like(wanted), where=wanted > 0)
        is_known = (wanted.sum(axis=1) > 0) & (given.sum(axis=1) > 0)
        found[rows] = np.where(is_known, (wanted * np.log(ratio)).sum(axis=1), np.nan)
    return found


def _distribution(
    movies: NDArray[np.int32], counts: NDArray[np.int64], shares: sp.csr_matrix
) -> NDArray[np.float64]:
    """Return the tags of each row's movies as shares, [rows, G]; zeros where there are none.

    Args:
        movies: indices, row after row.
        counts: movies of each row.
        shares: [I, G] shares of each movie's tags.
    """
    ends = np.concatenate([[0], np.cumsum(counts)])
    chosen = sp.csr_matrix((np.ones(len(movies)), movies, ends), (len(counts), shares.shape[0]))
    total: NDArray[np.float64] = (chosen @ shares).toarray()
    all_tags = total.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.zeros_like(total)
    np.divide(total, all_tags, out=found, where=all_tags > 0)
    return found


def _slices(rows: int, width: int) -> Iterator[slice]:
    """Yield slices of rows whose arrays of this width have a bounded size."""
    size = max(1, _CELLS // max(1, width))
    yield from (slice(start, min(start + size, rows)) for start in range(0, rows, size))
