"""Explanations: the rated movie with the largest contribution, and no disliked one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reco_batch.scoring.explanations as reasons_module
from handmade_ratings import random_ratings, ratings_of
from reco_batch.data.dataset import Histories, histories
from reco_batch.scoring.explanations import Influence, explained, liked
from reco_batch.scoring.sparse_term import Rated
from reco_batch.scoring.topk import TopK

MOVIES = 9
ITEMS = np.float32([[1, 0], [0, 1], [2, 1], [1, 1]])
VECTORS = np.float32([[1, 1], [3, 0], [0, 3], [0, 0]])


def block_of(rows):
    """Return lists with meaningless scores."""
    items = np.int32(rows)
    return TopK(items, np.zeros(items.shape, np.float32))


def reasons_of(rows, items, influence, *, threads=1, at_once=2):
    """Explain lists that come in blocks of a few."""
    blocks = (block_of(rows[start : start + at_once]) for start in range(0, len(rows), at_once))
    found = list(explained(blocks, items, influence, threads=threads))
    return np.concatenate([block.reasons for block in found]).tolist()


def of_one_user(rated, weights, shares=(1.0, 1.0)):
    """Make the influence of one user's ratings, in two parts of one column each."""
    history = Histories(np.array([0, len(rated)]), np.int32(rated))
    return Influence(VECTORS, (1, 1), np.float32([shares]), Rated(history, np.float32(weights)))


def test_the_reason_adds_most_to_the_score():
    """Computed by hand: item 0 has 1 from movie 0 and 3 from movie 1, item 1 the reverse."""
    assert reasons_of([[0, 1]], ITEMS, of_one_user([0, 1], [1, 1])) == [[1, 0]]


def test_a_rating_counts_by_its_weight():
    """A contribution is multiplied by the weight of the rating."""
    assert reasons_of([[0]], ITEMS, of_one_user([0, 1], [1, 0.25])) == [[0]]
    assert reasons_of([[0]], ITEMS, of_one_user([0, 1], [1, 0])) == [[0]]
    assert reasons_of([[0]], ITEMS, of_one_user([0, 1], [1, 0.5])) == [[1]]


def test_a_part_counts_by_its_share():
    """A contribution is multiplied by the share of its part: 6 and 3 become 6 and 9."""
    assert reasons_of([[2]], ITEMS, of_one_user([1, 2], [1, 1])) == [[1]]
    assert reasons_of([[2]], ITEMS, of_one_user([1, 2], [1, 1], shares=(1, 3))) == [[2]]


def test_equal_ones_go_to_the_lowest_index():
    """Among equal contributions the lowest index is the explanation."""
    assert reasons_of([[3]], ITEMS, of_one_user([2, 1], [1, 1])) == [[1]]


@pytest.mark.parametrize(
    "influence",
    [
        of_one_user([], []),
        of_one_user([1, 2], [0, 0]),
        of_one_user([3], [1]),  # adds nothing
        of_one_user([1], [1], shares=(-1, 1)),  # takes away
    ],
    ids=["no rating", "only disliked ones", "nothing added", "taken away"],
)
def test_there_may_be_no_reason(influence):
    """Without a positive contribution the explanation is -1."""
    assert reasons_of([[0, -1]], ITEMS, influence) == [[-1, -1]]


@st.composite
def cases(draw):
    """Draw small integers, so that sums are exact and ties common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    users, widths = draw(st.integers(1, 6)), draw(st.sampled_from([(3,), (1, 2), (2, 1, 1)]))
    ratings = random_ratings(rng, users=users, movies=MOVIES)
    history = histories(ratings, user_count=users)
    lists = [rng.permutation(MOVIES)[:4] for _ in range(users)]
    for row in lists:
        row[rng.integers(0, 5) :] = -1

    def whole(*shape):
        return rng.integers(-2, 3, shape).astype(np.float32)

    weights = rng.integers(0, 3, len(ratings)).astype(np.float32)
    shares = rng.integers(0, 3, (users, len(widths))).astype(np.float32)
    width = sum(widths)
    influence = Influence(whole(MOVIES, width), widths, shares, Rated(history, weights))
    return np.array(lists), whole(MOVIES, width), influence


@given(cases(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 6))
def test_reasons_are_those_of_the_definition(case, threads, ratings_at_once, at_once):
    """Explanations equal those of plain Python, for all tile and block sizes."""
    lists, items, influence = case
    expected = []
    for user, row in enumerate(lists):
        columns = np.repeat(influence.shares[user], influence.widths)
        own = influence.rated.block(user, user + 1)
        expected.append([])
        for movie in row:
            added = {
                rated: weight * float((columns * items[movie]) @ influence.vectors[rated])
                for rated, weight in zip(own.history.movie_index, own.weights, strict=True)
            }
            most = max(added.values(), default=0)
            best = [rated for rated, value in added.items() if value == most and most > 0]
            expected[-1].append(min(best) if best and movie >= 0 else -1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reasons_module, "_RATINGS_AT_ONCE", ratings_at_once)
        patch.setattr(reasons_module, "TILE_ROWS", 2)
        found = reasons_of(lists, items, influence, threads=threads, at_once=at_once)

    assert found == expected


def test_what_is_disliked_is_no_reason():
    """Computed by hand: ratings below the mean of the user have weight 0."""
    ratings = ratings_of([(0, 1), (1, 2), (0, 3), (0, 2), (1, 0)], stars=[4, 3, 1, 5, 3])

    history, weights = liked(ratings, user_count=3)

    assert history.movie_index.tolist() == [2, 3, 1, 0, 2]  # the newest first
    assert weights.tolist() == [1, 0, 1, 1, 1]
    assert history.offsets.tolist() == [0, 3, 5, 5]


def test_equal_stars_are_all_liked():
    """Equal ratings all have weight 1, whatever the rounding of their mean."""
    ratings = ratings_of([(0, movie) for movie in range(7)], stars=[3.3] * 7)

    assert liked(ratings, user_count=1).weights.all()


def test_any_purchase_may_be_an_explanation():
    """With implicit feedback every movie of the history may be an explanation."""
    ratings = replace(ratings_of([(0, 1), (0, 2)]), rating=None)

    assert liked(ratings, user_count=1).weights.tolist() == [1, 1]


@given(st.integers(0, 2**32))
def test_every_user_with_a_rating_has_one_of_weight_1(seed):
    """Every user with a rating has one of weight 1."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(rng, users=5, movies=6)

    rated = liked(ratings, user_count=5)

    for user in range(5):
        own = rated.block(user, user + 1)
        assert own.weights.any() == (len(own.weights) > 0)
