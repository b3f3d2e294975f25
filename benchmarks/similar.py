"""Quality of similar lists, and of other similarities between movies.

Fitted on the training and validation parts of the random split. Each movie that at least ten users
liked there has a list of ten. The test part measures it by the users who liked the movie and later
a movie of the list. Two metrics: ndcg@10 with the number of such users as the gain, and with that
number divided by the square root of all users who liked the listed movie, so that listing hits
everywhere gains nothing.

usage: similar.py [--data DIR|demo] [--show]    --show prints the lists of twenty well-known movies
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from in_process import Shape, interactions
from machine import describe
from numpy.typing import NDArray
from peers import Ease

from reco_batch.data.dataset import Dataset, Histories, Ratings
from reco_batch.data.split import SplitBy, split_ratings
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.models.registry import Training, train_retrieval_of
from reco_batch.progress.reporter import QuietReporter
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import PRESETS

HERE = Path(__file__).parent
SEED = 42
K = 10
LIKED = 4.0
LEAST_LIKES = 10
WELL_KNOWN = (
    *("Toy Story (1995)", "Matrix, The (1999)", "Pulp Fiction (1994)", "Titanic (1997)"),
    *("Alien (1979)", "Casablanca (1942)", "Shrek (2001)", "Godfather, The (1972)"),
    *("Fargo (1996)", "Jaws (1975)", "Psycho (1960)", "Grease (1978)", "Up (2009)"),
    *("Inception (2010)", "Gladiator (2000)", "Blade Runner (1982)", "Rocky (1976)"),
    *("Clueless (1995)", "Memento (2000)", "Ghostbusters (a.k.a. Ghost Busters) (1984)"),
)


def lists_of(vectors: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return each movie's ten by the dot product of vectors, as the job computes them; [I, 10]."""
    count = len(vectors)
    itself = Histories(np.arange(count + 1), np.arange(count, dtype=np.int32))
    blocks = top_k_blocks(vectors, vectors, itself, k=K, threads=2)
    return np.concatenate([block.items for block in blocks])


def lists_of_scores(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return each movie's ten of highest score, [I, 10]."""
    np.fill_diagonal(scores, -np.inf)
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
    return np.take_along_axis(best, order, 1)


def cosine(learn: Ratings, shape: Shape) -> NDArray[np.int32]:
    """Return lists by the cosine of users who rated both, as in `implicit.nearest_neighbours`."""
    matrix = interactions(learn, shape)
    lengths = np.sqrt(np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1))
    unit = matrix @ sp.diags(1 / lengths)
    return lists_of_scores((unit.T @ unit).toarray().astype(np.float32))


def ease(learn: Ratings, shape: Shape) -> NDArray[np.int32]:
    """Return lists by EASE's weights from one movie to another."""
    model = Ease(interactions(learn, shape), l2=300)
    return lists_of_scores(model.weights())


def liked(ratings: Ratings, shape: Shape) -> sp.csr_matrix:
    """Return the liked movies of each user, [U, I]."""
    return interactions(ratings.take(np.flatnonzero(ratings.rating >= LIKED)), shape)


def judge(lists: NDArray[np.int32], gains: NDArray[np.float32]) -> float:
    """Return the mean ndcg@10 of lists [Q, 10] over gains [Q, I], of those with any gain."""
    discount = 1 / np.log2(np.arange(2, K + 2))
    best = -np.sort(-gains, axis=1)[:, :K] @ discount
    found = np.take_along_axis(gains, lists, axis=1) @ discount
    asked = best > 0
    return float((found[asked] / best[asked]).mean())


def compare(dataset: Dataset) -> tuple[dict[str, dict[str, float]], NDArray[np.int32]]:
    """Return the metrics of each similarity, and our lists."""
    parts = split_ratings(dataset.ratings, by=SplitBy.RANDOM, seed=SEED)
    shape = Shape(len(dataset.user_ids), len(dataset.movies))
    learn = dataset.ratings.take(np.concatenate([parts.train, parts.validation]))
    before, after = (liked(part, shape) for part in (learn, dataset.ratings.take(parts.test)))
    likes = np.asarray(before.sum(axis=0)).ravel()
    asked = np.flatnonzero(likes >= LEAST_LIKES)
    together = (before.T[asked] @ after).toarray().astype(np.float32)  # [Q, I]
    together[np.arange(len(asked)), asked] = 0
    with QuietReporter().stage("") as stage:
        training = Training(dataset, lambda: learn, SEED, stage)
        model = train_retrieval_of(PRESETS["default"].retrieval, training)
    towers = model.embeddings().movies
    lengths = np.maximum(np.linalg.norm(towers, axis=1, keepdims=True), 1e-9)
    ways = {
        "preset default": lists_of(model.similar_embeddings()),
        "cosine of the same model's movie vectors": lists_of(towers / lengths),
        "implicit's cosine": cosine(learn, shape),
        "EASE, l2 300": ease(learn, shape),
    }
    table = {
        name: {
            "ndcg@10": judge(lists[asked], together),
            "ndcg@10, popularity divided out": judge(lists[asked], together / np.sqrt(likes + 5)),
            "coverage@10": len(np.unique(lists[asked])) / shape.movies,
        }
        for name, lists in ways.items()
    }
    return table, ways["preset default"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache, QuietReporter().stage("") as stage:
        source = load(arguments.data, cache=Path(cache), encoding="utf-8", stage=stage)
    dataset = build_dataset(source.tables, rating_scale=(0.5, 5.0), source=source.origin)
    table, ours = compare(dataset)
    for name, row in table.items():
        print(f"{name:42}" + "  ".join(f"{key} {value:.4f}" for key, value in row.items()))
    if arguments.show:
        titles = dataset.movies.titles
        for wanted in WELL_KNOWN:
            if wanted in titles:
                shown = "; ".join(titles[movie] for movie in ours[titles.index(wanted)][:5])
                print(f"{wanted}: {shown}")
    name = Path(arguments.data).name
    result = {"figure": "similar", "data": name, "machine": describe(), "table": table}
    path = HERE / "results" / f"similar-{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
