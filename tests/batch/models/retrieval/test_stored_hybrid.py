"""Stored hybrid: scores of folded in users, by the formula and for other movies."""

from dataclasses import replace

import numpy as np
import pytest

from handmade_ratings import random_ratings, ratings_of
from random_hybrids import PARAMETERS, random_hybrid
from reco_batch.models.retrieval.stored_hybrid import StoredHybrid
from sparse_terms import dense_scores

MOVIES, USERS = 20, 6
IN_2001 = 31 * 365 * 86400 + 10_000_000


@pytest.fixture
def ratings():
    """Ratings of the years that the model has knots for."""
    chance = np.random.default_rng(1)
    pairs = [(u, m) for u in range(USERS) for m in chance.choice(MOVIES, 3 + u, replace=False)]
    times = IN_2001 + chance.permutation(len(pairs)) * 86_400
    return ratings_of(pairs, stars=chance.integers(1, 6, len(pairs)), timestamps=list(times))


def plain_scores(stored, rows):
    """Return the scores of one user for all movies; rows of movie, stars and time."""
    halves, p = stored.halves, PARAMETERS
    rows = sorted(rows, key=lambda row: -row[2])
    place, stars = [row[0] for row in rows], np.array([row[1] for row in rows])
    weights = (np.arange(len(rows)) / 5 + 1) ** -p.recency
    weights *= np.where(stars >= stars.mean() - 1e-6, 1, p.dislike_weight)
    year = np.clip(1970 + rows[0][2] / (365.25 * 86400), 2000, 2002)
    times = np.maximum(1 - np.abs(year - np.arange(2000, 2003)), 0) @ halves.encoder.times
    vector = weights @ halves.encoder.history[place] / np.sqrt(weights @ weights) + times
    encoder = halves.encoder.movies @ np.append(vector, 1)
    neighbours = weights @ halves.neighbours.toarray()[place]
    trust = len(rows) ** 2 / (len(rows) ** 2 + p.half_trust**2)
    return (
        p.tower_share * encoder / encoder.std(ddof=1)
        + p.neighbour_share * trust * neighbours / neighbours.std()
        + halves.popularity @ [p.popularity_share, p.recent_share]
    )


def test_users_are_folded_in_by_the_formula(ratings):
    """Each user's scores follow from the own ratings and the arrays alone."""
    stored = random_hybrid(movies=MOVIES)
    model = stored.with_users(ratings, [str(user) for user in range(USERS)])
    scores = dense_scores(model.embeddings())
    for user in range(USERS):
        own = np.flatnonzero(ratings.user_index == user)
        rows = [(ratings.movie_index[n], ratings.stars[n], ratings.timestamp[n]) for n in own]
        np.testing.assert_allclose(scores[user], plain_scores(stored, rows), atol=1e-4)


def test_stored_again_it_is_the_same(ratings):
    """A model with users is stored without them: a chain of refreshes keeps the arrays."""
    stored = random_hybrid(movies=MOVIES)
    own = stored.halves.encoder._replace(users=np.ones((USERS, 4), np.float32))
    trained = stored._replace(halves=stored.halves._replace(encoder=own))
    again = StoredHybrid.of(trained.with_users(ratings, [str(user) for user in range(USERS)]))
    assert again.movie_ids == stored.movie_ids
    assert len(again.halves.encoder.users) == 0
    np.testing.assert_array_equal(again.halves.encoder.movies, stored.halves.encoder.movies)


def test_other_movies_keep_their_scores(ratings):
    """Scores move with the movies, and an unknown movie is the last one or nearly so."""
    stored = random_hybrid(movies=MOVIES)
    ids = (*stored.movie_ids[::-1], "unknown")
    other = stored.arranged(ids)
    halves = other.halves
    np.testing.assert_array_equal(
        halves.encoder.movies[:MOVIES], stored.halves.encoder.movies[::-1]
    )
    np.testing.assert_array_equal(
        halves.neighbours.toarray()[:MOVIES, :MOVIES],
        stored.halves.neighbours.toarray()[::-1, ::-1],
    )
    assert halves.neighbours.shape == (MOVIES + 1, MOVIES + 1)
    assert halves.neighbours[[MOVIES]].nnz == halves.neighbours[:, [MOVIES]].nnz == 0
    assert halves.encoder.movies[MOVIES, -1] == stored.halves.encoder.movies[:, -1].min()
    np.testing.assert_array_equal(halves.popularity[MOVIES], stored.halves.popularity.min(axis=0))
    assert stored.arranged(stored.movie_ids) is stored


def test_nobody_is_folded_in_too():
    """A refresh without changed users has no ratings to fold in."""
    none = random_ratings(np.random.default_rng(0), users=1, movies=2).take(np.arange(0))
    model = random_hybrid(movies=MOVIES).with_users(none, [])
    assert model.embeddings().users.shape[0] == 0


def test_a_user_folded_in_alone_has_the_vector_of_one_among_others():
    """A chain of refreshes ends where one refresh ends, up to rounding, with wide vectors."""
    stored, chance = random_hybrid(movies=300, width=64), np.random.default_rng(2)
    pairs = [(u, m) for u in range(9) for m in chance.choice(300, 20 + u, replace=False)]
    times = IN_2001 + chance.permutation(len(pairs)) * 86_400
    ratings = ratings_of(pairs, stars=chance.integers(1, 6, len(pairs)), timestamps=list(times))
    among = stored.with_users(ratings, [str(user) for user in range(9)]).embeddings()

    for user in range(9):
        own = ratings.take(np.flatnonzero(ratings.user_index == user))
        own = replace(own, user_index=np.zeros(len(own), np.int32))
        alone = stored.with_users(own, [str(user)]).embeddings()
        np.testing.assert_allclose(alone.users[0], among.users[user], rtol=1e-4, atol=1e-6)
