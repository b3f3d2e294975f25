"""How good the first list of somebody who arrived today is, beside what is popular.

A tenth of the users is set apart to choose how votes are weighed, another tenth to measure the
choice once; models and popularity know the others' ratings only. Of each user five ratings are the
input, drawn at random, or the five with the most stars, as people name what they like; the rest is
what should be found. recall@10 is the share of the rest among the ten, mean over draws and users.

usage: for_ratings.py [--data DIR|demo] [--draws N]
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import describe
from numpy.typing import NDArray

from reco_batch.dataset import Dataset, Histories
from reco_batch.popularity import Thresholds, movie_statistics, popular_lists
from reco_batch.presets import PRESETS
from reco_batch.progress import QuietReporter
from reco_batch.sources import load
from reco_batch.topk import top_k_blocks
from reco_batch.trainers import Training, train_retrieval_of
from reco_batch.validate import build_dataset
from reco_store.blend import Blend, blended, star_weights, votes_of

HERE = Path(__file__).parent
SEED, SHARE, GIVEN, K, LENGTH = 42, 0.1, 5, 10, 100
INPUTS = ("most stars", "at random")
GRID = [
    Blend(alike=alike, place=place, popularity=popularity)
    for alike, place, popularity in itertools.product((1, 3, 6), (0, 0.5, 1), (0, 0.5, 0.75))
]


class Question(NamedTuple):
    """One draw of a user's ratings."""

    user: int
    given: dict[str, float]  # stars by movie
    rest: frozenset[str]


class Known(NamedTuple):
    """What a night publishes of everybody else's ratings, as far as it is asked here."""

    similar: dict[str, tuple[list[str], list[float]]]
    counts: dict[str, int]
    popular: list[str]


def publish(dataset: Dataset, warm: NDArray[np.bool_]) -> Known:
    """Train on some users, and compute the lists as the job does."""
    ratings = dataset.ratings.take(np.flatnonzero(warm[dataset.ratings.user_index]))
    with QuietReporter().stage("") as stage:
        training = Training(dataset, ratings, SEED, 0.0, stage)
        vectors = train_retrieval_of(PRESETS["default"].retrieval, training).similar_embeddings()
    count, ids = len(vectors), dataset.movies.ids
    itself = Histories(np.arange(count + 1), np.arange(count, dtype=np.int32))
    similar = {}
    for block in top_k_blocks(vectors, vectors, itself, k=LENGTH, threads=2):
        for items, scores in zip(block.items, block.scores, strict=True):
            shown = items[items >= 0]
            rounded = np.round(scores[: len(shown)].astype(float), 3).tolist()
            similar[ids[len(similar)]] = ([ids[movie] for movie in shown], rounded)
    statistics = movie_statistics(ratings, movie_count=count)
    lists = popular_lists(statistics, dataset.movies, thresholds=Thresholds(50, 3.5), n=LENGTH)
    popular = [ids[movie] for movie in next(lists).movie_index]
    return Known(similar, dict(zip(ids, statistics.rating_count.tolist(), strict=True)), popular)


def questions(
    dataset: Dataset, users: NDArray[np.int64], how: str, draws: int
) -> Iterator[Question]:
    """Draw the ratings that each user gives."""
    ratings, rng = dataset.ratings, np.random.default_rng(SEED)
    for user in users.tolist():
        rows = np.flatnonzero(ratings.user_index == user)
        for _ in range(draws):
            order = rng.permutation(rows)
            if how == "most stars":
                order = order[np.argsort(-ratings.rating[order], kind="stable")]
            movies = [dataset.movies.ids[movie] for movie in ratings.movie_index[order]]
            stars = ratings.rating[order].tolist()
            given = dict(zip(movies[:GIVEN], stars[:GIVEN], strict=True))
            yield Question(user, given, frozenset(movies[GIVEN:]))


def recall(asked: list[Question], lists: list[list[str]]) -> float:
    """Return the mean over users of the mean over their draws."""
    by_user: dict[int, list[float]] = {}
    for question, shown in zip(asked, lists, strict=True):
        share = len(question.rest.intersection(shown[:K])) / len(question.rest)
        by_user.setdefault(question.user, []).append(share)
    return float(np.mean([np.mean(shares) for shares in by_user.values()]))


def by_votes(known: Known, asked: list[Question], blend: Blend) -> float:
    """Return the recall of `Reader.for_ratings`, without the store in between."""
    lists = []
    for question in asked:
        votes = votes_of(star_weights(question.given, (0.5, 5.0)), known.similar, blend)
        lists.append(blended(votes, known.counts, blend)[0])
    return recall(asked, lists)


def by_popularity(known: Known, asked: list[Question]) -> float:
    """Return the recall of the most rated movies that the user has not given."""
    lists = [[movie for movie in known.popular if movie not in q.given] for q in asked]
    return recall(asked, lists)


def compare(dataset: Dataset, draws: int) -> dict[str, object]:
    """Choose on one part of the users, and measure on the other."""
    users = np.random.default_rng(SEED).permutation(len(dataset.user_ids))
    part = round(SHARE * len(users))
    choosing, measuring = users[:part], users[part : 2 * part]
    warm = np.ones(len(users), bool)
    warm[users[: 2 * part]] = False
    known = publish(dataset, warm)
    chosen_by = [q for how in INPUTS for q in questions(dataset, choosing, how, draws)]
    figures = {blend: by_votes(known, chosen_by, blend) for blend in GRID}
    best = max(figures, key=lambda blend: figures[blend])
    ours = Blend()
    result: dict[str, object] = {
        "users": len(measuring),
        "validation": {
            "best": {**best._asdict(), "recall@10": figures[best]},
            "ours": {**ours._asdict(), "recall@10": by_votes(known, chosen_by, ours)},
            "popularity": by_popularity(known, chosen_by),
        },
    }
    for how in INPUTS:
        asked = list(questions(dataset, measuring, how, draws))
        blend, popularity = by_votes(known, asked, ours), by_popularity(known, asked)
        result[how] = {
            "for_ratings": blend,
            "popularity": popularity,
            "ratio": blend / popularity,
        }
    return result


def main() -> None:
    """Measure, print, and leave the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--draws", type=int, default=10)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache, QuietReporter().stage("") as stage:
        source = load(said.data, cache=Path(cache), encoding="utf-8", stage=stage)
    dataset = build_dataset(source.tables, rating_scale=(0.5, 5.0), source=source.origin)
    result = compare(dataset, said.draws)
    print(json.dumps(result, indent=1))
    name = Path(said.data).name
    document = {"figure": "for_ratings", "data": name, "machine": describe(), **result}
    path = HERE / "results" / f"for_ratings-{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
