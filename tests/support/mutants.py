"""Faulty runs: each mutant breaks one thing of a good run.

A mutant changes the factors, the lists, the input or the manifest. The tables name the check of the
gate that must report it.
"""

from __future__ import annotations

import numpy as np

from gated_nights import DAY, MOVIES, K, top_k
from reco_batch.data import columns as c
from reco_batch.data.dataset import Movies
from reco_batch.rules.list_rules import Cap, ListRules
from reco_batch.scoring.topk import TopK

# Each function changes a good run after scoring.


def nan_users(night):
    """Diverged training: user factors are NaN."""
    night.factors["users"][:] = np.nan
    night.score()


def one_nan(night):
    """NaN in the factor of one movie."""
    night.factors["movies"][7, 2] = np.nan
    night.score()


def infinite(night):
    """Overflow: infinite factors."""
    night.factors["movies"][7, 2] = np.inf
    night.score()


def nan_scores(night):
    """NaN scores in the lists."""
    night.lists["user"].scores[:, 3] = np.nan


def infinite_scores(night):
    """Infinite predicted ratings in one ranked list."""
    night.lists["ranked"].scores[5, 0] = np.inf


def zero_users(night):
    """User embeddings that were never loaded: all zero."""
    night.factors["users"][:] = 0
    night.score()


def zero_movies(night):
    """Movie embeddings that were never loaded: all zero."""
    night.factors["movies"][:] = 0
    night.score()


def constant_scores(night):
    """Lost scores: every movie has the same one."""
    night.lists["user"].scores[night.lists["user"].items >= 0] = 1


def sign(night):
    """Flipped sign: each user gets the worst movies."""
    night.factors["users"] *= -1
    night.score()


def shuffled_users(night):
    """Permuted user factors: each user gets another user's lists."""
    night.factors["users"] = np.roll(night.factors["users"], 1, axis=0)
    night.score()


def shuffled_movies(night):
    """Permuted movie factors."""
    night.factors["movies"] = np.roll(night.factors["movies"], 1, axis=0)
    night.score()


def shuffled_ids(night):
    """Permuted movie ids: correct lists are written with wrong ids."""
    for lists in night.lists.values():
        lists.items[lists.items >= 0] = (lists.items[lists.items >= 0] + 1) % MOVIES


def shuffled_keys(night):
    """Permuted keys: each list is stored under another user's key."""
    for lists in (night.lists["user"], night.lists["ranked"]):
        lists.items[:], lists.scores[:] = np.roll(lists.items, 1, 0), np.roll(lists.scores, 1, 0)


def renamed_users(night):
    """User ids exported as floats: 42 became 42.0."""
    night.rename_user = lambda user_id: f"{user_id}.0"


def shuffled_titles(night):
    """Titles shifted by one row."""
    movies = night.movies
    night.written_movies = Movies(
        movies.ids, (*movies.titles[1:], movies.titles[0]), movies.genres, movies.years
    )


def one_list(night):
    """Identical lists for all users."""
    for lists in (night.lists["user"], night.lists["ranked"]):
        lists.items[:] = lists.items[0]
        lists.scores[:] = lists.scores[0]


def popular_for_all(night):
    """Dead user tower: all users get one list, minus the movies they have seen."""
    count = night.statistics.rating_count.astype(np.float32)
    night.factors = {
        "users": np.ones((len(night.user_ids), 1), np.float32),
        "movies": count[:, np.newaxis] + np.arange(MOVIES)[:, np.newaxis] / 1000,
    }
    night.factors["movies"] = night.factors["movies"].astype(np.float32)
    night.score()


def one_item(night):
    """One movie leads every list."""
    unseen = int(np.argmin(night.statistics.rating_count))
    night.factors["movies"] = np.c_[night.factors["movies"], np.zeros(MOVIES)].astype(np.float32)
    night.factors["movies"][unseen, -1] = 1000
    users = night.factors["users"]
    night.factors["users"] = np.c_[users, np.ones(len(users))].astype(np.float32)
    night.score()


def few_items(night):
    """All users get some of the same dozen movies."""
    few = np.argsort(night.statistics.rating_count)[:24]
    offset = np.zeros((MOVIES, 1), np.float32)
    offset[few] = 1000
    users = night.factors["users"]
    night.factors = {
        "users": np.c_[users, np.ones(len(users))].astype(np.float32),
        "movies": np.c_[night.factors["movies"], offset].astype(np.float32),
    }
    night.score()


def seen_items(night):
    """Seen movies are not excluded."""
    night.lists["user"] = top_k(night.factors["users"], night.factors["movies"], None, K)


def seen_in_ranked(night):
    """One ranked list contains one seen movie."""
    night.lists["ranked"].items[4, 0] = night.seen.of(4)[0]


def itself(night):
    """Each movie is most similar to itself."""
    night.lists["similar"] = top_k(night.factors["movies"], night.factors["movies"], None, K)
    night.lists["similar"].items[:, 0] = np.arange(MOVIES)


def random_lists(night):
    """Noise instead of a model: churn of 95 % and more."""
    rng = np.random.default_rng(5)
    night.factors = {
        name: rng.normal(size=array.shape).astype(np.float32)
        for name, array in night.factors.items()
    }
    night.score()


def random_similar(night):
    """Noise in the similar lists only."""
    vectors = np.random.default_rng(5).normal(size=night.factors["movies"].shape)
    mine = night.lists["user"], night.lists["ranked"]
    night.factors["movies"] = vectors.astype(np.float32)
    night.score()
    night.lists["user"], night.lists["ranked"] = mine


def truncated(night):
    """Half of each list is missing."""
    night.lists["user"].items[:, K // 2 :] = -1


def truncated_for_some(night):
    """One user in twenty has a short list."""
    night.lists["ranked"].items[::20, 5:] = -1


def empty_lists(night):
    """Keys without movies."""
    night.lists["similar"].items[:] = -1


def duplicates(night):
    """A movie occurs twice in one list of one user."""
    night.lists["user"].items[9, 1] = night.lists["user"].items[9, 0]


def unknown_ids(night):
    """Cards of the last movies are missing."""
    movies = night.movies
    night.written_movies = Movies(
        *(part[:-10] for part in (movies.ids, movies.titles, movies.genres, movies.years))
    )


def reversed_order(night):
    """Lists start with the worst movie."""
    lists = night.lists["user"]
    lists.items[:], lists.scores[:] = lists.items[:, ::-1], lists.scores[:, ::-1]


def one_ineligible(night):
    """The rules allow a movie in no list, but one similar list has it."""
    eligible = np.ones(len(night.movies), np.bool_)
    eligible[night.lists["similar"].items[3, 5]] = False
    night.rules = ListRules(eligible)


def over_cap(night):
    """Lists have more movies of a brand than a cap allows, though there are a hundred brands."""
    brand = (np.arange(len(night.movies), dtype=np.int32) % 100)[:, np.newaxis]
    one, other = night.lists["user"].items[8, [0, 6]]
    brand[one] = brand[other] = 100
    night.rules = ListRules(caps=(Cap(brand, 1, 10),))
    night.manifest["parameters"]["rules"] = {"cap": [{"column": "brand", "at_most": 1}]}


def unordered_popular(night):
    """An unsorted popularity list."""
    first = night.popular[0]
    night.popular[0] = first._replace(score=first.score[::-1])


def no_popular(night):
    """No popularity lists, so nothing for new users."""
    night.popular = []


def missing_users(night):
    """Half the users have no list, and the manifest counts the others only."""
    half = len(night.user_ids) // 2
    night.lists["user"] = TopK(*(part[:half] for part in night.lists["user"]))


def metric_drop(night):
    """Retrieval metrics are halved."""
    accuracy = night.manifest["metrics"]["retrieval"]
    accuracy.update({name: value / 2 for name, value in accuracy.items()})


def rmse_rise(night):
    """Prediction errors have grown."""
    night.manifest["metrics"]["rating"]["rmse"] *= 1.2


def metric_nan(night):
    """A metric is NaN."""
    night.manifest["metrics"]["rating"]["rmse"] = float("nan")


def metrics_missing(night):
    """No metrics."""
    night.manifest["metrics"]["retrieval"] = {}


#: name -> (fault, check that reports it)
SPOILT = {
    "zero users": (zero_users, "user.flat"),
    "zero movies": (zero_movies, "user.flat"),
    "constant scores": (constant_scores, "user.flat"),
    "sign of the scores": (sign, "churn.user"),
    "users' vectors shuffled": (shuffled_users, "churn.user"),
    "movies' vectors shuffled": (shuffled_movies, "churn.user"),
    "movie ids shuffled": (shuffled_ids, "user.seen"),
    "user keys shuffled": (shuffled_keys, "ranked.seen"),
    "users renamed": (renamed_users, "known.users"),
    "titles shuffled": (shuffled_titles, "known.titles"),
    "one list for everyone": (one_list, "first_ten.distinct"),
    "popularity for everyone": (popular_for_all, "first_ten.alike"),
    "one movie for everyone": (one_item, "first_ten.same_first"),
    "a dozen movies for everyone": (few_items, "first_ten.coverage_drop"),
    "seen movies": (seen_items, "user.seen"),
    "one seen movie": (seen_in_ranked, "ranked.seen"),
    "the movie itself": (itself, "similar.itself"),
    "all new": (random_lists, "churn.ranked"),
    "similar lists all new": (random_similar, "churn.similar"),
    "truncated lists": (truncated, "user.full"),
    "some lists truncated": (truncated_for_some, "ranked.full"),
    "empty lists": (empty_lists, "similar.full"),
    "a duplicate": (duplicates, "user.duplicates"),
    "unknown ids": (unknown_ids, "ranked.unknown"),
    "reversed order": (reversed_order, "user.unordered"),
    "popularity unordered": (unordered_popular, "popular.unordered"),
    "an ineligible movie": (one_ineligible, "similar.ineligible"),
    "a cap exceeded": (over_cap, "user.over_cap"),
    "no popularity": (no_popular, "popular.lists"),
    "half the users without a list": (missing_users, "user.lists"),
    "metric drop": (metric_drop, "retrieval.top_10_accuracy"),
    "rmse rise": (rmse_rise, "rating.rmse"),
    "metric not a number": (metric_nan, "rating.rmse"),
    "metrics missing": (metrics_missing, "retrieval.metrics"),
}

#: Mutants that are found without an earlier generation.
ON_THE_FIRST_NIGHT = (
    *("zero users", "zero movies", "constant scores", "movie ids shuffled", "user keys shuffled"),
    *("one list for everyone", "popularity for everyone", "one movie for everyone", "seen movies"),
    *("one seen movie", "the movie itself", "truncated lists", "some lists truncated"),
    *("empty lists", "a duplicate", "unknown ids", "reversed order", "popularity unordered"),
    *("an ineligible movie", "a cap exceeded"),
    *("no popularity", "half the users without a list", "metric not a number"),
)


def without_half_the_users(ratings):
    """Half the users are missing from the export."""
    users = sorted(set(ratings[c.USER_ID]))
    return ratings[ratings[c.USER_ID].isin(users[::2])]


def without_half_the_ratings(ratings):
    """The newest half of each user's ratings is missing."""
    older = ratings.groupby(c.USER_ID)[c.TIMESTAMP].rank(pct=True) <= 0.5
    return ratings[older]


def days_older(days):
    """A stale export: all ratings are older."""
    return lambda ratings: ratings.assign(timestamp=ratings[c.TIMESTAMP] - days * DAY)


def other_peoples(ratings):
    """Each user has another user's ratings."""
    users = sorted(set(ratings[c.USER_ID]))
    other = dict(zip(users, [*users[1:], users[0]], strict=True))
    return ratings.assign(userId=ratings[c.USER_ID].map(other))


#: name -> (fault of the input, check that reports it)
SPOILT_INPUT = {
    "half the users": (without_half_the_users, "input.users"),
    "half the ratings": (without_half_the_ratings, "input.ratings"),
    "histories cut": (without_half_the_ratings, "known.history"),
    "histories exchanged": (other_peoples, "known.history"),
    "stale input": (days_older(60), "input.days_behind"),
}
