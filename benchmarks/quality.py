"""Recommendation quality of our models and of others, under one protocol.

All recommenders are fitted on the training and validation parts and measured once on the test part.
Settings are chosen by fitting the training part and measuring the validation part. Every held-out
rating is relevant; movies that a user rated in the other parts are excluded from the lists; users
are those with held-out ratings. All lists come from the same selection and all metrics from the
functions that a run uses.

usage: quality.py [--data DIR|demo] [--split random|time|peers ...] [--seeds N]

`peers` is the random split with users ordered by id as numbers, as in published results on these
ratings; `random` orders ids as text, as the job and the notebook do.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray
from peers import (
    ALS_SETTINGS,
    EASE_SETTINGS,
    STAR_PEERS,
    Ease,
    Scores,
    Shape,
    Stars,
    implicit_als,
    popularity,
)
from sklearn.model_selection import train_test_split

from reco_batch.data.dataset import Dataset, Ratings, histories
from reco_batch.data.split import SplitBy, split_ratings
from reco_batch.evaluation.evaluate import Evaluation
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.metrics.ranking_metrics import interval, list_metrics, per_user_metrics
from reco_batch.models.registry import Training, recency_of, train_rating_of, train_retrieval_of
from reco_batch.models.trainable import Retrieval
from reco_batch.progress.reporter import QuietReporter, Stage
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.sparse_term import SparseTerm
from reco_batch.scoring.topk import Scratch, select_blocks, top_k_blocks
from reco_batch.settings.hyperparameters import PRESETS, Preset

HERE = Path(__file__).parent
K = 100
SHOWN = ("ndcg@10", "recall@10", "recall@100", "map@10", "hit@10")
SEED = 42


@contextmanager
def silent() -> Iterable[Stage]:
    """Return a progress stage without output."""
    with QuietReporter().stage("") as stage:
        yield stage


@dataclass
class Question:
    """Ratings to learn from, and ratings to find."""

    dataset: Dataset
    learn: Ratings
    find: Ratings
    threads: int = 2

    def __post_init__(self) -> None:
        """Group both by user."""
        self.shape = Shape(len(self.dataset.user_ids), len(self.dataset.movies))
        self.seen = histories(self.learn, user_count=self.shape.users)
        self.wanted = histories(self.find, user_count=self.shape.users)
        self.asked = np.flatnonzero(np.diff(self.wanted.offsets))
        self.rated = np.bincount(self.learn.movie_index, minlength=self.shape.movies)

    def lists_of_scores(self, scores: Scores) -> NDArray[np.int32]:
        """Return the [users, K] lists of a recommender that scores all movies."""

        def score(start: int, stop: int, scratch: Scratch) -> None:
            scratch.scores[: stop - start, : self.shape.movies] = scores[start:stop]

        blocks = select_blocks(score, self.seen, *self.shape, k=K, threads=self.threads)
        return np.concatenate([block.items for block in blocks])[self.asked]

    def lists_of_vectors(
        self,
        users: NDArray[np.float32],
        movies: NDArray[np.float32],
        sparse: SparseTerm | None = None,
    ) -> NDArray[np.int32]:
        """Return the [users, K] lists of a dot product, as the job computes them."""
        blocks = top_k_blocks(users, movies, self.seen, k=K, threads=self.threads, sparse=sparse)
        return np.concatenate([block.items for block in blocks])[self.asked]

    def judge(self, lists: NDArray[np.int32]) -> Mapping[str, NDArray[np.float64]]:
        """Return the metrics of each user."""
        return per_user_metrics(lists, self.wanted, self.asked)

    def scored(self, scores: Scores) -> float:
        """Return the ndcg@10 that settings are chosen by."""
        return float(self.judge(self.lists_of_scores(scores))["ndcg@10"].mean())


@dataclass
class Parts:
    """Split of a data set, and the questions of its parts."""

    dataset: Dataset
    train: Ratings
    validation: Ratings
    test: Ratings

    @property
    def fitted(self) -> Ratings:
        """Ratings of the final fit."""
        columns = (
            (getattr(self.train, field.name), getattr(self.validation, field.name))
            for field in fields(Ratings)
        )
        both = Ratings(*[None if a is None else np.concatenate([a, b]) for a, b in columns])
        return both.take(np.random.default_rng(SEED).permutation(len(both)))


def read(data: str) -> Dataset:
    """Return a data set, as the job reads it."""
    with tempfile.TemporaryDirectory() as cache:
        source = load(data, cache=Path(cache))
    return build_dataset(source.tables, rating_scale=(0.5, 5.0), source=source.origin)


def split(dataset: Dataset, by: str) -> Parts:
    """Split the ratings."""
    ratings = dataset.ratings
    if by == "peers":
        users = np.array([int(user) for user in dataset.user_ids])[ratings.user_index]
        rows = np.arange(len(ratings))
        rest, test = train_test_split(rows, test_size=0.2, stratify=users, random_state=SEED)
        train, validation = train_test_split(
            rest, test_size=0.1, stratify=users[rest], random_state=SEED
        )
    else:
        train, validation, test, _ = split_ratings(ratings, by=SplitBy(by), seed=SEED)
    return Parts(dataset, ratings.take(train), ratings.take(validation), ratings.take(test))


class Rows:
    """Rows of a table of lists, with each recommender's metrics by user."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.by_user: dict[str, Mapping[str, NDArray[np.float64]]] = {}
        self.table: dict[str, dict[str, object]] = {}

    def add(self, name: str, lists: Sequence[NDArray[np.int32]], **more: object) -> None:
        """Add a recommender with its lists for each seed."""
        runs = [self.question.judge(found) for found in lists]
        like = [list_metrics(found, self.question.rated) for found in lists]
        self.by_user[name] = {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}
        self.table[name] = {
            **{key: float(self.by_user[name][key].mean()) for key in SHOWN},
            **{key: float(np.mean([found[key] for found in like])) for key in like[0]},
            "ndcg@10_by_seed": [float(run["ndcg@10"].mean()) for run in runs],
            **more,
        }
        short = {key: round(float(self.table[name][key]), 4) for key in SHOWN}
        print(f"  {name:28}{json.dumps(short)} {json.dumps(more)}", flush=True)

    def differences(self, ours: str, others: Iterable[str]) -> dict[str, dict[str, object]]:
        """Return our advantage over others, with intervals paired by user."""
        found: dict[str, dict[str, object]] = {}
        for other in others:
            for key in ("ndcg@10", "recall@100"):
                gain = self.by_user[ours][key] - self.by_user[other][key]
                found.setdefault(other, {})[key] = {
                    "mean": float(gain.mean()),
                    "interval": list(interval(gain, seed=0)),
                }
        print(f"  {ours} less the others: {json.dumps(found)}", flush=True)
        return found


def retrieval_of(
    preset: Preset, dataset: Dataset, ratings: Ratings, *, recency: float, seed: int
) -> tuple[Retrieval, float]:
    """Train a preset's retrieval model; return it and its CPU seconds."""
    started = time.process_time()
    with silent() as stage:
        model = train_retrieval_of(
            preset.retrieval, Training(dataset, lambda: ratings, seed, recency, stage)
        )
    return model, time.process_time() - started


def compare_lists(parts: Parts, seeds: Sequence[int]) -> dict[str, object]:
    """Fit and measure all recommenders of lists."""
    choosing = Question(parts.dataset, parts.train, parts.validation)
    question = Question(parts.dataset, parts.fitted, parts.test)
    rows, shape = Rows(question), question.shape
    rows.add("most rated", [question.lists_of_scores(popularity(question.learn, shape))])

    als = max(ALS_SETTINGS, key=lambda s: choosing.scored(_als(choosing.learn, shape, s, SEED)))
    started = time.process_time()
    found = [question.lists_of_scores(_als(question.learn, shape, als, seed)) for seed in seeds]
    seconds = (time.process_time() - started) / len(seeds)
    rows.add("implicit ALS", found, settings=als, cpu_seconds=seconds)

    best = max(EASE_SETTINGS, key=lambda l2: choosing.scored(_ease(choosing.learn, shape, l2)))
    ease = [f"EASE, l2 {l2:g}" for l2 in EASE_SETTINGS]
    for name, l2 in zip(ease, EASE_SETTINGS, strict=True):
        started = time.process_time()
        scores = _ease(question.learn, shape, l2)
        seconds = time.process_time() - started
        rows.add(name, [question.lists_of_scores(scores)], chosen=l2 == best, cpu_seconds=seconds)

    for name, preset in reversed(PRESETS.items()):
        recency = recency_of(
            preset.retrieval, parts.dataset, parts.train, parts.validation, seed=SEED
        )[0]
        lists, seconds = [], 0.0
        for seed in seeds:
            model, took = retrieval_of(
                preset, parts.dataset, question.learn, recency=recency, seed=seed
            )
            lists.append(question.lists_of_vectors(*model.embeddings()))
            seconds += took / len(seeds)
        rows.add(f"preset {name}", lists, recency=recency, cpu_seconds=seconds)
    less = rows.differences("preset default", [*ease, "implicit ALS", "most rated"])
    return {"table": rows.table, "preset default less": less}


def _als(ratings: Ratings, shape: Shape, settings: tuple[float, ...], seed: int) -> Scores:
    factors, l2, alpha = settings
    return implicit_als(ratings, shape, factors=int(factors), l2=l2, alpha=alpha, seed=seed)


def _ease(ratings: Ratings, shape: Shape, l2: float) -> Scores:
    return Ease(ratings, shape, l2=l2).scores(ratings, shape)


def compare_stars(parts: Parts, seeds: Sequence[int]) -> dict[str, object]:
    """Fit and measure all rating predictors."""
    table: dict[str, dict[str, object]] = {}

    def evaluation(preset: Preset) -> Evaluation:
        return Evaluation(
            parts.dataset,
            fitted=parts.fitted,
            held_out=parts.test,
            rank_by=preset.rank_by,
            seed=SEED,
            threads=2,
        )

    def add(name: str, runs: Sequence[Mapping[str, Mapping[str, float]]], **more: object) -> None:
        table[name] = {
            **{key: _mean(runs, "rating", key) for key in ("rmse", "mae")},
            "rmse_by_ratings": {
                band: _mean(runs, "rmse_by_ratings", band) for band in runs[0]["rmse_by_ratings"]
            },
            "ranked_ndcg@10": _mean(runs, "ranked", "ndcg@10"),
            "ranked_little_known@10": _mean(runs, "ranked", "little_known@10"),
            "rmse_by_seed": [run["rating"]["rmse"] for run in runs],
            **more,
        }
        print(f"  {name:28}{json.dumps(table[name])}", flush=True)

    for name, (fit, settings) in STAR_PEERS.items():
        chosen = _best_stars(fit, settings, parts)
        started = time.process_time()
        model = fit(Stars(parts.dataset, parts.fitted, SEED), **chosen)
        seconds = time.process_time() - started
        measured = evaluation(PRESETS["default"]).of_rating(model)
        add(name, [measured], settings=dict(chosen), cpu_seconds=seconds)
    for name, preset in reversed(PRESETS.items()):
        runs, seconds = [], 0.0
        for seed in seeds:
            started = time.process_time()
            with silent() as stage:
                training = Training(parts.dataset, lambda: parts.fitted, seed, 0.0, stage)
                trained = train_rating_of(preset.rating, training)
            seconds += (time.process_time() - started) / len(seeds)
            runs.append(evaluation(preset).of_rating(trained))
        add(f"preset {name}", runs, cpu_seconds=seconds)
    return {"table": table}


def _mean(runs: Sequence[Mapping[str, Mapping[str, float]]], part: str, key: str) -> float:
    return float(np.mean([run[part][key] for run in runs]))


def _best_stars(
    fit: Callable[..., LinearRating], settings: Sequence[Mapping[str, float]], parts: Parts
) -> Mapping[str, float]:
    """Return the settings with the lowest error on the validation part."""

    def error(setting: Mapping[str, float]) -> float:
        model = fit(Stars(parts.dataset, parts.train, SEED), **setting)
        stars = model.predict(parts.validation.user_index, parts.validation.movie_index)
        return float(np.mean((stars - parts.validation.rating) ** 2))

    return min(settings, key=error)


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument(
        "--split", nargs="+", default=["random", "time"], choices=["random", "time", "peers"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    dataset = read(arguments.data)
    name = Path(arguments.data).name
    path = HERE / "results" / f"quality-{name}.json"
    result = json.loads(path.read_text("utf-8")) if path.exists() else {}
    result |= {"figure": "quality", "data": name, "seeds": arguments.seeds, "machine": describe()}
    seeds = range(SEED, SEED + arguments.seeds)
    for by in arguments.split:
        parts = split(dataset, by)
        print(f"{name}, split {by}", flush=True)
        measured = {"lists": compare_lists(parts, seeds), "stars": compare_stars(parts, seeds)}
        result.setdefault("splits", {})[by] = measured
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
