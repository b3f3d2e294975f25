"""Simulated ratings: their size and distribution, and the structure that models can learn."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.data.dataset import Ratings, histories
from reco_batch.data.split import SplitBy, split_ratings
from reco_batch.metrics.ranking_metrics import per_user_metrics
from reco_batch.models.retrieval.cooccurrence import cooccurrence_counts
from reco_batch.simulate.simulation import FEWEST_RATINGS, SHAPES, Shape, Simulation
from reco_store import UsageError

SMALL = Shape(users=600, movies=3000, ratings=30_000)
#: Movies in the linear model, which inverts a matrix of this size.
MOST_RATED = 1000
COLUMNS = ("user_index", "movie_index", "rating", "timestamp")


def ratings_of(simulation):
    """Return all blocks as one table."""
    blocks = list(simulation.blocks())
    return Ratings(*(np.concatenate([getattr(block, n) for block in blocks]) for n in COLUMNS))


@pytest.fixture(scope="module")
def small():
    """A small simulation."""
    return Simulation(SMALL, seed=1)


@pytest.fixture(scope="module")
def ratings(small):
    """The ratings of the small simulation."""
    return ratings_of(small)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(200, 300), st.integers(20, 25), st.integers(0, 2**31))
def test_the_shape_is_kept_to_the_rating(users, movies, each, seed):
    """The numbers of users, movies and ratings are exact; users have twenty distinct movies."""
    shape = Shape(users, movies, users * each)

    simulation = Simulation(shape, seed=seed)
    ratings = ratings_of(simulation)

    assert len(ratings) == shape.ratings
    assert len(simulation.movies) == movies
    counts = np.bincount(ratings.user_index)
    assert len(counts) == users
    assert counts.min() >= FEWEST_RATINGS
    assert 0 <= ratings.movie_index.min() <= ratings.movie_index.max() < movies
    pairs = ratings.user_index.astype(np.int64) * movies + ratings.movie_index
    assert (np.diff(pairs) > 0).all()  # by user, then by movie, none twice
    assert set(np.unique(ratings.rating)) <= set(np.arange(1, 11) / 2)


def test_a_quarter_of_all_movies_is_found(monkeypatch):
    """Slots that draws leave empty are filled from the whole catalogue."""
    monkeypatch.setattr("reco_batch.simulate.simulation._ROUNDS", (1,))
    shape = Shape(users=30, movies=160, ratings=600)

    ratings = ratings_of(Simulation(shape, seed=0))

    pairs = ratings.user_index.astype(np.int64) * shape.movies + ratings.movie_index
    assert len(np.unique(pairs)) == shape.ratings
    assert np.bincount(ratings.user_index).tolist() == [20] * 30


def test_the_seed_makes_the_ratings(small, ratings):
    """Equal seeds give equal ratings, and another seed gives others."""
    again = Simulation(SMALL, seed=1)

    assert again.movies == small.movies
    for column in COLUMNS:
        mine, theirs = (getattr(each, column) for each in (ratings_of(again), ratings))
        assert mine.tobytes() == theirs.tobytes()
    other = Simulation(SMALL, seed=2)
    assert other.movies != small.movies
    assert (ratings_of(other).movie_index != ratings.movie_index).any()


def test_few_movies_and_few_users_have_most_of_the_ratings(ratings):
    """A tenth of the movies have half of all ratings, the less busy half of the users a third."""
    movies = np.sort(np.bincount(ratings.movie_index, minlength=SMALL.movies))[::-1]
    users = np.sort(np.bincount(ratings.user_index))

    assert movies[: SMALL.movies // 10].sum() > len(ratings) / 2
    assert users[: SMALL.users // 2].sum() < len(ratings) / 3


def test_time_goes_in_sittings(small, ratings):
    """Most ratings follow within a minute, others after days; no movie is rated before its year."""
    order = np.lexsort((ratings.timestamp, ratings.user_index))
    user, second = ratings.user_index[order], ratings.timestamp[order]
    pauses = np.diff(second)[np.diff(user) == 0]

    assert (pauses > 0).all()
    assert (pauses < 60).mean() > 0.9
    assert (pauses > 86_400).mean() > 0.02
    years = np.array(small.movies.years)[ratings.movie_index]
    begins = ((years - 1970).astype("datetime64[Y]")).astype("datetime64[s]").astype(np.int64)
    assert (ratings.timestamp > begins - 3 * 86_400).all()


def hits(scores, train, test, users):
    """Return the mean recall@20 without seen movies."""
    seen = histories(train, user_count=users)
    wanted = histories(test, user_count=users)
    for user in range(users):
        scores[user, seen.of(user)] = -np.inf
    lists = np.argsort(-scores, axis=1)[:, :20].astype(np.int32)
    asked = np.flatnonzero(np.diff(wanted.offsets))
    return per_user_metrics(lists[asked], wanted, asked, ks=(20,))["recall@20"].mean()


@pytest.fixture(scope="module")
def parts(ratings):
    """Training and test ratings."""
    split = split_ratings(ratings, by=SplitBy.RANDOM, seed=0)
    return ratings.take(split.train), ratings.take(split.test)


def ease(interactions, *, penalty):
    """Return EASE's scores of every user and movie (Steck, WWW 2019)."""
    gram = (interactions.T @ interactions).toarray() + penalty * np.eye(interactions.shape[1])
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return interactions @ weights


def test_planted_taste_can_be_learned(parts):
    """A linear model finds a third more of the held-out movies than the most rated ones do."""
    train, test = parts
    places = (train.user_index, train.movie_index)
    interactions = sp.csr_matrix((np.ones(len(train)), places), (SMALL.users, SMALL.movies))
    rated = np.bincount(train.movie_index, minlength=SMALL.movies).astype(float)
    known = np.argsort(-rated)[:MOST_RATED]
    scores = np.full((SMALL.users, SMALL.movies), -np.inf)
    scores[:, known] = ease(interactions[:, known], penalty=50)

    found = hits(scores, train, test, SMALL.users)
    by_popularity = hits(np.tile(rated, (SMALL.users, 1)), train, test, SMALL.users)

    assert found > 4 / 3 * by_popularity


def nearness(ratings, factors):
    """Return how near movies are that stand one after the other: the mean of their cosines."""
    counts = cooccurrence_counts(ratings, movie_count=SMALL.movies, window=1).tocoo()
    cosines = np.einsum("pd,pd->p", factors[counts.row], factors[counts.col])
    return cosines @ counts.data / counts.data.sum()


def test_movies_of_one_sitting_are_more_similar(small, ratings):
    """Movies of one sitting are more similar than all movies of the same user."""
    factors = small._catalogue.factors
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(len(ratings)), ratings.user_index))
    mixed = replace(ratings, movie_index=ratings.movie_index[order])  # by user

    assert nearness(ratings, factors) > 1.1 * nearness(mixed, factors)


def test_stars_can_be_predicted(parts):
    """The means of movie and user explain part of the held-out ratings."""
    train, test = parts
    overall = train.rating.mean()

    def means(column, size):
        total = np.bincount(column, weights=train.rating - overall, minlength=size)
        return total / (np.bincount(column, minlength=size) + 5)

    message = overall + means(train.movie_index, SMALL.movies)[test.movie_index]
    message += means(train.user_index, SMALL.users)[test.user_index]
    assert np.square(test.rating - message).mean() < 0.8 * np.square(test.rating - overall).mean()


def test_stars_follow_taste(small, parts):
    """Users rate movies similar to their others higher."""
    train, test = parts
    factors = small._catalogue.factors
    likes = np.zeros((SMALL.users, factors.shape[1]))
    np.add.at(likes, train.user_index, factors[train.movie_index])
    near = np.einsum("sd,sd->s", likes[test.user_index], factors[test.movie_index])
    above = test.rating - small._catalogue.quality[test.movie_index]

    def within_user(values):
        counts = np.bincount(test.user_index, minlength=SMALL.users)
        means = np.bincount(test.user_index, values, SMALL.users) / np.maximum(counts, 1)
        return values - means[test.user_index]

    assert np.corrcoef(within_user(near), within_user(above))[0, 1] > 0.2


def test_scale_takes_users_and_ratings_and_leaves_the_catalogue():
    """A scale multiplies users and ratings, and leaves the number of movies."""
    assert SHAPES["ml-32m"].scaled(0.1) == (20_095, 87_585, 3_200_020)
    assert SHAPES["ml-latest-small"].scaled(1e-9).users == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape(10, 79, 200), "79 movies: expected at least 160, for 20 ratings a user"),
        (Shape(10, 400, 199), "199 ratings of 10 users: expected at least 20 of each"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(shape, message):
    """An impossible size is refused with the possible one."""
    with pytest.raises(UsageError, match=message):
        Simulation(shape, seed=0)
