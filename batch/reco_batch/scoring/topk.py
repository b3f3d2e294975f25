"""Exact top-k lists from embeddings, without ever holding the whole score matrix.

Every query is scored against every item in tiles of queries; of each tile the best k are kept.
Pure functions over arrays: no files, no Redis, no TensorFlow.

How a tile's best k are found (`best_of_tile`): the items fall into some four times k sets, each
set into groups of eight. The k-th largest of the sets' maxima is a lower bound on the k-th score,
because at least k items reach it; a set's maximum is that of its groups' maxima, so the scores are
read once. Only sets that reach the bound are looked at again, in them only groups that do, which
leaves little more than k items to sort. Exact, ties included: score descending, lowest index
first, as `tf.math.top_k` orders them.

Shapes: Q queries, I items, D embedding width, T queries in a tile, k list length.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Histories
from reco_batch.errors import NotFinite
from reco_store.prefetch import mapped_ahead

#: Queries a tile at least.
TILE_ROWS = 64
#: At most: threads wait for each other between a tile's many calls of NumPy, so the fewer tiles the
#: better.
_MOST_TILE_ROWS = 256
#: Scores a tile where that is fewer: 64 rows of ml-32m's 87,585 movies, 22 MB.
_TILE_SCORES = 64 * 87_585
#: Queries a block: what `top_k_blocks` yields at a time, the unit of memory.
BLOCK_ROWS = 4096
#: Items a group; 8 to 12 was best from 10,000 to 90,000 items.
_LARGEST_GROUP = 8
#: Sets for each of the k: with fewer the bound is weaker, with more it takes longer to find.
_SETS_PER_K = 4
#: No finite score is below it.
_LOWEST = np.finfo(np.float32).min


class TopK(NamedTuple):
    """Ranked items, one row a query, best first."""

    items: NDArray[np.int32]  # [Q, k] item indices; -1 where nothing eligible is left
    scores: NDArray[np.float32]  # [Q, k]; -inf where items is -1

    @classmethod
    def joined(cls, parts: Sequence["TopK"]) -> "TopK":
        """Return the lists of all parts, one after the other."""
        items, scores = zip(*parts, strict=True)
        return cls(np.concatenate(items), np.concatenate(scores))


class Scratch(NamedTuple):
    """A thread's own score buffer; the columns beyond `item_count` are padding.

    Item i is member i // (groups * sets) of group i // sets % groups of set i % sets.
    """

    scores: NDArray[np.float32]  # [T, members * groups * sets]
    item_count: int
    members: int
    """Items of a group."""
    groups: int
    """Of a set."""

    @classmethod
    def create(cls, item_count: int, *, k: int, rows: int = TILE_ROWS) -> "Scratch":
        """Return a buffer of some rows, whose width suits the number of items and k."""
        set_size = max(1, item_count // (_SETS_PER_K * k))
        members = min(set_size, _LARGEST_GROUP)
        groups = set_size // members
        sets = -(-item_count // (members * groups))
        scores = np.empty((rows, members * groups * sets), np.float32)
        return cls(scores, item_count, members, groups)


def tile_rows_of(item_count: int) -> int:
    """Return how many queries a tile suit a catalogue, where scoring a tile is one product.

    It depends on nothing else, and is a part of BLOCK_ROWS: what is scored on several machines is
    in the same tiles, and so the same to the last bit.
    """
    rows = _MOST_TILE_ROWS
    while rows > TILE_ROWS and rows * item_count > _TILE_SCORES:
        rows //= 2
    return rows


def top_k_blocks(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    excluded: Histories | None,
    *,
    k: int,
    threads: int,
    block_rows: int = BLOCK_ROWS,
) -> Iterator[TopK]:
    """Yield each query's k best eligible items, a block of queries at a time.

    The score is a dot product: unitless, comparable within a row only.

    Args:
        queries: [Q, D] embeddings.
        items: [I, D] embeddings; the row number is the item index.
        excluded: for each query the items that must not be shown; None excludes nothing.
        k: list length; never more than I.
        threads: tiles worked on at a time; each uses one BLAS thread.
        block_rows: queries in a block.

    Yields:
        Blocks in order, [block, k]. Rows with fewer than k eligible items end in (-1, -inf),
        never in an excluded item.

    Raises:
        ValueError: widths disagree, or k is out of range.
        NotFinite: an embedding is.

    Cost:
        O(Q * I * D) time; memory grows with the block and the threads, not with Q.
    """
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise ValueError(f"queries {queries.shape} and items {items.shape} must be of one width")
    require_finite(queries=queries, items=items)
    _check_k(k, len(items))
    first = Scratch.create(len(items), k=k)
    padded = np.zeros((first.scores.shape[1], items.shape[1]), np.float32)  # [width, D]
    padded[: len(items)] = items

    def score(start: int, stop: int, scratch: Scratch) -> None:
        np.matmul(queries[start:stop], padded.T, out=scratch.scores[: stop - start])

    yield from select_blocks(
        score, excluded, len(queries), len(items), k=k, threads=threads, block_rows=block_rows
    )


def require_finite(**arrays: ArrayLike) -> None:
    """Check the arrays of a trained model.

    Raises:
        NotFinite: a value is infinite or NaN.
    """
    for name, array in arrays.items():
        rows = np.atleast_1d(array)
        # In pieces, since the mask of a whole array would grow with the queries.
        pieces = (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))
        if not all(np.isfinite(piece).all() for piece in pieces):
            raise NotFinite(
                f"the {name} hold a value that is not finite: training diverged. "
                "Lower the learning rate, or look at the ratings, and run again."
            )


def select_blocks(
    score: Callable[[int, int, Scratch], None],
    excluded: Histories | None,
    query_count: int,
    item_count: int,
    *,
    k: int,
    threads: int,
    block_rows: int = BLOCK_ROWS,
    tile_rows: int | None = None,
) -> Iterator[TopK]:
    """Yield the best k of scores that `score` writes tile by tile.

    Args:
        score: called with the first and last query of a tile and a buffer to fill; called from
            several threads, each with a buffer of its own.
        excluded: as in `top_k_blocks`.
        query_count: Q.
        item_count: I.
        k: list length, 1 <= k <= I.
        threads: tiles worked on at a time.
        block_rows: queries in a block.
        tile_rows: queries in a tile; None: as many as `tile_rows_of` says.

    Yields:
        Blocks in order.

    Raises:
        ValueError: k is out of range.
    """
    _check_k(k, item_count)
    tile_rows = tile_rows or tile_rows_of(item_count)

    def tiles() -> Iterator[tuple[int, int]]:
        for block in range(0, query_count, block_rows):
            end = min(block + block_rows, query_count)
            yield from ((n, min(n + tile_rows, end)) for n in range(block, end, tile_rows))

    free = [Scratch.create(item_count, k=k, rows=tile_rows) for _ in range(threads)]

    def work(tile: tuple[int, int]) -> TopK:
        start, stop = tile
        scratch = free.pop()  # list.pop and append are atomic; there is one for each thread
        score(start, stop, scratch)
        hidden = excluded.block(start, stop) if excluded is not None else None
        best = best_of_tile(scratch, stop - start, hidden, k=k)
        free.append(scratch)
        return best

    # One BLAS thread a tile: two on products this small spend their time waiting for each other.
    with threadpool_limits(1, "blas"):
        found: list[TopK] = []
        rows = 0
        # Tiles of the next block are begun before this one is whole, so that no thread is idle.
        for best in mapped_ahead(work, tiles(), threads=threads):
            found.append(best)
            rows += len(best.items)
            if rows % block_rows == 0 or rows == query_count:
                yield TopK.joined(found)
                found = []


def _check_k(k: int, item_count: int) -> None:
    if not 1 <= k <= item_count:
        raise ValueError(f"k={k} must be between 1 and the {item_count} items given")


def best_of_tile(scratch: Scratch, rows: int, excluded: Histories | None, *, k: int) -> TopK:
    """Return the k best of each row of a filled buffer, which is overwritten.

    Args:
        scratch: scores; finite in the first `item_count` columns of the first `rows` rows.
        rows: how many rows are filled.
        excluded: for each row the columns to leave out; None leaves out nothing.
        k: list length.

    Returns:
        [rows, k] items and scores.
    """
    scores = scratch.scores[:rows]
    width = scores.shape[1]
    scores[:, scratch.item_count :] = -np.inf
    if excluded is not None:
        row_of = np.repeat(np.arange(rows) * width, np.diff(excluded.offsets))
        scores.reshape(-1)[row_of + excluded.movie_index] = -np.inf

    members, groups = scratch.members, scratch.groups
    sets = width // (members * groups)
    grouped = scores.reshape(rows, members, groups * sets)
    of_groups = grouped.max(axis=1).reshape(rows, groups, sets)
    of_sets = of_groups.max(axis=1)  # [rows, sets]
    bound = np.partition(of_sets, sets - k, axis=1)[:, sets - k]  # [rows]
    bound = np.maximum(bound, _LOWEST)  # what is excluded reaches no bound
    # Of the flat index, since NumPy finds what is true in one dimension several times as fast.
    row, which = _divmod(np.flatnonzero(of_sets >= bound[:, np.newaxis]), sets)
    reached = of_groups[row, :, which] >= bound[row, np.newaxis]  # [sets reached, groups]
    reached_set, group = _divmod(np.flatnonzero(reached), groups)
    row, column = row[reached_set], group * sets + which[reached_set]
    values = grouped[row, :, column]  # [groups reached, members]
    kept = np.flatnonzero(values >= bound[row, np.newaxis])
    reached_group, member = _divmod(kept, members)
    item = member * (groups * sets) + column[reached_group]
    return sorted_rows(row[reached_group], item, values.reshape(-1)[kept], rows=rows, k=k)


def _divmod(number: NDArray[np.int64], divisor: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return quotient and rest, several times as fast as NumPy's `divmod`, which divides twice."""
    quotient = number // divisor
    return quotient, number - quotient * divisor


def sorted_rows(
    row: NDArray[np.int64],
    item: NDArray[np.integer],
    value: NDArray[np.float32],
    *,
    rows: int,
    k: int,
) -> TopK:
    """Sort the items of each row and keep k of them.

    One unsigned integer carries both criteria: the float's bits, turned so that a better score is
    a smaller number, above the item. Sorting whole rows of them is one call.

    Args:
        row: [N] the row of each item, ascending.
        item: [N] in any order.
        value: [N] scores; finite.
        rows: how many there are; one may have no item.
        k: list length.

    Returns:
        [rows, k] items and scores.
    """
    bits = (value + np.float32(0)).view(np.uint32)  # + 0 makes -0.0 equal to 0.0
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    key = (~ascending).astype(np.uint64) << np.uint64(32) | item.astype(np.uint64)

    counts = np.bincount(row, minlength=rows)
    width = max(k, int(counts.max(initial=0)))
    shift = np.arange(rows) * width - (np.cumsum(counts) - counts)  # from place in row to in keys
    keys = np.full((rows, width), np.iinfo(np.uint64).max)
    keys.reshape(-1)[np.arange(len(row)) + np.repeat(shift, counts)] = key
    keys.sort(axis=1)
    keys = keys[:, :k]

    best = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    descending = ~(keys >> np.uint64(32)).astype(np.uint32)
    value_bits = np.where(descending >> 31, descending ^ np.uint32(1 << 31), ~descending)
    nothing = keys == np.iinfo(np.uint64).max
    return TopK(
        np.where(nothing, -1, best).astype(np.int32),
        np.where(nothing, np.float32(-np.inf), value_bits.view(np.float32)),
    )
