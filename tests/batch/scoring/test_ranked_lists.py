"""Ranked lists: equal to the formula for all movies, for candidates, and for pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.data.dataset import Histories
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import Candidates, compared_by, predict, ranked_blocks
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.scoring.uncertainty import Bound

NOTHING_SEEN = None


def integer_weights(*, users=3, movies=20, hidden=(4, 3), seed=0):
    """Return a network of small integers: exact in float32, with many ties."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.integers(-2, 3, shape).astype(np.float32)

    first, second = hidden
    return RatingWeights(
        draw(users, first),
        draw(movies, first),
        draw(first, second),
        draw(second),
        draw(second),
        np.float32(rng.integers(-2, 3)),
    )


def stars_of(weights, user, movie):
    """Compute the formula of `RatingWeights`, pair by pair."""
    first = np.maximum(weights.users[user] + weights.movies[movie], 0)
    second = np.maximum(first @ weights.hidden + weights.hidden_bias, 0)
    return second @ weights.output + weights.output_bias


def all_stars(weights):
    """Return the ratings of all pairs, [U, I]."""
    return np.array(
        [
            [stars_of(weights, user, movie) for movie in range(len(weights.movies))]
            for user in range(len(weights.users))
        ]
    )


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 30), st.data())
def test_lists_are_the_unseen_movies_by_predicted_stars(seed, users, movies, data):
    """Each list is the full sort of the unseen movies by rating, then by index."""
    weights = integer_weights(users=users, movies=movies, seed=seed)
    k = data.draw(st.integers(1, movies))
    left_out = [data.draw(st.sets(st.integers(0, movies - 1))) for _ in range(users)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in left_out])])
    seen = Histories(offsets, np.array([m for row in left_out for m in sorted(row)], np.int32))

    (block,) = ranked_blocks(weights, seen, k=k, threads=1)

    stars = all_stars(weights)
    for user, own in enumerate(stars):
        unseen = np.setdiff1d(np.arange(movies), list(left_out[user]))
        order = unseen[np.lexsort((unseen, -own[unseen]))][:k]
        shown = block.items[user, : len(order)]
        np.testing.assert_array_equal(shown, order)
        np.testing.assert_array_equal(block.scores[user, : len(order)], own[order])
        assert (block.items[user, len(order) :] == -1).all()


def test_catalogue_longer_than_a_chunk():
    """Movies of every chunk are scored, including the last, partial one."""
    weights = integer_weights(users=2, movies=1100)

    (block,) = ranked_blocks(weights, NOTHING_SEEN, k=1100, threads=2)

    stars = all_stars(weights)
    np.testing.assert_array_equal(np.sort(block.items), [np.arange(1100)] * 2)
    np.testing.assert_array_equal(block.scores, np.take_along_axis(stars, block.items, axis=1))
    assert (np.diff(block.scores) <= 0).all()


def integer_linear(*, users, movies, seed):
    """Make a linear model of small integers."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.integers(-2, 3, shape).astype(np.float32)

    return LinearRating(3.0, draw(users), draw(movies), draw(users, 2), draw(movies, 2), (0.5, 5.0))


@st.composite
def two_stages(draw):
    """Draw a rating model of either kind, seen movies, and retrieval vectors."""
    seed, users, movies = draw(st.integers(0, 10**6)), draw(st.integers(1, 70)), 30
    rng = np.random.default_rng(seed)
    make = draw(st.sampled_from([integer_weights, integer_linear]))
    seen = rng.random((users, movies)) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    offsets = np.concatenate([[0], np.cumsum(seen.sum(axis=1))])
    vectors = [rng.integers(-2, 3, (count, 3)).astype(np.float32) for count in (users, movies)]
    histories = Histories(offsets, np.nonzero(seen)[1].astype(np.int32))
    return make(users=users, movies=movies, seed=seed), histories, vectors


#: Doubts that keep sums of small numbers exact, so that equal is equal.
BOUNDS = st.sampled_from([None, Bound(np.float32(np.arange(30) % 4 / 4), (0.5, 5.0))])


@given(two_stages(), st.integers(1, 30), BOUNDS)
def test_as_many_candidates_as_movies_are_all_movies(case, k, bound):
    """With as many candidates as movies, the lists equal those of rating all movies."""
    weights, seen, vectors = case

    (whole,) = ranked_blocks(weights, seen, k=k, threads=2, bound=bound)
    (some,) = ranked_blocks(
        weights, seen, k=k, threads=2, bound=bound, among=Candidates(Embeddings(*vectors), 1000)
    )

    np.testing.assert_array_equal(some.items, whole.items)
    np.testing.assert_array_equal(some.scores, whole.scores)


@given(two_stages(), st.integers(1, 30), st.integers(1, 30))
def test_lists_are_retrieval_s_best_by_predicted_stars(case, k, most):
    """Lists contain the best candidates of retrieval, ordered by predicted rating."""
    weights, seen, vectors = case

    (block,) = ranked_blocks(
        weights, seen, k=k, threads=1, among=Candidates(Embeddings(*vectors), most)
    )

    scores = vectors[0] @ vectors[1].T
    assert block.items.shape == (len(scores), min(k, most))
    (whole,) = ranked_blocks(weights, None, k=30, threads=1)
    for user, own in enumerate(scores):
        unseen = np.setdiff1d(np.arange(30), seen.of(user))
        proposed = unseen[np.lexsort((unseen, -own[unseen]))][:most]
        expected = [movie for movie in whole.items[user] if movie in proposed][:k]
        shown = block.items[user]
        np.testing.assert_array_equal(shown[: len(expected)], expected)
        assert (shown[len(expected) :] == -1).all()


@given(st.integers(0, 10**6), st.integers(0, 1100))
def test_pairs_have_the_same_stars_as_the_lists(seed, count):
    """The rating of a pair does not depend on the number of pairs."""
    weights = integer_weights(users=4, movies=9, seed=seed)
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 4, count).astype(np.int32)
    movies = rng.integers(0, 9, count).astype(np.int32)

    stars = predict(weights, users, movies)

    np.testing.assert_array_equal(stars, all_stars(weights)[users, movies])
    assert stars.dtype == np.float32


def test_weights_stay_as_they_are():
    """Scoring does not change the weights: a second call gives the same lists."""
    weights = integer_weights()
    before = [np.array(part) for part in weights]

    (first,) = ranked_blocks(weights, NOTHING_SEEN, k=20, threads=1)
    predict(weights, np.zeros(3, np.int32), np.arange(3, dtype=np.int32))
    (second,) = ranked_blocks(weights, NOTHING_SEEN, k=20, threads=1)

    for part, kept in zip(weights, before, strict=True):
        np.testing.assert_array_equal(part, kept)
    np.testing.assert_array_equal(first.items, second.items)


@pytest.mark.parametrize("part", ["users", "movies", "hidden", "hidden_bias", "output"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_network_is_refused(part, bad):
    """A diverged network is refused instead of giving arbitrary lists."""
    weights = integer_weights()
    getattr(weights, part)[..., 0] = bad

    with pytest.raises(ValueError, match=f"{part} .* not finite"):
        list(ranked_blocks(weights, NOTHING_SEEN, k=3, threads=1))


def test_a_movie_of_which_nothing_is_known_is_compared_by_what_is_rated():
    """A movie without a vector is compared by the mean vector, the others by their own."""
    alike = np.array([[1, 0], [0, 1], [0, 0]], np.float32)

    queries = compared_by(alike, np.array([6, 1, 1]))

    np.testing.assert_array_equal(queries, [[1, 0], [0, 1], [0.75, 0.125]])
    known = alike[:2]
    assert compared_by(known, np.array([6, 1])) is known


def test_the_list_of_a_user_alone_is_that_of_one_among_others():
    """A refresh of one user predicts what a refresh of many does."""
    rng = np.random.default_rng(4)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    among = LinearRating(3.5, draw(9), draw(500), draw(9, 64), draw(500, 64), (0.5, 5.0))
    (everybody,) = ranked_blocks(among, NOTHING_SEEN, k=100, threads=1)
    for user in range(9):
        own = slice(user, user + 1)
        alone = among._replace(user_bias=among.user_bias[own], users=among.users[own])
        (block,) = ranked_blocks(alone, NOTHING_SEEN, k=100, threads=1)
        np.testing.assert_array_equal(block.items[0], everybody.items[user])
        np.testing.assert_allclose(block.scores[0], everybody.scores[user], rtol=1e-5)
