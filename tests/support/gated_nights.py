"""Complete small runs without TensorFlow, published through the job's own gate.

Their artifacts are real and come from a factorisation of planted ratings. A test can change any
part of a run before it is written.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from all_movies import accuracy_among_all
from planted_ratings import as_dataset, planted_movies
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data import columns as c
from reco_batch.data.dataset import Histories, histories
from reco_batch.data.split import SplitBy, split_ratings
from reco_batch.evaluation.evaluate import TOP_K
from reco_batch.night.publish_stage import publish_artifact
from reco_batch.progress.reporter import QuietReporter
from reco_batch.rules.list_rules import NO_RULES, ListRules
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.popularity import (
    Thresholds,
    movie_statistics,
    popular_lists,
    popularity_baseline,
)
from reco_batch.scoring.topk import TopK, top_k_blocks
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import Keys, RunLock, connect
from reco_store.contract.families import family_named
from reco_store.contract.keys import new_generation_id
from reco_store.publishing.generations import list_generations

if TYPE_CHECKING:
    from collections.abc import Callable

MOVIES = 150
K = 20
NEWEST = 1_500_000_000
DAY = 86_400
STARTED = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)


@dataclass
class Night:
    """All parts of a run before it is written; mutants change some of them."""

    ratings: pd.DataFrame
    generation: str
    catalogue: int = MOVIES
    k: int = K
    rename_user: Callable[[str], str] = str
    lists: dict[str, TopK] = field(default_factory=dict)
    factors: dict[str, np.ndarray] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    rules: ListRules = NO_RULES

    def __post_init__(self):
        self.dataset = as_dataset(self.ratings, planted_movies(movies=self.catalogue))
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
            "parameters": {
                "k": self.k,
                "ranked_k": None,
                "split": "random",
                "count_threshold": 3,
                "rating_threshold": 2.0,
            },
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
        """Return the factors that a model would learn from the ratings."""
        ratings = self.dataset.ratings.take(rows)
        table = np.zeros((len(self.user_ids), len(self.movies)))
        table[ratings.user_index, ratings.movie_index] = ratings.rating - 1.5
        left, values, right = np.linalg.svd(table, full_matrices=False)
        return {
            "users": (left[:, :6] * values[:6]).astype(np.float32),
            "movies": right[:6].T.astype(np.float32),
        }

    def measured(self):
        """Return the metrics of a model trained without the test part, and of popularity."""
        split = split_ratings(self.dataset.ratings, by=SplitBy.RANDOM, seed=42)
        rest = np.concatenate([split.train, split.validation])
        train, test = (self.dataset.ratings.take(rows) for rows in (rest, split.test))
        return {
            "retrieval": dict(accuracy_among_all(Embeddings(**self.factorised(rest)), test)),
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
            "next": top_k(movies, movies, itself, self.k),
        }

    def again(self, generation):
        """Return a mutable copy of the run under another generation id."""
        night = copy.copy(self)
        night.generation = generation
        night.factors = {name: array.copy() for name, array in self.factors.items()}
        night.popular = list(self.popular)
        night.lists = {
            family: TopK(lists.items.copy(), lists.scores.copy())
            for family, lists in self.lists.items()
        }
        night.manifest = {**copy.deepcopy(self.manifest), "generation": generation}
        return night

    def write(self, folder):
        """Write the artifact."""
        users = [self.rename_user(user_id) for user_id in self.user_ids]
        writer = ArtifactWriter(folder / self.generation, self.movies)
        for family, lists in self.lists.items():
            keys = self.movies.ids if family in ("similar", "next") else users
            writer.write_top_k(family_named(family), keys[: len(lists.items)], [lists])
        writer.write_seen(users, self.seen)
        writer.write_popular(self.popular)
        statistics = type(self.statistics)(
            *(column[: len(self.written_movies)] for column in self.statistics)
        )
        writer.write_movies(self.written_movies, statistics, self.rules)
        return writer.finish(self.manifest)


def top_k(queries, items, excluded, k):
    """Return exact top-k lists, computed in one block."""
    blocks = list(top_k_blocks(queries, items, excluded, k=k, threads=1))
    return TopK(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


class Nights:
    """Factory of runs that publishes them to one namespace of a server."""

    def __init__(self, url, namespace, folder, good):
        self.url, self.keys, self.folder, self.good = url, Keys(namespace), folder, good
        newest = good.ratings[c.TIMESTAMP].rank(pct=True)
        self.old, self.new = good.ratings[newest <= 0.97], good.ratings
        self.count = 0

    def night(self, ratings=None, **more):
        """Return a run on the previous ratings and a few more."""
        self.count += 1
        name = new_generation_id(STARTED + timedelta(minutes=self.count), "7f3a")
        if ratings is None and not more:
            return self.good.again(name)
        ratings = self.new if ratings is None else ratings
        night = Night(ratings, name, **more)
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
        """Return the live generation, as readers see it."""
        with connect(self.url) as client:
            return (client.get(self.keys.current) or b"nothing").decode()

    def gate_of(self, generation):
        """Return the gate's section of the stored manifest."""
        with connect(self.url) as client:
            return json.loads(client.get(self.keys.manifest(generation)))["gate"]

    def record(self, generation):
        """Return the registry's record of a generation."""
        with connect(self.url) as client:
            return next(r for r in list_generations(client, self.keys) if r.id == generation)


def good_night(ratings: pd.DataFrame) -> Night:
    """Make a run on planted ratings that span a thousand days."""
    days = NEWEST - ratings[c.TIMESTAMP] % (1000 * DAY)
    night = Night(ratings.assign(timestamp=days), new_generation_id(STARTED, "7f3a"))
    night.score()
    return night
