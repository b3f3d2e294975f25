"""Exact top-k: the order of `tf.math.top_k`, reliable exclusions, bounded memory."""

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.data.dataset import Histories
from reco_batch.scoring.topk import (
    BLOCK_ROWS,
    TILE_ROWS,
    Scratch,
    best_of_tile,
    select_blocks,
    tile_rows_of,
    top_k_blocks,
)

#: Few values, so that ties are common; both zeros, a subnormal and the largest among them.
SCORES = st.sampled_from([-3.4e38, -2.0, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, 2.0, 3.4e38])


def excluding(rows):
    """Convert lists of columns to compressed rows."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    flat = np.array([column for row in rows for column in sorted(row)], np.int32)
    return Histories(offsets, flat)


def reference(scores, excluded, k):
    """Sort by descending score and ascending index, without excluded columns."""
    items = np.full((len(scores), k), -1)
    best = np.full((len(scores), k), -np.inf, np.float32)
    for row, own in enumerate(scores):
        eligible = np.setdiff1d(np.arange(len(own)), list(excluded[row]) if excluded else [])
        order = eligible[np.lexsort((eligible, -own[eligible]))][:k]
        items[row, : len(order)] = order
        best[row, : len(order)] = own[order]
    return items, best


def joined(blocks):
    """Join blocks."""
    blocks = list(blocks)
    return (
        np.concatenate([block.items for block in blocks]),
        np.concatenate([block.scores for block in blocks]),
    )


def filled(scores, *, k):
    """Return a buffer with the scores and old values in its padding."""
    scratch = Scratch.create(scores.shape[1], k=k)
    scratch.scores[:] = 3.4e38
    scratch.scores[: len(scores), : scores.shape[1]] = scores
    return scratch


@st.composite
def cases(draw):
    """Draw tiny integer embeddings, with many ties and empty rows."""
    item_count = draw(st.integers(1, 70))
    query_count = draw(st.integers(1, 5))
    width = draw(st.integers(1, 3))
    numbers = st.integers(-2, 2)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    largest = draw(numbers.filter(lambda n: n >= 0))
    queries = rng.integers(-largest, largest + 1, (query_count, width)).astype(np.float32)
    items = rng.integers(-2, 3, (item_count, width)).astype(np.float32)
    share = draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))
    excluded = [set(np.flatnonzero(rng.random(item_count) < share)) for _ in range(query_count)]
    k = draw(st.one_of(st.integers(1, min(4, item_count)), st.integers(1, item_count)))
    return queries, items, excluded, k


@st.composite
def tiles(draw):
    """Draw scores of one tile, with columns to leave out."""
    columns = draw(st.integers(1, 60))
    row = st.lists(SCORES, min_size=columns, max_size=columns)
    scores = np.array(draw(st.lists(row, min_size=1, max_size=3)), np.float32)
    left_out = st.sets(st.integers(0, columns - 1))
    excluded = [draw(left_out) for _ in scores]
    return scores, excluded, draw(st.integers(1, columns))


@given(cases())
def test_equals_the_definition(case):
    """The lists are those of a full sort by score, then by index."""
    queries, items, excluded, k = case

    found = joined(top_k_blocks(queries, items, excluding(excluded), k=k, threads=1))

    expected = reference(queries @ items.T, excluded, k)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@given(tiles())
def test_tile_equals_the_definition(case):
    """All finite scores are ordered correctly, including signed zeros, subnormal and huge ones."""
    scores, excluded, k = case

    best = best_of_tile(filled(scores, k=k), len(scores), excluding(excluded), k=k)

    items, values = reference(scores, excluded, k)
    np.testing.assert_array_equal(best.items, items)
    np.testing.assert_array_equal(best.scores, values)
    assert best.items.dtype == np.int32
    assert best.scores.dtype == np.float32


@given(case=tiles())
def test_order_is_that_of_tensorflow(tf, case):
    """Without exclusions the lists equal those of tf.math.top_k, including ties."""
    scores, _, k = case
    scores[np.abs(scores) < 1e-38] *= 0  # TensorFlow takes subnormal numbers for zeros

    best = best_of_tile(filled(scores, k=k), len(scores), None, k=k)

    values, items = tf.math.top_k(scores, k=k)
    np.testing.assert_array_equal(best.items, items.numpy())
    np.testing.assert_array_equal(best.scores, values.numpy())


@given(cases())
def test_excluded_items_never_appear(case):
    """An excluded item is never returned, even when fewer than k items remain."""
    queries, items, excluded, k = case

    found, scores = joined(top_k_blocks(queries, items, excluding(excluded), k=k, threads=1))

    for row, own in enumerate(found):
        shown = own[own >= 0]
        assert not excluded[row] & set(shown)
        assert len(set(shown)) == len(shown) == min(k, len(items) - len(excluded[row]))
        assert (own[len(shown) :] == -1).all()
        assert np.isneginf(scores[row, len(shown) :]).all()


@settings(max_examples=50)
@given(
    query_count=st.integers(1, 200),
    block_rows=st.integers(1, 200),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_neither_blocks_nor_threads_change_anything(query_count, block_rows, threads, seed):
    """Blocks are in order and complete, for all block sizes and numbers of threads."""
    rng = np.random.default_rng(seed)
    queries = rng.integers(-2, 3, (query_count, 2)).astype(np.float32)
    items = rng.integers(-2, 3, (37, 2)).astype(np.float32)
    excluded = excluding([{row % 37} for row in range(query_count)])

    blocks = list(
        top_k_blocks(queries, items, excluded, k=3, threads=threads, block_rows=block_rows)
    )

    sizes = [len(block.items) for block in blocks]
    assert sizes[:-1] == [block_rows] * (len(blocks) - 1)
    assert sum(sizes) == query_count
    expected = reference(queries @ items.T, [{row % 37} for row in range(query_count)], 3)
    np.testing.assert_array_equal(joined(blocks)[0], expected[0])


def test_everything_excluded_leaves_an_empty_list():
    """A query with all items excluded has an empty list, and others are unaffected."""
    items = np.arange(20, dtype=np.float32)[:, np.newaxis]
    queries = np.ones((2, 1), np.float32)

    found, scores = joined(
        top_k_blocks(queries, items, excluding([set(range(20)), set()]), k=3, threads=1)
    )

    assert found.tolist() == [[-1, -1, -1], [19, 18, 17]]
    assert scores.tolist() == [[-np.inf] * 3, [19, 18, 17]]


def test_all_scores_equal():
    """With equal scores the first k items of the catalogue are returned."""
    found, _ = joined(
        top_k_blocks(
            np.zeros((3, 4), np.float32), np.ones((1000, 4), np.float32), None, k=10, threads=1
        )
    )

    assert (found == np.arange(10)).all()


@pytest.mark.parametrize("item_count", [1, 7, 8, 40, 41, 1601, 9737])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_buffer_suits_any_catalogue(item_count, k):
    """The buffer has a column for each item, little padding, and more sets than k."""
    k = min(k, item_count)
    scratch = Scratch.create(item_count, k=k)

    rows, width = scratch.scores.shape
    set_size = scratch.members * scratch.groups
    assert rows == TILE_ROWS
    assert scratch.members <= 8
    assert 0 <= width - item_count < set_size
    assert width % set_size == 0
    assert width // set_size >= k


def test_large_catalogue_is_scanned_in_full_groups():
    """A large catalogue has groups of eight items and several groups in a set."""
    _, _, members, groups = Scratch.create(9737, k=100)

    assert (members, groups) == (8, 3)


def test_scores_that_rise_and_fall_in_several_groups_a_set():
    """In catalogues large enough for every level, the lists are those of a full sort."""
    rng = np.random.default_rng(5)
    queries = rng.integers(-9, 10, (270, 3)).astype(np.float32)
    items = rng.integers(-9, 10, (4000, 3)).astype(np.float32)
    excluded = [set(rng.choice(4000, 500, replace=False)) for _ in queries]

    found = joined(top_k_blocks(queries, items, excluding(excluded), k=7, threads=2))

    expected = reference(queries @ items.T, excluded, 7)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_whole_matrix_is_never_in_memory():
    """The peak stays below a tenth of the score matrix."""
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(16_000, 2)).astype(np.float32)
    items = rng.normal(size=(4000, 2)).astype(np.float32)
    matrix_bytes = len(queries) * len(items) * 4

    tracemalloc.start()
    try:
        for _ in top_k_blocks(queries, items, None, k=5, threads=2, block_rows=512):
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < matrix_bytes / 10


@pytest.mark.parametrize(
    ("item_count", "rows"),
    [(1, 256), (9_737, 256), (20_000, 256), (25_000, 128), (87_585, 64), (10_000_000, 64)],
)
def test_large_catalogue_has_small_tiles(item_count, rows):
    """Tiles of large catalogues have fewer rows, so that buffers do not grow."""
    assert tile_rows_of(item_count) == rows
    assert BLOCK_ROWS % rows == 0
    seen = []

    def score(start, stop, scratch):
        seen.append((stop - start, len(scratch.scores)))
        scratch.scores[: stop - start] = 0

    if item_count <= 30_000:
        list(select_blocks(score, None, 300, item_count, k=1, threads=1))
        assert seen[0] == (rows, rows)


def test_only_as_many_buffers_as_threads():
    """Tiles reuse one buffer for each thread, and few tiles are scored ahead."""
    lock = threading.Lock()
    buffers: set[int] = set()
    scored: list[tuple[int, int]] = []

    def score(start, stop, scratch):
        with lock:
            buffers.add(scratch.scores.ctypes.data)
            scored.append((start, stop))
        scratch.scores[: stop - start] = 0

    blocks = select_blocks(score, None, 700, 50, k=2, threads=2, block_rows=128, tile_rows=64)
    next(blocks)
    assert {(0, 64), (64, 128)} <= set(scored)
    assert len(scored) <= 2 + 2 * 2  # of these two for each thread
    list(blocks)

    assert max(stop for _, stop in scored) == 700
    assert all(stop - start <= 64 for start, stop in scored)
    assert len(buffers) <= 2


def test_more_threads_than_a_block_has_tiles_are_all_at_work():
    """Tiles of the next blocks start early: here none ends before four have begun."""
    together = threading.Barrier(4)

    def score(start, stop, scratch):
        together.wait(10)
        scratch.scores[: stop - start] = 0

    blocks = select_blocks(score, None, 512, 10, k=2, threads=4, block_rows=64, tile_rows=64)

    assert [len(block.items) for block in blocks] == [64] * 8


def test_failure_in_a_thread_is_the_one_reported():
    """The first error in a tile is raised unchanged."""

    def score(start, stop, scratch):
        if start == 64:
            raise ZeroDivisionError
        scratch.scores[: stop - start] = 0

    with pytest.raises(ZeroDivisionError):
        list(select_blocks(score, None, 1000, 10, k=2, threads=2, tile_rows=64))


@pytest.mark.parametrize("k", [0, 5])
def test_k_out_of_range(k):
    """A list length of zero or beyond the catalogue is refused."""
    four = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match=f"k={k} must be between 1 and the 4"):
        list(top_k_blocks(four, four, None, k=k, threads=1))


def test_widths_must_agree():
    """Queries and items of different widths are refused."""
    with pytest.raises(ValueError, match="of one width"):
        list(top_k_blocks(np.ones((2, 3)), np.ones((2, 4)), None, k=1, threads=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["queries", "items"])
def test_diverged_embeddings_are_refused(bad, where):
    """Diverged embeddings are refused instead of giving arbitrary lists."""
    arrays = {"queries": np.ones((2, 3), np.float32), "items": np.ones((4, 3), np.float32)}
    arrays[where][1, 1] = bad

    with pytest.raises(ValueError, match=f"the {where} contain a value that is not finite"):
        list(top_k_blocks(**arrays, excluded=None, k=1, threads=1))


@settings(max_examples=40)
@given(cases())
def test_equals_brute_force(tf, tfrs, case):
    """Without exclusions the lists are those of TFRS's BruteForce layer."""
    queries, items, _, k = case
    layer = tfrs.layers.factorized_top_k.BruteForce(k=k).index(tf.constant(items))

    found = joined(top_k_blocks(queries, items, None, k=k, threads=1))

    scores, ids = layer(tf.constant(queries))
    np.testing.assert_array_equal(found[0], ids.numpy())
    np.testing.assert_array_equal(found[1], scores.numpy())


@settings(max_examples=40)
@given(cases())
def test_equals_brute_force_with_exclusions(tf, tfrs, case):
    """If k and the exclusions fit into the catalogue, the lists equal those of TFRS."""
    queries, items, excluded, _ = case
    longest = max(map(len, excluded))
    k = min(5, len(items) - longest)
    if k < 1:
        return
    padded = [[*row, *[-1] * (longest - len(row))] for row in map(sorted, excluded)]
    layer = tfrs.layers.factorized_top_k.BruteForce(k=k).index(tf.constant(items))

    found = joined(top_k_blocks(queries, items, excluding(excluded), k=k, threads=1))

    scores, ids = layer.query_with_exclusions(
        tf.constant(queries), tf.constant(padded, tf.int32, shape=(len(queries), longest))
    )
    np.testing.assert_array_equal(found[0], ids.numpy())
    np.testing.assert_array_equal(found[1], scores.numpy())


def test_seen_movies_with_huge_scores_stay_excluded(tf, tfrs):
    """A seen movie with a score above TFRS's penalty of 100,000 stays excluded."""
    items = np.array([[3e5], [1.0], [0.0]], np.float32)
    query = np.ones((1, 1), np.float32)
    layer = tfrs.layers.factorized_top_k.BruteForce(k=1).index(tf.constant(items))
    _, leaked = layer.query_with_exclusions(tf.constant(query), tf.constant([[0]]))
    assert leaked.numpy().tolist() == [[0]]

    found, _ = joined(top_k_blocks(query, items, excluding([{0}]), k=1, threads=1))

    assert found.tolist() == [[1]]
