"""Bad recommendations never go live: a good small night, and what could go wrong with it.

The nights are real artifacts, from a factorisation of planted ratings, published to a real server
with the job's own gate. A mutant is such a night with one thing wrong: its factors, its lists, its
input or its manifest. Each must leave the pointer where it is and say why.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reco_batch import columns as c
from reco_batch.artifact import MANIFEST, Artifact, ArtifactWriter
from reco_batch.bounds import GateBounds
from reco_batch.dataset import Histories, Movies, histories
from reco_batch.errors import NotFinite
from reco_batch.evaluate import TOP_K, top_k_accuracy
from reco_batch.night import publish_artifact
from reco_batch.popularity import (
    Thresholds,
    movie_statistics,
    popular_lists,
    popularity_baseline,
)
from reco_batch.progress import QuietReporter
from reco_batch.split import SplitBy, split_ratings
from reco_batch.topk import TopK, top_k_blocks
from reco_store import ContractMismatch, Keys, RunLock, VerifyFailed, connect
from reco_store.generations import list_generations
from reco_store.keys import new_generation_id

MOVIES = 150
K = 20
NEWEST = 1_500_000_000
DAY = 86_400
STARTED = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)


@dataclass
class Night:
    """All that a night is made of, before it is written; a mutant changes some of it."""

    ratings: pd.DataFrame
    make_dataset: Callable
    generation: str
    catalogue: int = MOVIES
    k: int = K
    rename_user: Callable[[str], str] = str
    lists: dict[str, TopK] = field(default_factory=dict)
    factors: dict[str, np.ndarray] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.dataset = self.make_dataset(self.ratings, movies=self.catalogue)
        self.user_ids = self.dataset.user_ids
        self.movies = self.dataset.movies
        self.written_movies = self.movies
        self.seen = histories(self.dataset.ratings, user_count=len(self.user_ids))
        everything = np.arange(len(self.dataset.ratings))
        self.factors = self.factorised(everything)
        self.statistics = movie_statistics(self.dataset.ratings, movie_count=len(self.movies))
        self.popular = list(
            popular_lists(self.statistics, self.movies, thresholds=Thresholds(3, 2.0), n=K)
        )
        self.manifest = {
            "schema": 1,
            "generation": self.generation,
            "created": STARTED.isoformat(),
            "ids": "integer",
            "rating_scale": [0.5, 5.0],
            "parameters": {"k": self.k, "ranked_k": None, "split": "random"},
            "data": {
                "name": "planted",
                "users": len(self.user_ids),
                "movies": len(self.movies),
                "ratings": len(self.dataset.ratings),
                "newest_rating": int(self.dataset.ratings.timestamp.max()),
                "sha256": {"ratings.csv": str(pd.util.hash_pandas_object(self.ratings).sum())},
            },
            "metrics": self.measured(),
            "gate": None,
        }
        self.manifest["data"]["test"] = len(self.ratings) // 5

    def factorised(self, rows):
        """Return what a model would have learned from some ratings."""
        ratings = self.dataset.ratings.take(rows)
        table = np.zeros((len(self.user_ids), len(self.movies)))
        table[ratings.user_index, ratings.movie_index] = ratings.rating - 1.5
        left, values, right = np.linalg.svd(table, full_matrices=False)
        return {
            "users": (left[:, :6] * values[:6]).astype(np.float32),
            "movies": right[:6].T.astype(np.float32),
        }

    def measured(self):
        """Return the metrics of a model that did not see the test part, and of popularity."""
        split = split_ratings(self.dataset.ratings, by=SplitBy.RANDOM, seed=42)
        rest = np.concatenate([split.train, split.validation])
        train, test = (self.dataset.ratings.take(rows) for rows in (rest, split.test))
        return {
            "retrieval": dict(top_k_accuracy(SimpleNamespace(**self.factorised(rest)), test)),
            "rating": {"rmse": 0.9},
            "popularity": dict(
                popularity_baseline(train, test, movie_count=len(self.movies), ks=TOP_K)
            ),
        }

    def score(self):
        """Compute the lists from the factors."""
        users, movies = self.factors["users"], self.factors["movies"]
        every = np.arange(len(self.movies))
        itself = Histories(np.arange(len(every) + 1), every.astype(np.int32))
        self.lists = {
            "user": top_k(users, movies, self.seen, self.k),
            "ranked": top_k(users, movies, self.seen, len(every)),
            "similar": top_k(movies, movies, itself, self.k),
        }

    def write(self, folder):
        """Write the artifact."""
        users = [self.rename_user(user_id) for user_id in self.user_ids]
        writer = ArtifactWriter(folder / self.generation, self.movies)
        for family, lists in self.lists.items():
            keys = self.movies.ids if family == "similar" else users
            writer.write_top_k(family, keys[: len(lists.items)], [lists])
        writer.write_seen(users, self.seen)
        writer.write_popular(self.popular)
        statistics = type(self.statistics)(
            *(column[: len(self.written_movies)] for column in self.statistics)
        )
        writer.write_movies(self.written_movies, statistics)
        return writer.finish(self.manifest)


def top_k(queries, items, excluded, k):
    """Return exact lists in one block."""
    blocks = list(top_k_blocks(queries, items, excluded, k=k, threads=1))
    return TopK(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


class Nights:
    """Makes nights and publishes them to one namespace of a server."""

    def __init__(self, url, namespace, folder, ratings, make_dataset):
        self.url, self.keys, self.folder = url, Keys(namespace), folder
        self.make_dataset = make_dataset
        newest = ratings[c.TIMESTAMP].rank(pct=True)
        self.old, self.new = ratings[newest <= 0.97], ratings
        self.count = 0

    def night(self, ratings=None, **more):
        """Return tonight's night: last night's ratings and a few more."""
        self.count += 1
        name = new_generation_id(STARTED + timedelta(minutes=self.count), "7f3a")
        night = Night(self.new if ratings is None else ratings, self.make_dataset, name, **more)
        night.score()
        return night

    def publish(self, artifact, *, force=None, bounds=None):
        """Publish as `batch run` does."""
        with connect(self.url) as client, RunLock(client, self.keys) as lock:
            return publish_artifact(
                artifact,
                client,
                lock,
                keep=3,
                bounds=bounds or GateBounds(),
                force=force,
                reporter=QuietReporter(),
            )

    def published(self, night, **more):
        """Write and publish."""
        return self.publish(night.write(self.folder), **more)

    def served(self):
        """Return the generation that readers see."""
        with connect(self.url) as client:
            return (client.get(self.keys.current) or b"nothing").decode()

    def gate_of(self, generation):
        """Return what the stored manifest says of the gate."""
        with connect(self.url) as client:
            return json.loads(client.get(self.keys.manifest(generation)))["gate"]

    def record(self, generation):
        """Return the registry's record."""
        with connect(self.url) as client:
            return next(r for r in list_generations(client, self.keys) if r.id == generation)


@pytest.fixture(scope="module")
def server(running):
    """A server for all tests here; each has a namespace of its own, or changes nothing."""
    with running() as url:
        yield url


@pytest.fixture(scope="module")
def ratings(make_ratings):
    """Of two hundred users of three tastes, over a thousand days."""
    ratings = make_ratings(seed=3, users=200, movies=MOVIES, at_least=25)
    ratings[c.TIMESTAMP] = NEWEST - ratings[c.TIMESTAMP] % (1000 * DAY)
    return ratings


@pytest.fixture
def make_nights(server, tmp_path, ratings, make_dataset):
    """Return a function that makes nights of another namespace."""

    def make(namespace):
        return Nights(server, namespace, tmp_path, ratings, make_dataset)

    return make


@pytest.fixture(scope="module")
def nights(server, tmp_path_factory, ratings, make_dataset):
    """A namespace in which a good night is live, and none that a test makes goes live."""
    folder = tmp_path_factory.mktemp("nights")
    nights = Nights(server, "mutants", folder, ratings, make_dataset)
    assert nights.published(nights.night(nights.old)).outcome == "live"
    return nights


# What can go wrong. Each function changes a good night that has been scored.


def nan_users(night):
    """A training step that diverged."""
    night.factors["users"][:] = np.nan
    night.score()


def one_nan(night):
    """One movie's vector only."""
    night.factors["movies"][7, 2] = np.nan
    night.score()


def infinite(night):
    """Overflow."""
    night.factors["movies"][7, 2] = np.inf
    night.score()


def nan_scores(night):
    """Lists whose scores are no numbers."""
    night.lists["user"].scores[:, 3] = np.nan


def infinite_scores(night):
    """A ranked list of infinite stars."""
    night.lists["ranked"].scores[5, 0] = np.inf


def zero_users(night):
    """An embedding table that was never loaded."""
    night.factors["users"][:] = 0
    night.score()


def zero_movies(night):
    """The other one."""
    night.factors["movies"][:] = 0
    night.score()


def constant_scores(night):
    """A score that was lost on the way."""
    night.lists["user"].scores[night.lists["user"].items >= 0] = 1


def sign(night):
    """The worst movies of each user."""
    night.factors["users"] *= -1
    night.score()


def shuffled_users(night):
    """Every user has another one's vector: a permutation that was applied once too often."""
    night.factors["users"] = np.roll(night.factors["users"], 1, axis=0)
    night.score()


def shuffled_movies(night):
    """Every movie has another one's vector."""
    night.factors["movies"] = np.roll(night.factors["movies"], 1, axis=0)
    night.score()


def shuffled_ids(night):
    """The lists are right, but the index of a movie means another one when they are written."""
    for lists in night.lists.values():
        lists.items[lists.items >= 0] = (lists.items[lists.items >= 0] + 1) % MOVIES


def shuffled_keys(night):
    """Each list stands under another user's key."""
    for lists in (night.lists["user"], night.lists["ranked"]):
        lists.items[:], lists.scores[:] = np.roll(lists.items, 1, 0), np.roll(lists.scores, 1, 0)


def renamed_users(night):
    """An export that writes 42 as 42.0."""
    night.rename_user = lambda user_id: f"{user_id}.0"


def shuffled_titles(night):
    """Titles that slipped by a row."""
    movies = night.movies
    night.written_movies = Movies(
        movies.ids, (*movies.titles[1:], movies.titles[0]), movies.genres, movies.years
    )


def one_list(night):
    """The classic: everybody gets the same."""
    for lists in (night.lists["user"], night.lists["ranked"]):
        lists.items[:] = lists.items[0]
        lists.scores[:] = lists.scores[0]


def popular_for_all(night):
    """The same list for everybody, without what each has seen: what a dead user tower gives."""
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
    """Everybody gets some of the same dozen."""
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
    """Nobody left out what users have seen."""
    night.lists["user"] = top_k(night.factors["users"], night.factors["movies"], None, K)


def seen_in_ranked(night):
    """One list by predicted stars shows one seen movie."""
    night.lists["ranked"].items[4, 0] = night.seen.of(4)[0]


def itself(night):
    """Each movie is most similar to itself."""
    night.lists["similar"] = top_k(night.factors["movies"], night.factors["movies"], None, K)
    night.lists["similar"].items[:, 0] = np.arange(MOVIES)


def random_lists(night):
    """95 % churn and more: noise instead of a model."""
    rng = np.random.default_rng(5)
    night.factors = {
        name: rng.normal(size=array.shape).astype(np.float32)
        for name, array in night.factors.items()
    }
    night.score()


def random_similar(night):
    """Only the similar lists are noise."""
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
    """A movie twice in one list of one user."""
    night.lists["user"].items[9, 1] = night.lists["user"].items[9, 0]


def unknown_ids(night):
    """The cards of the last movies are missing."""
    movies = night.movies
    night.written_movies = Movies(
        *(part[:-10] for part in (movies.ids, movies.titles, movies.genres, movies.years))
    )


def reversed_order(night):
    """Worst first."""
    lists = night.lists["user"]
    lists.items[:], lists.scores[:] = lists.items[:, ::-1], lists.scores[:, ::-1]


def unordered_popular(night):
    """A popularity list that was not sorted."""
    first = night.popular[0]
    night.popular[0] = first._replace(score=first.score[::-1])


def no_popular(night):
    """Nothing for newcomers."""
    night.popular = []


def missing_users(night):
    """Half the users have no list; the manifest knows nothing of it."""
    half = len(night.user_ids) // 2
    night.lists["user"] = TopK(*(part[:half] for part in night.lists["user"]))


def metric_drop(night):
    """A model that learned half as much."""
    accuracy = night.manifest["metrics"]["retrieval"]
    accuracy.update({name: value / 2 for name, value in accuracy.items()})


def rmse_rise(night):
    """Predicted stars that are further off."""
    night.manifest["metrics"]["rating"]["rmse"] *= 1.2


def metric_nan(night):
    """A metric that is no number."""
    night.manifest["metrics"]["rating"]["rmse"] = float("nan")


def metrics_missing(night):
    """Nothing was measured."""
    night.manifest["metrics"]["retrieval"] = {}


#: name -> (what is wrong, the check that says so)
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
    "no popularity": (no_popular, "popular.lists"),
    "half the users without a list": (missing_users, "user.lists"),
    "metric drop": (metric_drop, "retrieval.top_10_accuracy"),
    "rmse rise": (rmse_rise, "rating.rmse"),
    "metric not a number": (metric_nan, "rating.rmse"),
    "metrics missing": (metrics_missing, "retrieval.metrics"),
}

#: What needs no last night to be found.
ON_THE_FIRST_NIGHT = (
    *("zero users", "zero movies", "constant scores", "movie ids shuffled", "user keys shuffled"),
    *("one list for everyone", "popularity for everyone", "one movie for everyone", "seen movies"),
    *("one seen movie", "the movie itself", "truncated lists", "some lists truncated"),
    *("empty lists", "a duplicate", "unknown ids", "reversed order", "popularity unordered"),
    *("no popularity", "half the users without a list", "metric not a number"),
)


def without_half_the_users(ratings):
    """Half the export."""
    users = sorted(set(ratings[c.USER_ID]))
    return ratings[ratings[c.USER_ID].isin(users[::2])]


def without_half_the_ratings(ratings):
    """Every user lost the newest half."""
    older = ratings.groupby(c.USER_ID)[c.TIMESTAMP].rank(pct=True) <= 0.5
    return ratings[older]


def days_older(days):
    """An export that got stuck long ago."""
    return lambda ratings: ratings.assign(timestamp=ratings[c.TIMESTAMP] - days * DAY)


def other_peoples(ratings):
    """Each user has another one's ratings."""
    users = sorted(set(ratings[c.USER_ID]))
    other = dict(zip(users, [*users[1:], users[0]], strict=True))
    return ratings.assign(userId=ratings[c.USER_ID].map(other))


#: name -> (what is wrong with the input, the check that says so)
SPOILT_INPUT = {
    "half the users": (without_half_the_users, "input.users"),
    "half the ratings": (without_half_the_ratings, "input.ratings"),
    "histories cut": (without_half_the_ratings, "known.history"),
    "histories exchanged": (other_peoples, "known.history"),
    "stale input": (days_older(60), "input.days_behind"),
}


def require_refused(nights, night, check, served):
    """Publish, and expect the gate to name a check."""
    published = nights.published(night)

    assert published.outcome == "refused"
    assert nights.served() == served
    gate = nights.gate_of(night.generation)
    assert gate["verdict"] == "refused"
    assert gate["checks"][check]["verdict"] == "refused"
    assert any(line.startswith(f"{check} ") for line in gate["refused"])
    assert nights.record(night.generation).state == "refused"
    assert nights.record(night.generation).note == published.verdict.reason
    kept = json.loads((nights.folder / night.generation / MANIFEST).read_text("utf-8"))
    assert kept["gate"] == gate


@pytest.mark.parametrize("name", SPOILT)
def test_mutants_are_refused(nights, name):
    """The pointer stays, and manifest, registry and artifact say which check failed."""
    spoil, check = SPOILT[name]
    night = nights.night()
    spoil(night)

    require_refused(nights, night, check, nights.served())


@pytest.mark.parametrize("name", SPOILT_INPUT)
def test_mutants_of_the_input_are_refused(nights, name):
    """A night computed faithfully from an input that has gone bad."""
    spoil, check = SPOILT_INPUT[name]

    require_refused(nights, nights.night(spoil(nights.new)), check, nights.served())


def test_a_shrunk_catalogue_is_refused(nights):
    """Movies that the file no longer has, their ratings with them."""
    left = nights.night().movies.ids[: MOVIES - 20]
    night = nights.night(nights.new[nights.new[c.MOVIE_ID].isin(left)], catalogue=len(left))

    require_refused(nights, night, "input.movies", nights.served())


@pytest.mark.parametrize("spoil", [nan_users, one_nan, infinite])
def test_factors_that_are_no_numbers_are_never_scored(nights, spoil):
    """Caught before there is a list."""
    served = nights.served()

    with pytest.raises(NotFinite, match="training diverged"):
        spoil(nights.night())

    assert nights.served() == served


@pytest.mark.parametrize("spoil", [nan_scores, infinite_scores])
def test_scores_that_are_no_numbers_are_never_written(nights, spoil):
    """Caught before the artifact has a manifest."""
    served = nights.served()
    night = nights.night()
    spoil(night)

    with pytest.raises(ContractMismatch, match="a finite number"):
        nights.published(night)

    assert nights.served() == served


def test_an_artifact_that_was_changed_later_is_never_served(nights):
    """The read-back compares with the digest of what was computed."""
    served = nights.served()
    night = nights.night()
    artifact = night.write(nights.folder)
    night.generation, night.lists["user"] = night.generation[:-4] + "beef", night.lists["ranked"]
    other = night.write(nights.folder)
    changed = Artifact(
        other.folder,
        {**other.manifest, "generation": other.folder.name, "digest": artifact.manifest["digest"]},
    )

    with pytest.raises(VerifyFailed, match="differs from its digest"):
        nights.publish(changed)

    assert nights.served() == served


@pytest.mark.parametrize("name", ON_THE_FIRST_NIGHT)
def test_mutants_are_refused_on_the_first_night(make_nights, name):
    """What is broken in itself needs no last night to be compared with."""
    nights = make_nights("first")
    spoil, check = SPOILT[name]
    night = nights.night()
    spoil(night)

    require_refused(nights, night, check, "nothing")


def test_good_nights_pass(make_nights):
    """The first, the same again, more of everything, a little less, other lengths."""
    nights = make_nights("good")
    users = sorted(set(nights.new[c.USER_ID]))
    most = nights.new[nights.new[c.USER_ID].isin(users[:-5])]
    good = [
        nights.night(nights.old),
        nights.night(nights.old),
        nights.night(),
        nights.night(most),
        nights.night(nights.new.sample(frac=1, random_state=9)),
        nights.night(k=7),
    ]

    for night in good:
        published = nights.published(night)
        assert (published.outcome, published.verdict.reason) == ("live", "")
        assert nights.served() == night.generation

    first, same, *_ = (nights.folder / night.generation / MANIFEST for night in good)
    first, same = (json.loads(path.read_text("utf-8"))["gate"] for path in (first, same))
    assert first["baseline"] == "no baseline"
    assert first["checks"]["churn.user"] == {"verdict": "no baseline"}
    assert same["baseline"] == good[0].generation
    assert same["checks"]["input.identical"]["verdict"] == "noted"
    assert same["checks"]["churn.user"]["figure"] == 0
    assert "input.identical" not in first["checks"]


def test_worse_than_popularity_is_only_a_warning(make_nights):
    """The figure is on record; a bound makes it a refusal."""
    nights = make_nights("warned")
    night = nights.night()
    popularity = night.manifest["metrics"]["popularity"]
    night.manifest["metrics"]["retrieval"] = {
        "top_10_accuracy": popularity["top_10_accuracy"] * 0.6
    }
    artifact = night.write(nights.folder)

    refused = nights.publish(artifact, bounds=GateBounds(popularity_ratio=1))
    passed = nights.publish(artifact)

    assert refused.outcome == "refused"
    assert refused.verdict.reason.startswith("popularity.top_10_accuracy 0.6 (at least 1; ")
    assert passed.outcome == "live"
    check = nights.gate_of(night.generation)["checks"]["popularity.top_10_accuracy"]
    assert (check["verdict"], check["figure"]) == ("warning", 0.6)


def test_force_serves_what_was_refused(make_nights):
    """The reason and what was overruled stay in the manifest and in the registry."""
    nights = make_nights("forced")
    nights.published(nights.night(nights.old))
    night = nights.night()
    duplicates(night)
    artifact = night.write(nights.folder)
    assert nights.publish(artifact).outcome == "refused"

    published = nights.publish(artifact, force="a test of the app")

    assert published.outcome == "live"
    assert nights.served() == night.generation
    gate = nights.gate_of(night.generation)
    assert (gate["verdict"], gate["forced"]) == ("forced", "a test of the app")
    assert gate["refused"] == ["user.duplicates 1 (at most 0)"]
    assert nights.record(night.generation).note == (
        "forced: a test of the app (user.duplicates 1 (at most 0))"
    )


def test_what_is_live_is_not_judged_again(make_nights):
    """Filling a store that lost keys keeps verdict and reason, whatever the gate would say now."""
    nights = make_nights("refilled")
    night = nights.night()
    reversed_order(night)
    artifact = night.write(nights.folder)
    nights.publish(artifact, force="a test of the app")
    gate, note = nights.gate_of(night.generation), nights.record(night.generation).note

    published = nights.publish(artifact)

    assert published.outcome == "live"
    assert nights.gate_of(night.generation) == gate
    assert nights.record(night.generation).note == note
