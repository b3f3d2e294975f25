"""Quality of lists for users outside the training, from a few of their ratings.

Each user is new once: a fifth of the users at a time is left out of the training, and their lists
are computed from a few of their ratings. Their other training ratings are excluded from the lists,
because they cannot be hits; for really new users this is unknown. Settings are chosen by fitting
the training part and measuring the validation part. The results come from fitting both and
measuring the test part. Split, selection and metrics are those of a run.

usage: new_users.py [--data DIR|demo] [--split random|time]
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from in_process import (
    HERE,
    SEED,
    Parts,
    Question,
    interactions,
    popularity,
    read,
    retrieval_of,
    split,
)
from machine import describe
from numpy.typing import NDArray
from peers import Ease

from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.metrics.ranking_metrics import list_metrics
from reco_batch.models.registry import retrieval_of as trainable_of
from reco_batch.progress.reporter import QuietReporter
from reco_batch.settings.hyperparameters import PRESETS, Preset
from reco_batch.settings.search_space import with_values

FOLDS = 5
FOLDED = (5, 10)
EASE_SETTINGS = (100.0, 300.0, 600.0)


class NewUsers(NamedTuple):
    """Metrics of one fold, by user."""

    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]
    coverage: float


def chosen(parts: Parts) -> Preset:
    """Return the default preset with the values that a first run chooses."""
    preset = PRESETS["default"]
    with QuietReporter().stage("") as stage:
        choice = trainable_of(preset.retrieval).choose(
            parts.dataset, parts.train, parts.validation, last={}, seed=SEED, stage=stage
        )
    return replace(preset, retrieval=with_values(preset.retrieval, choice.values))


def judge_new_users(
    dataset: Dataset, fitted: Ratings, asked: Ratings, preset: Preset
) -> dict[str, dict[str, object]]:
    """Leave each user out once, and return the metrics of each recommender."""
    fold = np.random.default_rng(SEED).permutation(len(dataset.user_ids)) % FOLDS
    found: dict[str, list[NewUsers]] = {}
    for number in range(FOLDS):
        new = fold == number
        known = fitted.take(np.flatnonzero(new[fitted.user_index]))
        question = Question(dataset, known, asked.take(np.flatnonzero(new[asked.user_index])))
        warm = fitted.take(np.flatnonzero(~new[fitted.user_index]))
        for name, lists in _fold(question, warm, preset).items():
            found.setdefault(name, []).append(lists)
    table = {}
    for name, folds in found.items():
        ndcg, recall, coverage = zip(*folds, strict=True)
        table[name] = {
            "ndcg@10": float(np.concatenate(ndcg).mean()),
            "recall@100": float(np.concatenate(recall).mean()),
            "coverage@10": float(np.mean(coverage)),
            "ndcg@10_by_fold": [float(one.mean()) for one in ndcg],
        }
        print(f"  {name:28}{json.dumps(table[name])}", flush=True)
    return table


def _fold(question: Question, warm: Ratings, preset: Preset) -> Mapping[str, NewUsers]:
    shape = question.shape
    model = retrieval_of(preset, question.dataset, warm, seed=SEED)
    ease = {l2: Ease(interactions(warm, shape), l2=l2) for l2 in EASE_SETTINGS}

    def judged(lists: NDArray[np.int32]) -> NewUsers:
        figures = question.judge(lists)
        coverage = list_metrics(lists, question.rated)["coverage@10"]
        return NewUsers(figures["ndcg@10"], figures["recall@100"], coverage)

    table = {"most rated": judged(question.lists_of_scores(popularity(warm, shape)))}
    for count in FOLDED:
        for how, choose in (("drawn", _drawn), ("first", _first)):
            few = choose(question.learn, count, users=shape.users)
            lists = question.lists_of_vectors(model.fold_in(few, user_count=shape.users))
            table[f"preset default, {count} {how}"] = judged(lists)
            for l2, peer in ease.items():
                lists = question.lists_of_scores(peer.scores(interactions(few, shape)))
                table[f"EASE, l2 {l2:g}, {count} {how}"] = judged(lists)
    return table


def _first(ratings: Ratings, count: int, *, users: int) -> Ratings:
    """Return each user's first ratings, by time if there are times."""
    rows = np.arange(len(ratings))
    order = rows if ratings.timestamp is None else np.lexsort((rows, ratings.timestamp))
    return _leading(ratings.take(order), count, users=users)


def _drawn(ratings: Ratings, count: int, *, users: int) -> Ratings:
    """Return a random sample of each user's ratings."""
    order = np.random.default_rng(SEED).permutation(len(ratings))
    return _leading(ratings.take(order), count, users=users)


def _leading(ratings: Ratings, count: int, *, users: int) -> Ratings:
    """Return the first rows of each user."""
    order = np.argsort(ratings.user_index, kind="stable")
    counts = np.bincount(ratings.user_index, minlength=users)
    starts = np.cumsum(counts) - counts
    place = np.arange(len(ratings)) - starts[ratings.user_index[order]]
    return ratings.take(order[place < count])


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--split", default="random", choices=["random", "time"])
    arguments = parser.parse_args()
    parts, name = split(read(arguments.data), arguments.split), Path(arguments.data).name
    preset = chosen(parts)
    result = {
        "figure": "new_users",
        "data": name,
        "split": arguments.split,
        "machine": describe(),
        "folds": FOLDS,
        "users": len(parts.dataset.user_ids),
        "validation": judge_new_users(parts.dataset, parts.train, parts.validation, preset),
        "test": judge_new_users(parts.dataset, parts.fitted, parts.test, preset),
    }
    path = HERE / "results" / f"new_users-{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
