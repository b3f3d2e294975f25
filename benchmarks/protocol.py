"""Protocol of `quality.py`: cuts of a data set, exact lists, metrics of each user, intervals.

Independent of the job's own code: a cut data set is a folder that the job reads, and lists come
back through the store. Duplicate pairs are dropped (the first stays), and users with fewer than
five ratings. A case is one cut: its training part is fitted, its test part measured once. Every
held-out rating is relevant, lists are exact over the whole catalogue without the training part's
movies, and users are those with training and held-out ratings.

Shapes: U users of the training part, I movies of the catalogue, N test ratings, P pairs of a user
and a case.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

K = 100
SEED = 42
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
LEAST_RATINGS = 5
RESAMPLES = 2_000
#: Several dates of the global split divide the ratings from here on; one date is at 1 - TEST_SHARE.
FIRST_DATE = 0.5
KEYS = ["userId", "movieId"]

Scores = Callable[[int, int], NDArray[np.float32]]
"""Scores of users start to stop for all movies, [stop - start, I]."""


def read_ratings(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ratings that the protocol keeps, and the movies; ids are text."""
    ids = dict.fromkeys(KEYS, str)
    ratings = pd.read_csv(folder / "ratings.csv", dtype=ids).drop_duplicates(KEYS)
    movies = pd.read_csv(folder / "movies.csv", dtype=ids).drop_duplicates("movieId")
    ratings = ratings[ratings["movieId"].isin(movies["movieId"])]
    counts = ratings.groupby("userId")["movieId"].transform("size")
    return ratings[counts >= LEAST_RATINGS].reset_index(drop=True), movies


def held_back(ratings: pd.DataFrame, split: str, share: float, seed: int) -> NDArray[np.bool_]:
    """Return a mask of the held-out ratings.

    Args:
        ratings: with a column `timestamp`, unless the split is random.
        split: `random` or `time`: a share of each user's ratings, drawn or the latest; `global`:
            all ratings after one date.
        share: of the ratings.
        seed: of the draw, and of ties in time.
    """
    if split == "global":
        return (ratings["timestamp"] > ratings["timestamp"].quantile(1 - share)).to_numpy()
    lot = np.random.default_rng(seed).random(len(ratings))
    users = ratings["userId"].to_numpy()
    first = ratings["timestamp"].to_numpy() if split == "time" else lot
    ordered = pd.DataFrame({"user": users, "first": first, "lot": lot}).sort_values(
        ["user", "first", "lot"]
    )
    by_user = ordered.groupby("user")["user"]
    size, from_end = by_user.transform("size"), by_user.cumcount(ascending=False)
    held = from_end < np.maximum(1, np.round(share * size)).where(size > 1, 0)
    return held.sort_index().to_numpy()


def parts(
    ratings: pd.DataFrame, split: str, *, seeds: int, dates: int
) -> Iterator[tuple[int, pd.DataFrame, pd.DataFrame]]:
    """Yield seed, training part and test part of each case.

    Random and time: a case for each seed. Global: a case for each date; its test part are the
    ratings until the next date of users with ratings before it.

    Raises:
        ValueError: the split needs times, and there are none.
    """
    if split != "random" and "timestamp" not in ratings:
        raise ValueError(f"split {split} needs a column timestamp; choose --split random")
    if split != "global":
        for seed in range(SEED, SEED + seeds):
            held = held_back(ratings, split, TEST_SHARE, seed)
            yield seed, ratings[~held], ratings[held]
        return
    first = FIRST_DATE if dates > 1 else 1 - TEST_SHARE
    ends = ratings["timestamp"].quantile(np.linspace(first, 1, dates + 1)).to_numpy()
    for start, end in pairwise(ends):
        time = ratings["timestamp"]
        before, after = ratings[time <= start], ratings[(time > start) & (time <= end)]
        yield SEED, before, after[after["userId"].isin(before["userId"])]


@dataclass
class Case:
    """One cut of a data set, and the folder of its measurements."""

    folder: Path
    split: str
    seed: int
    train: pd.DataFrame
    test: pd.DataFrame
    movies: pd.DataFrame

    @cached_property
    def users(self) -> pd.Index:
        """Ids of the training part's users, [U]."""
        return pd.Index(np.sort(self.train["userId"].unique()))

    @cached_property
    def items(self) -> pd.Index:
        """Ids of the catalogue, [I]."""
        return pd.Index(self.movies["movieId"])

    @cached_property
    def seen(self) -> sp.csr_matrix:
        """Training pairs as ones, [U, I]."""
        return self.pairs(self.train)

    @cached_property
    def wanted(self) -> sp.csr_matrix:
        """Held-out pairs as ones, [U, I]."""
        return self.pairs(self.test)

    @property
    def asked(self) -> NDArray[np.int64]:
        """Users with held-out ratings, as rows."""
        return np.flatnonzero(np.diff(self.wanted.indptr))

    def pairs(self, ratings: pd.DataFrame) -> sp.csr_matrix:
        """Return rated pairs as ones, [U, I]."""
        where = (
            self.users.get_indexer(ratings["userId"]),
            self.items.get_indexer(ratings["movieId"]),
        )
        ones = np.ones(len(ratings), np.float32)
        return sp.csr_matrix((ones, where), (len(self.users), len(self.items)))

    def validation(self) -> "Case":
        """Return the case that settings are chosen by: a cut of the training part."""
        held = held_back(self.train, self.split, VALIDATION_SHARE, self.seed + 1)
        train, test = self.train[~held], self.train[held]
        test = test[test["userId"].isin(train["userId"])]
        return Case(self.folder, self.split, self.seed, train, test, self.movies)

    def write(self) -> None:
        """Write the training part as the job reads it; measurements of other data are deleted."""
        hashed = [pd.util.hash_pandas_object(part).to_numpy() for part in (self.train, self.test)]
        print_of_data = hashlib.sha256(np.concatenate(hashed).tobytes()).hexdigest()
        file = self.folder / "data.sha256"
        if file.exists() and file.read_text("utf-8") == print_of_data:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("data", "lists", "stars"):
            (self.folder / name).mkdir(parents=True)
        self.train.to_csv(self.folder / "data" / "ratings.csv", index=False)
        self.movies.to_csv(self.folder / "data" / "movies.csv", index=False)
        file.write_text(print_of_data, "utf-8")

    def keep(self, name: str, notes: Mapping[str, object], **arrays: NDArray[np.generic]) -> None:
        """Keep what was measured: `lists` [U, K], rows of the catalogue, or `stars` [N]."""
        for kind, values in arrays.items():
            np.save(self.folder / kind / f"{name}.npy", values)
            written = json.dumps(notes, indent=1) + "\n"
            (self.folder / kind / f"{name}.json").write_text(written, "utf-8")

    def kept(self, kind: str) -> dict[str, tuple[NDArray[np.generic], dict[str, object]]]:
        """Return what was measured, with its notes, by name."""
        return {
            path.stem: (np.load(path), json.loads(path.with_suffix(".json").read_text("utf-8")))
            for path in sorted((self.folder / kind).glob("*.npy"))
        }


def top_k(
    scores: Scores, seen: sp.csr_matrix, *, k: int = K, block: int = 1024
) -> NDArray[np.int32]:
    """Return each user's k best movies without the seen ones, [U, k]; -1 where there is none."""
    lists = np.full((seen.shape[0], k), -1, np.int32)
    for start in range(0, seen.shape[0], block):
        stop = min(start + block, seen.shape[0])
        found = np.array(scores(start, stop), np.float32)
        found[seen[start:stop].nonzero()] = -np.inf
        best = np.argpartition(-found, min(k, found.shape[1]) - 1, axis=1)[:, :k]
        values = np.take_along_axis(found, best, 1)
        order = np.argsort(-values, axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        best[~np.isfinite(np.take_along_axis(values, order, 1))] = -1
        lists[start:stop, : best.shape[1]] = best
    return lists


def metrics_by_user(
    lists: NDArray[np.int32], wanted: sp.csr_matrix
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of each user with held-out ratings, in order.

    Recall counts at most k held-out movies, NDCG has binary gains.

    Args:
        lists: [U, K], best first; -1 is no movie. Metrics at a cutoff above K are left out.
        wanted: [U, I].
    """
    counts = np.diff(wanted.indptr)
    users = np.flatnonzero(counts)
    hits = np.zeros((len(users), lists.shape[1]))
    for row, user in enumerate(users):
        relevant = wanted.indices[wanted.indptr[user] : wanted.indptr[user + 1]]
        hits[row] = np.isin(lists[user], relevant)
    discount = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    found = {}
    for k in (k for k in (10, 20, 100) if k <= lists.shape[1]):
        most = np.minimum(counts[users], k)
        found[f"ndcg@{k}"] = hits[:, :k] @ discount[:k] / np.cumsum(discount[:k])[most - 1]
        found[f"recall@{k}"] = hits[:, :k].sum(axis=1) / most
    return found


def coverage(case: Case, lists: NDArray[np.int32], k: int = 10) -> float:
    """Return the share of the catalogue in the first k of at least one measured user."""
    shown = lists[case.asked, :k]
    return len(np.unique(shown[shown >= 0])) / len(case.items)


def difference(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    users: NDArray[np.generic],
    *,
    of_mean: Callable[[NDArray[np.float64]], NDArray[np.float64]] = np.asarray,
) -> dict[str, object]:
    """Return our mean less theirs with its paired 95 % bootstrap interval.

    Users are drawn with all their values, so values of one user need not be independent.

    Args:
        ours: [P], or a value for each test rating.
        theirs: of the same pairs.
        users: the user of each.
        of_mean: of the compared means, such as the square root of a mean squared error.
    """
    _, cluster = np.unique(users, return_inverse=True)
    columns = (np.ones(len(ours)), ours, theirs)
    sums = np.stack([np.bincount(cluster, weights) for weights in columns], axis=1)  # [users, 3]
    rng = np.random.default_rng(0)
    drawn = np.stack(
        [sums[rng.integers(0, len(sums), len(sums))].sum(axis=0) for _ in range(RESAMPLES)]
    )
    totals = np.vstack([sums.sum(axis=0), drawn])
    means = of_mean(totals[:, 1:] / totals[:, :1])
    gains = means[:, 0] - means[:, 1]
    return {
        "mean": float(gains[0]),
        "relative": float(gains[0] / means[0, 1]),
        "interval": np.percentile(gains[1:], [2.5, 97.5]).tolist(),
    }
