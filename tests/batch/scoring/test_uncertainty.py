"""Ranked lists by a lower bound: movies with few ratings are further down."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import random_ratings
from reco_batch.data.dataset import histories
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import ranked_blocks
from reco_batch.scoring.uncertainty import Bound, doubt_of

SCALE = 0.5, 5.0


def model_of(rng, *, users=5, movies=9):
    """Return a random model that also predicts beyond the scale."""

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return LinearRating(
        3.5, normal(users), normal(movies), normal(users, 4), normal(movies, 4), SCALE
    )


def test_doubt_is_two_over_the_root_of_the_ratings():
    """The uncertainty is 2 / sqrt(ratings + 1), largest without ratings."""
    doubt = doubt_of(np.array([0, 1, 3, 99]))

    np.testing.assert_allclose(doubt, [2, np.sqrt(2), 1, 0.2], rtol=1e-6)
    assert doubt.dtype == np.float32


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_order_is_by_the_bound_and_what_is_shown_are_the_stars(seed, k):
    """The order equals a NumPy sort by the bound, and scores are the predictions."""
    rng = np.random.default_rng(seed)
    model = model_of(rng)
    ratings = random_ratings(rng, users=4, movies=9)
    seen = histories(ratings, user_count=5)
    doubt = doubt_of(rng.integers(0, 50, 9))

    (block,) = ranked_blocks(model, seen, k=k, threads=1, bound=Bound(doubt, SCALE))

    for user in range(5):
        movies = np.arange(9, dtype=np.int32)
        stars = model.predict(np.full(9, user, np.int32), movies)
        unseen = np.setdiff1d(movies, seen.of(user))
        shown = block.items[user][block.items[user] >= 0]
        assert len(shown) == min(k, len(unseen))
        assert set(shown) <= set(unseen)
        np.testing.assert_allclose(
            (stars - doubt)[shown], np.sort((stars - doubt)[unseen])[::-1][:k], atol=1e-5
        )
        np.testing.assert_allclose(block.scores[user, : len(shown)], stars[shown], atol=1e-5)
        assert np.isneginf(block.scores[user, len(shown) :]).all()


def test_stars_beyond_the_scale_count_as_its_end():
    """Predictions are clipped to the scale before the uncertainty is subtracted."""
    model = LinearRating(
        9.0,
        np.zeros(1, np.float32),
        np.array([3, 0], np.float32),
        np.zeros((1, 1), np.float32),
        np.zeros((2, 1), np.float32),
        SCALE,
    )
    bound = Bound(doubt_of(np.array([10, 100])), SCALE)

    (bounded,) = ranked_blocks(model, None, k=2, threads=1, bound=bound)
    (raw,) = ranked_blocks(model, None, k=2, threads=1)

    assert bounded.items.tolist() == [[1, 0]]
    np.testing.assert_allclose(bounded.scores, [[5, 5]], rtol=1e-6)
    assert raw.items.tolist() == [[0, 1]]
    assert raw.scores.tolist() == [[12, 9]]


def test_what_one_person_loved_does_not_lead():
    """A movie with one high rating is not first, although its prediction is highest."""
    model = LinearRating(
        3.5,
        np.zeros(1, np.float32),
        np.array([1.4, 0.8, -1], np.float32),
        np.zeros((1, 1), np.float32),
        np.zeros((3, 1), np.float32),
        SCALE,
    )
    bound = Bound(doubt_of(np.array([1, 300, 300])), SCALE)

    (bounded,) = ranked_blocks(model, None, k=3, threads=1, bound=bound)
    (raw,) = ranked_blocks(model, None, k=3, threads=1)

    assert raw.items.tolist() == [[0, 1, 2]]
    assert bounded.items.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(bounded.scores, [[4.3, 4.9, 2.5]], rtol=1e-5)
