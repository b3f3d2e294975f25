"""Sparse term of scores: the same lists as dense matrices give, with bits of each row alone."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import reco_batch.scoring.engine as engine_module
from reco_batch.data.dataset import Histories
from reco_batch.errors import NotFinite
from reco_batch.scoring import sparse_term
from reco_batch.scoring.catalogue import by_product, by_stars, with_reasons
from reco_batch.scoring.engine import LocalEngine
from reco_batch.scoring.explanations import Influence
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import Candidates, ranked_blocks
from reco_batch.scoring.sparse_term import Rated
from reco_batch.scoring.topk import TopK, tile_rows_of, top_k_blocks
from sparse_terms import dense_scores, dense_term, drawn_sparse, drawn_vectors

MOVIES = 40


def by_definition(scores, excluded, k):
    """Sort by descending score and ascending index, without excluded movies."""
    items = np.full((len(scores), k), -1)
    best = np.full((len(scores), k), -np.inf, np.float32)
    for row, own in enumerate(scores):
        eligible = np.setdiff1d(np.arange(len(own)), [] if excluded is None else excluded.of(row))
        order = eligible[np.lexsort((eligible, -own[eligible]))][:k]
        items[row, : len(order)], best[row, : len(order)] = order, own[order]
    return items, best


def require_equal(blocks, expected):
    """The lists are the same, scores to the last bit."""
    found = TopK.joined(list(blocks))
    np.testing.assert_array_equal(found.items, expected[0])
    np.testing.assert_array_equal(found.scores, expected[1])


def normal(rng, *shape):
    """Draw numbers whose sums are rounded."""
    return rng.normal(size=shape).astype(np.float32)


def linear(rng, users, movies):
    """Draw a rating model whose predictions are exact."""
    numbers = [rng.integers(-2, 3, n).astype(np.float32) for n in (users, movies)]
    factors = [rng.integers(-2, 3, (n, 2)).astype(np.float32) for n in (users, movies)]
    return LinearRating(3.5, *numbers, *factors, (0.5, 5.0))


@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 150),
    movies=st.integers(1, MOVIES),
    listed=st.integers(1, MOVIES),
    k=st.integers(1, MOVIES),
    threads=st.integers(1, 2),
    block_rows=st.sampled_from([64, 128, 4096]),
    gathered=st.sampled_from([1, 50, 10**6]),
    excludes=st.booleans(),
)
def test_equals_the_definition(
    seed, users, movies, listed, k, threads, block_rows, gathered, excludes
):
    """Lists are those of all dense scores, whatever the groups, tiles, blocks and threads.

    Movies that no list may show are cut off as candidates, and still count in histories.
    """
    rng = np.random.default_rng(seed)
    vectors = drawn_vectors(rng, users=users, movies=movies)
    listed, k = min(listed, movies), min(k, listed, movies)
    excluded = vectors.sparse.rated.history.below(listed) if excludes else None
    queries, items, sparse = vectors.among(listed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_term, "_GATHERED", gathered)
        blocks = list(
            top_k_blocks(
                queries,
                items,
                excluded,
                k=k,
                threads=threads,
                block_rows=block_rows,
                sparse=sparse,
            )
        )

    require_equal(blocks, by_definition(dense_scores(vectors)[:, :listed], excluded, k))


@given(seed=st.integers(0, 2**32 - 1), start=st.integers(0, 29), gathered=st.integers(1, 500))
def test_bits_belong_to_the_row(seed, start, gathered):
    """Rounded sums are the same in any tile and group, in the order of the history."""
    rng = np.random.default_rng(seed)
    sparse = drawn_sparse(rng, users=30, movies=MOVIES, numbers=normal)
    whole, part = np.zeros((30, MOVIES + 3), np.float32), np.zeros((30 - start, MOVIES), np.float32)
    sparse.add_to(whole, first=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_term, "_GATHERED", gathered)
        patch.setattr(sparse_term, "_SCORES", 3 * MOVIES)
        sparse.add_to(part, first=start)

    np.testing.assert_array_equal(part, whole[start:, :MOVIES])
    assert not whole[:, MOVIES:].any()
    (history, weights), neighbours = sparse
    one = np.zeros(MOVIES, np.float32)
    for place in range(history.offsets[start], history.offsets[start + 1]):
        one += weights[place] * neighbours[history.movie_index[place]].toarray()[0]
    np.testing.assert_array_equal(part[0], one)


def test_rows_of_some_users():
    """Rows are taken in the given order, with their weights."""
    sparse = drawn_sparse(np.random.default_rng(1), users=20, movies=MOVIES)
    chosen = np.array([7, 3, 19, 0, 3])

    np.testing.assert_array_equal(dense_term(sparse.rows(chosen)), dense_term(sparse)[chosen])


def test_a_term_without_weights_changes_nothing():
    """Neither empty item-item weights nor empty histories change a score."""
    rng = np.random.default_rng(2)
    queries, items, sparse = drawn_vectors(rng, users=9, movies=MOVIES)
    nobody = Histories(np.zeros(10, np.int64), np.zeros(0, np.int32))
    nothing = np.zeros(0, np.float32)
    expected = TopK.joined(list(top_k_blocks(queries, items, None, k=5, threads=1)))

    for term in (
        sparse._replace(neighbours=sp.csr_matrix((MOVIES, MOVIES), dtype=np.float32)),
        sparse._replace(rated=Rated(nobody, nothing)),
    ):
        blocks = top_k_blocks(queries, items, None, k=5, threads=1, sparse=term)
        require_equal(blocks, expected)


@pytest.mark.parametrize("part", ["history", "item-item"])
def test_weights_that_are_not_finite_are_refused(part):
    """A diverged training is reported with the name of the weights."""
    rng = np.random.default_rng(3)
    queries, items, sparse = drawn_vectors(rng, users=9, movies=MOVIES)
    weights = sparse.rated.weights if part == "history" else sparse.neighbours.data
    weights[-1] = np.nan

    with pytest.raises(NotFinite, match=f"the {part} weights contain"):
        list(top_k_blocks(queries, items, None, k=5, threads=1, sparse=sparse))


def test_a_term_of_other_rows_is_refused():
    """A term must have the queries and the items of the vectors."""
    rng = np.random.default_rng(4)
    queries, items, sparse = drawn_vectors(rng, users=9, movies=MOVIES)
    for term in (sparse.block(0, 8), sparse.among(MOVIES - 1)):
        with pytest.raises(ValueError, match="but the embeddings 9 and 40"):
            list(top_k_blocks(queries, items, None, k=5, threads=1, sparse=term))


@pytest.fixture
def in_shards(monkeypatch):
    """An engine that scores one tile with each call."""
    monkeypatch.setattr(engine_module, "BLOCK_ROWS", tile_rows_of(MOVIES))
    monkeypatch.setattr(engine_module, "_LOCAL_BLOCKS", 1)
    return LocalEngine(threads=2)


def test_shards_contain_their_part_of_the_term(in_shards):
    """Lists of shards equal those of one call, with rounded scores, to the last bit."""
    vectors = drawn_vectors(np.random.default_rng(5), users=700, movies=MOVIES, numbers=normal)
    seen = vectors.sparse.rated.history
    queries, items, sparse = vectors

    blocks = in_shards.score(*by_product(vectors, seen, k=9))

    whole = top_k_blocks(queries, items, seen, k=9, threads=1, sparse=sparse)
    require_equal(blocks, TopK.joined(list(whole)))


def test_half_a_term_is_refused():
    """Item-item weights without histories would silently score by the product alone."""
    vectors = drawn_vectors(np.random.default_rng(6), users=7, movies=MOVIES)
    catalogue, rows = by_product(vectors, vectors.sparse.rated.history, k=9)

    for half in (
        (catalogue, replace(rows, weighted=None)),
        (replace(catalogue, neighbours=None), rows),
    ):
        with pytest.raises(ValueError, match="needs both"):
            list(LocalEngine(threads=1).score(*half))


@pytest.mark.parametrize("listed", [MOVIES, MOVIES - 7])
def test_explanations_include_the_term(in_shards, listed):
    """The explanation has the largest sum of both contributions; a masked movie has none."""
    rng = np.random.default_rng(8)
    vectors = drawn_vectors(rng, users=300, movies=MOVIES, width=2)
    history, weights = vectors.sparse.rated
    chosen = np.float32(rng.random(len(weights)) < 0.7)
    rated = Rated(history, chosen * rng.integers(1, 3, len(weights)).astype(np.float32))
    shares = rng.integers(0, 3, (300, 2)).astype(np.float32)
    influence = Influence(
        rng.integers(-2, 3, (MOVIES, 2)).astype(np.float32), (1, 1), shares, rated
    ).among(listed)

    product, rows = by_product(vectors.among(listed), history.below(listed), k=9)
    blocks = list(in_shards.score(*with_reasons(product, rows, influence)))

    lists = TopK.joined([block.lists for block in blocks])
    reasons = np.concatenate([block.reasons for block in blocks])
    neighbours = vectors.sparse.neighbours.toarray()
    changed = 0
    for user in range(300):
        own = slice(*history.offsets[user : user + 2])
        for shown, reason in zip(lists.items[user], reasons[user], strict=True):
            dense, both = {}, {}
            for movie, mine, explains in zip(
                history.movie_index[own], weights[own], influence.rated.weights[own], strict=True
            ):
                if shown >= 0 and explains:
                    vector = shares[user] * influence.vectors[movie]
                    dense[movie] = explains * (vectors.movies[shown] @ vector)
                    both[movie] = dense[movie] + mine * neighbours[movie, shown]
            best = min(both, key=lambda movie: (-both[movie], movie), default=-1)
            assert reason == (best if both.get(best, 0) > 0 else -1)
            changed += best != min(dense, key=lambda movie: (-dense[movie], movie), default=-1)
    assert changed > 100


def test_a_long_history_is_explained_in_parts(monkeypatch):
    """The explanation does not depend on how many ratings are processed together."""
    vectors = drawn_vectors(np.random.default_rng(9), users=60, movies=MOVIES, width=1)
    history = vectors.sparse.rated.history
    rated = Rated(history, np.ones(len(history.movie_index), np.float32))
    influence = Influence(vectors.movies, (1,), np.ones((60, 1), np.float32), rated)
    task = with_reasons(*by_product(vectors, history, k=9), influence)
    (whole,) = LocalEngine(threads=1).score(*task)

    monkeypatch.setattr("reco_batch.scoring.explanations._RATINGS_AT_ONCE", 2)
    (parts,) = LocalEngine(threads=1).score(*task)

    np.testing.assert_array_equal(parts.reasons, whole.reasons)


@pytest.mark.parametrize("most", [1, 6, MOVIES])
def test_candidates_include_the_term(in_shards, most):
    """The rated candidates are the best by the whole score."""
    rng = np.random.default_rng(10)
    vectors = drawn_vectors(rng, users=400, movies=MOVIES)
    weights, seen = linear(rng, 400, MOVIES), vectors.sparse.rated.history
    among = Candidates(vectors, most)

    blocks = in_shards.score(*by_stars(weights, seen, k=5, bound=None, among=among))

    proposed, _ = by_definition(dense_scores(vectors), seen, most)
    (every,) = ranked_blocks(weights, None, k=MOVIES, threads=1)
    found = TopK.joined(list(blocks)).items
    for user in range(400):
        expected = [movie for movie in every.items[user] if movie in proposed[user]][:5]
        assert found[user][found[user] >= 0].tolist() == expected
