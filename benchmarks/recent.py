"""Quality of the next movie in a session: the user's list, re-ordered by what the user just did.

The last events of each user are held out: the very last one is to be found, and those before it are
the session. Models are trained on everything earlier, and their lists are those of a run: user
lists, lists of each movie, most rated movies. `Reader.user(..., recent=...)` is computed without a
store. Without times the order of events is drawn, so a session has nothing that the rest of the
history has not.

Half of the users choose the weight of a recent movie's list: the largest whose lists are nowhere
worse than the user's list alone, drawn orders included. The other half measures it, once. The
figure is ndcg@10 of the one movie to be found; intervals are paired 95 % bootstrap intervals over
users.

usage: recent.py [--data DIR|demo] [--rating-scale LOW:HIGH]
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from in_process import HERE, SEED, read, retrieval_of
from machine import begin_anew_without_slowing, describe
from numpy.typing import NDArray
from protocol import difference

from reco_batch.data.dataset import Dataset, Histories, Ratings, histories
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.popularity import movie_statistics, popular_lists, thresholds_of
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import PRESETS
from reco_store.contract.keys import BY_MOST_RATED
from reco_store.read.recent import RECENT_WEIGHT, followed, reorder

LENGTH, K = 100, 10
#: Events of a session, without the one to be found.
SESSIONS = (1, 5, 10)
#: Events that a user must have before the session.
LEAST_KNOWN = 5
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0)


class List(NamedTuple):
    """Published list, best movie first."""

    ids: list[str]
    scores: list[float]


@dataclass
class Session:
    """One request of a user, and the movie to be found."""

    user: int
    recent: dict[str, float | None]  # newest first
    target: str


class Cut:
    """Training without the last events of each user, and the lists that a run would publish."""

    def __init__(self, dataset: Dataset, length: int) -> None:
        ratings, count = dataset.ratings, len(dataset.movies.catalogue)
        users = len(dataset.user_ids)
        order, from_end, sizes = in_order(ratings, users)
        late = (from_end <= length) & (sizes > length + LEAST_KNOWN)
        known = ratings.take(np.random.default_rng(SEED).permutation(order[~late]))
        all_but_last = ratings.take(order[~late | (from_end > 0)])
        self.sessions = list(sessions_of(ratings.take(order[late]), length + 1))
        self.scale = dataset.rating_scale if dataset.has_stars else None
        seen, lately = (histories(part, user_count=users) for part in (known, all_but_last))
        self.seen = [frozenset(map(str, seen.of(user).tolist())) for user in range(users)]
        model = retrieval_of(PRESETS["default"], dataset, known, seed=SEED)
        itself = Histories(np.arange(count + 1), np.arange(count, dtype=np.int32))
        after = model.next_embeddings().among(count).first_users(count)
        self.user = lists_of(model.embeddings().among(count), seen.below(count))
        self.next = dict(zip(map(str, range(count)), lists_of(after, itself), strict=True))
        folded = model.fold_in(all_but_last, user_count=users).among(count)
        self.folded = lists_of(folded, lately.below(count))
        self.popular = most_rated(dataset, known)

    def answers(self, own: Sequence[List], weight: float, source: str) -> NDArray[np.float64]:
        """Return ndcg@10 of each session's answer, with a weight of the recent movies' lists."""
        return np.array([self._ndcg(one, own[one.user], weight, source) for one in self.sessions])

    def _ndcg(self, one: Session, own: List, weight: float, source: str) -> float:
        seen = self.seen[one.user]
        recent = followed(one.recent, self.scale)  # movies outside the catalogue have no list
        lists = {movie: self.next[movie] for movie in recent if movie in self.next}
        added = lists.values() if weight else ()
        ids = reorder(own, source, added, "next", seen, weight=weight).ids
        left_out = seen.union(one.recent)
        return ndcg([movie for movie in ids if movie not in left_out], one.target)

    def alone(self) -> NDArray[np.float64]:
        """Return ndcg@10 of the user lists as they are published."""
        return np.array([ndcg(self.user[one.user].ids, one.target) for one in self.sessions])


def in_order(
    ratings: Ratings, users: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rows by user and time, each one's place from the user's end, and the user's count."""
    rng = np.random.default_rng(SEED)
    lot = rng.random(len(ratings))
    when = lot if ratings.timestamp is None else ratings.timestamp
    order = np.lexsort((lot, when, ratings.user_index))
    counts = np.bincount(ratings.user_index, minlength=users)
    sizes = counts[ratings.user_index[order]]
    place = np.arange(len(ratings)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order, sizes - 1 - place, sizes


def sessions_of(late: Ratings, length: int) -> Iterator[Session]:
    """Yield a session for each `length` rows, the last of which is to be found."""
    for start in range(0, len(late), length):
        rows = range(start + length - 2, start - 1, -1)  # newest first
        stars = late.rating
        recent = {
            str(late.movie_index[row]): None if stars is None else float(stars[row]) for row in rows
        }
        target = str(late.movie_index[start + length - 1])
        yield Session(int(late.user_index[start]), recent, target)


def lists_of(vectors: Embeddings, left_out: Histories) -> list[List]:
    """Return the lists of a model with scores as they are published."""
    users, movies, sparse = vectors
    blocks = top_k_blocks(users, movies, left_out, k=LENGTH, threads=2, sparse=sparse)
    return [
        List(
            list(map(str, items[items >= 0].tolist())),
            np.round(scores[items >= 0].astype(float), 3).tolist(),
        )
        for block in blocks
        for items, scores in zip(block.items, block.scores, strict=True)
    ]


def most_rated(dataset: Dataset, known: Ratings) -> List:
    """Return the list of most rated movies."""
    movies = dataset.movies.catalogue
    statistics = movie_statistics(known, movie_count=len(dataset.movies))
    found = popular_lists(
        statistics.of_first_movies(len(movies)),
        movies,
        thresholds=thresholds_of(dataset, 50, None),
        n=LENGTH,
    )
    one = next(one for one in found if one.by == BY_MOST_RATED and one.genre is None)
    return List(list(map(str, one.movie_index.tolist())), one.score.tolist())


def ndcg(ids: Sequence[str], target: str) -> float:
    """Return ndcg@10 of a list for one relevant movie."""
    shown = list(ids[:K])
    return float(1 / np.log2(shown.index(target) + 2)) if target in shown else 0.0


def measure(dataset: Dataset, length: int) -> dict[str, object]:
    """Return what each weight reaches with half of the users, and each list with the others."""
    cut = Cut(dataset, length)
    popular = [cut.popular] * len(dataset.user_ids)
    users = np.array([one.user for one in cut.sessions])
    choosing = np.random.default_rng(SEED).permutation(len(users)) % 2 == 0
    by_weight = {
        weight: (
            cut.answers(cut.user, weight, "personal"),
            cut.answers(popular, weight, BY_MOST_RATED),
        )
        for weight in WEIGHTS
    }
    with_recent, popular_with_recent = by_weight[RECENT_WEIGHT]
    without_recent, of_popular = by_weight[0.0]
    figures = {
        "most rated": of_popular,
        "list alone": cut.alone(),
        "list without the recent movies": without_recent,
        "list with recent": with_recent,
        "most rated with recent": popular_with_recent,
        "the model with the recent events in the history": cut.answers(cut.folded, 0.0, ""),
    }
    pairs = (
        ("list with recent", "list alone"),
        ("list with recent", "list without the recent movies"),
        ("list with recent", "most rated"),
        ("most rated with recent", "most rated"),
    )
    measured = ~choosing
    return {
        "users": {"choosing": int(choosing.sum()), "measured": int(measured.sum())},
        "validation": {
            "list alone": float(figures["list alone"][choosing].mean()),
            "by weight": [
                {
                    "weight": weight,
                    "list": float(known[choosing].mean()),
                    "most rated": float(unknown[choosing].mean()),
                }
                for weight, (known, unknown) in by_weight.items()
            ],
        },
        "measured": {name: float(found[measured].mean()) for name, found in figures.items()},
        "differences": {
            f"{ours} - {theirs}": difference(
                figures[ours][measured], figures[theirs][measured], users[measured]
            )
            for ours, theirs in pairs
        },
    }


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--rating-scale", default="0.5:5", metavar="LOW:HIGH")
    arguments = parser.parse_args()
    begin_anew_without_slowing()
    low, _, high = arguments.rating_scale.partition(":")
    dataset = read(arguments.data, rating_scale=(float(low), float(high)))
    name = Path(arguments.data).name
    result: dict[str, object] = {
        "figure": "recent",
        "data": name,
        "machine": describe(),
        "order": "drawn" if dataset.ratings.timestamp is None else "time",
        "weight": RECENT_WEIGHT,
        "sessions": {str(length): measure(dataset, length) for length in SESSIONS},
    }
    print(json.dumps(result, indent=1))
    path = HERE / "results" / f"recent-{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
