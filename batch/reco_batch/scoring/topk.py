"""Exact top-k lists by dot product, without the whole score matrix in memory.

Every query is scored against every item in tiles of queries, and the best k of each tile are kept.
Pure functions over arrays: no files, no Redis, no TensorFlow.

`best_of_tile` finds the best k of a tile. The items are divided into about 4 * k sets, each set
into groups of eight. The k-th largest of the sets' maxima is a lower bound of the k-th score,
because at least k items reach it; a set's maximum is the maximum of its groups' maxima, so the
scores are read once. Only groups that reach the bound are scanned again, which leaves few more than
k items to sort. The result is exact, including ties: by descending score, then by ascending index,
the order of `tf.math.top_k`.

Shapes: Q queries, I items, D embedding width, T queries in a tile, k list length.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Histories
from reco_batch.errors import NotFinite
from reco_batch.rules.list_rules import NO_RULES, ListRules
from reco_batch.rules.reordered import Best, Ordered, reordered
from reco_batch.scoring.sparse_term import SparseTerm
from reco_store.prefetch import prefetch_map

#: Smallest number of queries in a tile.
TILE_ROWS = 64
#: Largest number of queries in a tile: threads wait for each other between the many NumPy calls of
#: a tile, so few large tiles are faster.
_MOST_TILE_ROWS = 256
#: Largest number of scores in a tile of more than TILE_ROWS queries: 64 rows of the 87,585 movies
#: of ml-32m, 22 MB.
_TILE_SCORES = 64 * 87_585
#: Queries in a block, which `top_k_blocks` yields at a time; the unit of memory.
BLOCK_ROWS = 4096
#: Items in a group; 8 to 12 was fastest from 10,000 to 90,000 items.
_LARGEST_GROUP = 8
#: Sets for each of the k items: fewer give a weaker bound, more take longer to reduce.
_SETS_PER_K = 4
#: Smallest finite score.
_LOWEST = np.finfo(np.float32).min


class TopK(NamedTuple):
    """Ranked items, one row for each query, best first."""

    items: NDArray[np.int32]  # [Q, k] item indices; -1 if no eligible item is left
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
    """Number of items in a group."""
    groups: int
    """Number of groups in a set."""

    @classmethod
    def create(cls, item_count: int, *, k: int, rows: int = TILE_ROWS) -> "Scratch":
        """Return a buffer for tiles, with a width that suits the number of items and k."""
        set_size = max(1, item_count // (_SETS_PER_K * k))
        members = min(set_size, _LARGEST_GROUP)
        groups = set_size // members
        sets = -(-item_count // (members * groups))
        scores = np.empty((rows, members * groups * sets), np.float32)
        return cls(scores, item_count, members, groups)


def tile_rows_of(item_count: int) -> int:
    """Return the best number of queries in a tile, if scoring a tile is one product.

    It depends on the number of items only and divides BLOCK_ROWS, so several machines score the
    same tiles and get the same bits.
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
    sparse: SparseTerm | None = None,
    rules: ListRules = NO_RULES,
    look: Callable[[int, NDArray[np.float32]], None] | None = None,
) -> Iterator[TopK]:
    """Yield the k best eligible items of each query, a block of queries at a time.

    The score is a dot product, plus the sparse term if there is one; comparable within a row only.

    Args:
        queries: [Q, D] embeddings.
        items: [I, D] embeddings; the row number is the item index.
        excluded: items to leave out for each query; None excludes nothing.
        k: list length, 1 <= k <= I.
        threads: number of tiles processed at a time; each uses one BLAS thread.
        block_rows: queries in a block.
        sparse: sparse term of the queries, with the I items as candidates.
        rules: eligible items, and the places that they get.
        look: receives the first query of each tile and the scores of all items, [T, I], before any
            is left out; called from several threads.

    Yields:
        Blocks in order, [block, k]. Rows with fewer than k eligible items end in (-1, -inf),
        never in an excluded item.

    Raises:
        ValueError: shapes differ, or k is out of range.
        NotFinite: an embedding or a weight is not finite.

    Cost:
        O(Q * I * D) time, and that of `SparseTerm.add_to`; memory grows with the block and the
        threads, not with Q.
    """
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise ValueError(f"queries {queries.shape} and items {items.shape} must be of one width")
    require_finite(queries=queries, items=items)
    if sparse is not None:
        _check_sparse(sparse, len(queries), len(items))
    _check_k(k, len(items))
    first = Scratch.create(len(items), k=_candidates(rules, k, len(items)))
    padded = np.zeros((first.scores.shape[1], items.shape[1]), np.float32)  # [width, D]
    padded[: len(items)] = items

    def score(start: int, stop: int, scratch: Scratch) -> None:
        tile = scratch.scores[: stop - start]
        np.matmul(queries[start:stop], padded.T, out=tile)
        if sparse is not None:
            sparse.add_to(tile, first=start)
        if look is not None:
            look(start, tile[:, : len(items)])

    yield from select_blocks(
        score,
        excluded,
        len(queries),
        len(items),
        k=k,
        threads=threads,
        block_rows=block_rows,
        rules=rules,
    )


def _check_sparse(sparse: SparseTerm, query_count: int, item_count: int) -> None:
    """Check a sparse term.

    Raises:
        ValueError: it has other queries or items.
        NotFinite: a weight is not finite.
    """
    shape = (len(sparse.rated.history.offsets) - 1, sparse.neighbours.shape[1])
    if shape != (query_count, item_count):
        raise ValueError(
            f"the sparse term has {shape[0]} queries and {shape[1]} items, but the embeddings "
            f"{query_count} and {item_count}"
        )
    require_finite(
        **{"history weights": sparse.rated.weights, "item-item weights": sparse.neighbours.data}
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
                f"the {name} contain a value that is not finite: training diverged. "
                "Lower the learning rate, or check the ratings, and run again."
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
    rules: ListRules = NO_RULES,
) -> Iterator[TopK]:
    """Yield the k best items of each query by scores that `score` writes tile by tile.

    Args:
        score: called with the bounds of a tile's queries and a buffer to fill, from several
            threads, each with its own buffer.
        excluded: items to leave out for each query; None excludes nothing.
        query_count: Q.
        item_count: I.
        k: list length, 1 <= k <= I.
        threads: number of tiles processed at a time.
        block_rows: queries in a block.
        tile_rows: queries in a tile; None: the result of `tile_rows_of`.
        rules: eligible items, and the places that they get.

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

    most = _candidates(rules, k, item_count)
    free = [Scratch.create(item_count, k=most, rows=tile_rows) for _ in range(threads)]

    def work(tile: tuple[int, int]) -> TopK:
        start, stop = tile
        scratch = free.pop()  # list.pop and append are atomic; each thread has one buffer
        score(start, stop, scratch)
        rules.adjust(scratch.scores[: stop - start, :item_count])
        hidden = excluded.block(start, stop) if excluded is not None else None
        best = best_of_tile(scratch, stop - start, hidden, k=most)
        if rules.reorders:
            best = _reordered(best, scratch, rules, k=k)
        free.append(scratch)
        return best

    # One BLAS thread a tile: two on products this small spend their time waiting for each other.
    with threadpool_limits(1, "blas"):
        found: list[TopK] = []
        rows = 0
        # Tiles of the next block start before this one is complete, so that no thread is idle.
        for best in prefetch_map(work, tiles(), threads=threads):
            found.append(best)
            rows += len(best.items)
            if rows % block_rows == 0 or rows == query_count:
                yield TopK.joined(found)
                found = []


def _reordered(best: TopK, scratch: Scratch, rules: ListRules, *, k: int) -> TopK:
    """Return the lists of a tile in the places of the rules, from its scores in the buffer."""
    count = scratch.item_count

    def of_all(rows: NDArray[np.int64], most: int) -> Ordered:
        return Ordered(*_best_of_rows(scratch.scores[rows, :count], k=most))

    def of_new(rows: NDArray[np.int64], most: int) -> Ordered:
        new = rules.new.movie_index if rules.new is not None else np.zeros(0, np.int32)
        tile = scratch.scores[: len(rows)] if len(rows) == len(best.items) else scratch.scores[rows]
        items, scores = _best_of_rows(np.take(tile, new, axis=1), k=most)
        return Ordered(np.where(items >= 0, new[items], -1), scores)

    found = reordered(Ordered(*best), Best(of_all, of_new), rules, k=k, item_count=count)
    return TopK(*found)


def _best_of_rows(scores: NDArray[np.float32], *, k: int) -> TopK:
    """Return the k best items of each row of scores, [R, I], -inf for those to leave out."""
    scratch = Scratch.create(scores.shape[1], k=k, rows=len(scores))
    scratch.scores[:, : scores.shape[1]] = scores
    return best_of_tile(scratch, len(scores), None, k=k)


def _candidates(rules: ListRules, k: int, item_count: int) -> int:
    """Return the number of best items from which the rules make lists of length k."""
    return min(rules.candidates(k), item_count)


def _check_k(k: int, item_count: int) -> None:
    if not 1 <= k <= item_count:
        raise ValueError(f"k={k} must be between 1 and the {item_count} items given")


def best_of_tile(scratch: Scratch, rows: int, excluded: Histories | None, *, k: int) -> TopK:
    """Return the k best items of each row of a filled buffer, which is overwritten.

    Args:
        scratch: scores; finite, or -inf to leave out, in the first `item_count` columns of the
            first `rows` rows.
        rows: number of filled rows.
        excluded: columns to leave out of each row; None leaves out nothing.
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
    bound = np.maximum(bound, _LOWEST)  # excluded items never reach the bound
    # By the flat index: NumPy's nonzero is several times as fast in one dimension.
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
    """Return quotient and remainder, several times as fast as NumPy's `divmod`."""
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

    One unsigned integer contains both sort criteria: the bits of the float, inverted so that a
    better score is a smaller number, above the item. All rows are sorted in one call.

    Args:
        row: row of each item, ascending, [N].
        item: item indices, in any order, [N].
        value: finite scores, [N].
        rows: number of rows; a row may have no item.
        k: list length.

    Returns:
        [rows, k] items and scores.
    """
    bits = (value + np.float32(0)).view(np.uint32)  # + 0 makes -0.0 equal to 0.0
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    key = (~ascending).astype(np.uint64) << np.uint64(32) | item.astype(np.uint64)

    counts = np.bincount(row, minlength=rows)
    width = max(k, int(counts.max(initial=0)))
    shift = np.arange(rows) * width - (np.cumsum(counts) - counts)  # of positions, from row to keys
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
