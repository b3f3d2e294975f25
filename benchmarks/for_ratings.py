"""Quality of a new user's first list, and of the most popular movies.

Each user is new once: a fifth of the users at a time is left out of the training. Five of a user's
ratings are the input, drawn at random, or the five highest, as people name favourites; the others
are relevant. The users of two fifths choose the settings, and those of the other three fifths
measure the choice, once. Compared are the most rated movies and the model's own answer, which would
need the model at query time.

recall@10 is the share of relevant movies in the top-10, mean over draws and users. `recall@10 of at
most 10` is recall@10 in a run's metrics, where at most ten movies count as relevant. Intervals are
95 % bootstrap intervals over users, for the ratio of the means.

usage: for_ratings.py [--data DIR|demo] [--draws N]
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from in_process import HERE, SEED, read, retrieval_of
from machine import begin_anew_without_slowing, describe
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Histories, Ratings
from reco_batch.models.trainable import Retrieval
from reco_batch.scoring.sparse_term import Rated, SparseTerm
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import PRESETS
from reco_store.read.cold_start import blended, star_weights, votes_of

FOLDS, CHOOSING = 5, (0, 1)
GIVEN, K, LENGTH, RESAMPLES = 5, 10, 100, 2_000
INPUTS = ("at random", "most stars")
FIGURES = ("recall@10", "recall@10 of at most 10")


class Setting(NamedTuple):
    """Settings of the lists, as in `HybridParameters`."""

    arrival_neighbour_share: float
    arrival_popularity: float


OURS = Setting(
    PRESETS["default"].retrieval.arrival_neighbour_share,
    PRESETS["default"].retrieval.arrival_popularity,
)
GRID = tuple(itertools.starmap(Setting, itertools.product((0, 0.1, 0.3), (0.75, 1.5, 2.5))))


@dataclass
class Questions:
    """Draws for a fold's users, each with five given ratings and the relevant ones."""

    users: NDArray[np.int64]  # [Q]
    given: list[Ratings]
    rest: list[NDArray[np.int32]]

    def judge(self, lists: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return both metrics for each user, [users, 2]."""
        hits = [
            np.isin(shown[:K], rest).sum() for shown, rest in zip(lists, self.rest, strict=True)
        ]
        counts = np.array([len(rest) for rest in self.rest])
        shares = np.array(hits)[:, np.newaxis] / np.column_stack([counts, np.minimum(K, counts)])
        return np.array([shares[self.users == user].mean(axis=0) for user in np.unique(self.users)])


class Fold:
    """Training without a fifth of the users, and their questions."""

    def __init__(self, dataset: Dataset, new: NDArray[np.bool_], draws: int) -> None:
        ratings = dataset.ratings
        warm = ratings.take(np.flatnonzero(~new[ratings.user_index]))
        self.model = retrieval_of(PRESETS["default"], dataset, warm, seed=SEED)
        self.scale = dataset.rating_scale
        self.counts = np.bincount(warm.movie_index, minlength=len(dataset.movies))
        self.questions = {how: ask(ratings, np.flatnonzero(new), how, draws) for how in INPUTS}

    def answers(self, how: str, setting: Setting) -> NDArray[np.float64]:
        """Return the metrics of `Reader.for_ratings`, computed without a store."""
        questions = self.questions[how]
        movies = np.unique(np.concatenate([given.movie_index for given in questions.given]))
        published = lists_of(self.model, setting, movies)
        shown = []
        for given in questions.given:
            ids = map(str, given.movie_index.tolist())
            weights = star_weights(dict(zip(ids, given.rating.tolist(), strict=True)), self.scale)
            order, _ = blended(votes_of(weights, published))
            shown.append([int(movie) for movie in order[:K]])
        return questions.judge(shown)

    def of_the_model(self, how: str) -> NDArray[np.float64]:
        """Return the metrics of the trained model with the given ratings as history."""
        questions = self.questions[how]
        count = len(questions.given)
        names = ("movie_index", "rating", "timestamp")
        columns = (
            np.concatenate([getattr(one, name) for one in questions.given]) for name in names
        )
        given = Ratings(np.repeat(np.arange(count, dtype=np.int32), GIVEN), *columns)
        users, movies, sparse = self.model.fold_in(given, user_count=count)
        scores = users @ movies.T
        sparse.add_to(scores, first=0)
        return questions.judge(_best(scores, questions))

    def of_popularity(self, how: str) -> NDArray[np.float64]:
        """Return the metrics of the most rated movies without the given ones."""
        questions = self.questions[how]
        return questions.judge(
            _best(np.tile(self.counts.astype(float), (len(questions.given), 1)), questions)
        )


def ask(ratings: Ratings, users: NDArray[np.int64], how: str, draws: int) -> Questions:
    """Draw the given ratings of each user."""
    rng = np.random.default_rng(SEED)
    by_user = np.argsort(ratings.user_index, kind="stable")
    ends = np.searchsorted(ratings.user_index[by_user], users, side="right")
    starts = np.searchsorted(ratings.user_index[by_user], users, side="left")
    questions = Questions(np.repeat(users, draws), [], [])
    for start, end in zip(starts, ends, strict=True):
        for _ in range(draws):
            order = rng.permutation(by_user[start:end])
            if how == "most stars":
                order = order[np.argsort(-ratings.rating[order], kind="stable")]
            questions.given.append(ratings.take(order[:GIVEN]))
            questions.rest.append(ratings.movie_index[order[GIVEN:]])
    return questions


def lists_of(
    model: Retrieval, setting: Setting, movies: NDArray[np.int32]
) -> dict[str, tuple[list[str], list[float]]]:
    """Return the lists of some movies as they are published, under other settings."""
    vectors, items, (rated, neighbours) = model.next_embeddings().rows(movies)
    vectors[:, -2] = setting.arrival_popularity
    share = setting.arrival_neighbour_share / OURS.arrival_neighbour_share
    sparse = SparseTerm(Rated(rated.history, rated.weights * np.float32(share)), neighbours)
    itself = Histories(np.arange(len(movies) + 1), movies)
    blocks = top_k_blocks(vectors, items, itself, k=LENGTH, threads=2, sparse=sparse)
    rows = (row for block in blocks for row in zip(block.items, block.scores, strict=True))
    return {
        str(movie): (list(map(str, items.tolist())), np.round(scores.astype(float), 3).tolist())
        for movie, (items, scores) in zip(movies, rows, strict=True)
    }


def _best(scores: NDArray[np.floating], questions: Questions) -> list[list[int]]:
    """Return the top-10 by score without the given movies; ties order by index."""
    given = np.array([one.movie_index for one in questions.given])
    np.put_along_axis(scores, given, -np.inf, axis=1)
    few = np.sort(np.argpartition(-scores, 5 * K, axis=1)[:, : 5 * K], axis=1)
    order = np.argsort(-np.take_along_axis(scores, few, axis=1), axis=1, kind="stable")[:, :K]
    return np.take_along_axis(few, order, axis=1).tolist()


def ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, object]:
    """Return the ratio of our mean to theirs with its interval; both [users, 2], same users."""
    draws = np.random.default_rng(SEED).integers(len(ours), size=(RESAMPLES, len(ours)))
    sampled = ours[draws].mean(axis=1) / theirs[draws].mean(axis=1)  # [RESAMPLES, 2]
    low, high = np.percentile(sampled, [2.5, 97.5], axis=0)
    means = ours.mean(axis=0) / theirs.mean(axis=0)
    return {
        name: {"ratio": means[at], "interval": [low[at], high[at]]}
        for at, name in enumerate(FIGURES)
    }


def compare(dataset: Dataset, draws: int) -> dict[str, object]:
    """Choose on the users of some folds, and measure on the others."""
    fold = np.random.default_rng(SEED).permutation(len(dataset.user_ids)) % FOLDS
    chosen: dict[Setting, list[NDArray[np.float64]]] = {}
    found: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for number in range(FOLDS):
        one = Fold(dataset, fold == number, draws)
        for how in INPUTS:
            if number in CHOOSING:
                for setting in GRID:
                    chosen.setdefault(setting, []).append(one.answers(how, setting))
                continue
            for name, figures in (
                ("for_ratings", one.answers(how, OURS)),
                ("the model", one.of_the_model(how)),
                ("most rated", one.of_popularity(how)),
            ):
                found.setdefault((how, name), []).append(figures)
        print(f"  fold {number + 1} of {FOLDS}", flush=True)
    joined = {key: np.concatenate(figures) for key, figures in found.items()}
    return {
        "users": {
            "choosing": int(np.isin(fold, CHOOSING).sum()),
            "measured": int((~np.isin(fold, CHOOSING)).sum()),
        },
        "validation": [
            {**setting._asdict(), "recall@10": float(np.concatenate(figures)[:, 0].mean())}
            for setting, figures in chosen.items()
        ],
        "ours": OURS._asdict(),
        "measured": {how: _table(joined, how) for how in INPUTS},
    }


def _table(joined: dict[tuple[str, str], NDArray[np.float64]], how: str) -> dict[str, object]:
    popular = joined[how, "most rated"]
    return {
        name: {
            **dict(zip(FIGURES, figures.mean(axis=0).tolist(), strict=True)),
            **({} if name == "most rated" else {"to most rated": ratio(figures, popular)}),
        }
        for (input_kind, name), figures in joined.items()
        if input_kind == how
    }


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    begin_anew_without_slowing()
    result = compare(read(arguments.data), arguments.draws)
    print(json.dumps(result, indent=1))
    name = Path(arguments.data).name
    document = {"figure": "for_ratings", "data": name, "machine": describe(), **result}
    path = HERE / "results" / f"for_ratings-{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
