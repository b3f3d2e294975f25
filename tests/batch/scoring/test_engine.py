"""Engines: lists scored in shards equal the lists of all rows, to the last bit."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reco_batch.scoring.engine as engine_module
from reco_batch.data.dataset import Histories
from reco_batch.errors import NotFinite
from reco_batch.scoring.catalogue import ByProduct, Rows, by_stars, with_reasons
from reco_batch.scoring.engine import LocalEngine, open_engine
from reco_batch.scoring.explanations import Influence, explained
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import ranked_blocks
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.scoring.sparse_term import Rated
from reco_batch.scoring.topk import tile_rows_of, top_k_blocks
from reco_batch.scoring.uncertainty import Bound
from reco_batch.settings.hyperparameters import EngineName

USERS, MOVIES, WIDTH = 1100, 70, 6


def normal(*shape, seed=0):
    """Return random weights."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def seen_by(users):
    """Let user u have seen u % 20 movies."""
    counts = np.arange(users) % 20
    offsets = np.concatenate([[0], np.cumsum(counts)])
    movies = [np.arange(n, dtype=np.int32) for n in (0, *counts)]
    return Histories(offsets, np.concatenate(movies))


def joined(blocks):
    """Put blocks together."""
    items, scores = zip(*blocks, strict=True)
    return np.concatenate(items), np.concatenate(scores)


def require_equal(blocks, expected):
    """The lists are the same, scores to the last bit."""
    for found, right in zip(joined(blocks), joined(expected), strict=True):
        np.testing.assert_array_equal(found, right)


def network():
    """Make a rating network without training."""
    return RatingWeights(
        normal(USERS, 8, seed=1),
        normal(MOVIES, 8, seed=2),
        normal(8, 4, seed=3),
        normal(4, seed=4),
        normal(4, seed=5),
        np.float32(3.5),
    )


def linear():
    """Make a linear rating model without training."""
    return LinearRating(
        3.5,
        normal(USERS, seed=1),
        normal(MOVIES, seed=2),
        normal(USERS, WIDTH, seed=3),
        normal(MOVIES, WIDTH, seed=4),
        (0.5, 5.0),
    )


@pytest.fixture
def in_shards(monkeypatch):
    """An engine that scores two tiles with each call."""
    monkeypatch.setattr(engine_module, "BLOCK_ROWS", tile_rows_of(MOVIES))
    monkeypatch.setattr(engine_module, "_LOCAL_BLOCKS", 2)
    return LocalEngine(threads=2)


@given(count=st.integers(0, 50), size=st.integers(1, 60))
def test_shards_are_all_rows_in_their_order(count, size):
    """Each row is in one shard, with its own vectors and exclusions."""
    rows = Rows({"a": normal(count, 2), "b": normal(count, seed=1)}, seen_by(count))

    shards = list(rows.shards(size))

    assert [len(shard) for shard in shards[:-1]] == [size] * (len(shards) - 1)
    assert sum(map(len, shards)) == len(rows) == count
    for name, array in rows.vectors.items():
        pieces = [shard.vectors[name] for shard in shards]
        np.testing.assert_array_equal(np.concatenate([array[:0], *pieces]), array)
    own = [shard.excluded.of(row) for shard in shards for row in range(len(shard))]
    assert [len(movies) for movies in own] == [row % 20 for row in range(count)]


def test_products_in_shards(in_shards):
    """The lists are those of one call with all rows."""
    queries, items, seen = normal(USERS, WIDTH), normal(MOVIES, WIDTH, seed=1), seen_by(USERS)

    found = in_shards.score(ByProduct(items, 10), Rows({"queries": queries}, seen))

    require_equal(found, top_k_blocks(queries, items, seen, k=10, threads=1))


def test_reasons_in_shards(in_shards):
    """Lists and explanations of shards equal those of one call."""
    queries, items, seen = normal(USERS, WIDTH), normal(MOVIES, WIDTH, seed=1), seen_by(USERS)
    rated = Rated(seen, np.abs(normal(len(seen.movie_index), seed=3)))
    shares = np.abs(normal(USERS, 2, seed=4))
    influence = Influence(normal(MOVIES, WIDTH, seed=2), (2, WIDTH - 2), shares, rated)

    catalogue, rows = with_reasons(
        ByProduct(items, 10), Rows({"queries": queries}, seen), influence
    )
    lists, reasons = zip(*in_shards.score(catalogue, rows), strict=True)

    assert len(catalogue.influence.shares) == len(catalogue.influence.rated.weights) == 0
    assert catalogue.k == 10
    whole = list(top_k_blocks(queries, items, seen, k=10, threads=1))
    require_equal(lists, whole)
    (expected,) = explained(iter(whole), items, influence, threads=1)
    np.testing.assert_array_equal(np.concatenate(reasons), expected.reasons)
    assert all(set(row) - {-1} <= set(seen.of(u)) for u, row in enumerate(expected.reasons))
    with pytest.raises(ValueError, match="rated"):
        catalogue.score(Rows({"queries": queries}, seen), threads=1)


@pytest.mark.parametrize("weights", [network(), linear()])
@pytest.mark.parametrize("bound", [None, Bound(np.abs(normal(MOVIES, seed=9)), (0.5, 5.0))])
def test_stars_in_shards(in_shards, weights, bound):
    """Lists by predicted rating of shards equal those of one call."""
    seen = seen_by(USERS)

    catalogue, rows = by_stars(weights, seen, k=10, bound=bound)

    assert len(catalogue.weights.users) == 0
    expected = ranked_blocks(weights, seen, k=10, threads=1, bound=bound)
    require_equal(in_shards.score(catalogue, rows), expected)


def test_local_is_this_process():
    """The local engine needs no connection, and reports weights that are not finite."""
    items = np.full((MOVIES, WIDTH), np.nan, np.float32)
    rows = Rows({"queries": normal(3, WIDTH)}, seen_by(3))

    with (
        open_engine(EngineName.LOCAL, threads=1, ray_address=None) as engine,
        pytest.raises(NotFinite, match="diverged"),
    ):
        list(engine.score(ByProduct(items, 3), rows))


def test_a_worker_needs_no_tensorflow():
    """Scoring does not load TensorFlow."""
    program = "import sys, reco_batch.scoring.ray_engine; print('tensorflow' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert result.stdout == b"False\n"
