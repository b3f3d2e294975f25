"""How good the models are on ratings that training did not see.

Lists come from the same code as those that are published: the whole catalogue, seen movies left
out. Each figure has a baseline: showing everyone the most rated movies, predicting stars from a
user's and a movie's mean, and ordering movies by their mean rating.

Shapes: N held-out ratings, U users, I movies, D embedding width.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Ratings, histories
from reco_batch.metrics.ranking_metrics import KS, interval, list_metrics, per_user_metrics
from reco_batch.models.trainable import Embeddings, Retrieval
from reco_batch.scoring.factor_model import LinearRating, fit_biases
from reco_batch.scoring.popularity import popularity_baseline
from reco_batch.scoring.ranking import (
    RatingNetwork,
    candidates_of,
    of_first_movies,
    predict,
    ranked_blocks,
    weights_of,
)
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.scoring.topk import Scratch, TopK, select_blocks, top_k_blocks
from reco_batch.scoring.uncertainty import Bound, doubt_of
from reco_batch.settings.hyperparameters import RankBy

#: The k of the notebook's FactorizedTopK.
TOP_K: Final = (1, 5, 10)
#: Figures whose bootstrap interval is kept, too.
WITH_INTERVAL: Final = ("hit@10", "ndcg@10", "recall@10", "recall@100")
#: Figures of the ranked lists whose bootstrap interval is kept, too.
RANKED_WITH_INTERVAL: Final = ("ndcg@10",)
_HEAD: Final = 10
#: Movies by how many ratings they have in training: from, up to and including.
BANDS: Final = ((0, 0), (1, 2), (3, 9), (10, 49), (50, None))
_BASELINE_SHRINKAGE: Final = 2.0
_LITTLE_KNOWN: Final = 2


Keep = Callable[[str, Mapping[str, NDArray[Any]]], None]
"""Takes a group of metrics, such as `retrieval`, and its columns: `user_index` and one a metric."""


class _Found(NamedTuple):
    """What lists of all users are like."""

    means: dict[str, float]
    """How good: the mean of each figure over the users asked."""
    like: Mapping[str, float]
    intervals: dict[str, list[float]]
    per_user: dict[str, NDArray[np.float64]]
    heads: NDArray[np.int32]  # [U, 10]


class Evaluation:
    """Measures models that saw some ratings on the others."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        fitted: Ratings,
        held_out: Ratings,
        rank_by: RankBy,
        candidates: int | None = None,
        seed: int,
        threads: int,
        keep: Keep = lambda _group, _columns: None,
    ) -> None:
        """Prepare to measure.

        Args:
            dataset: what the ratings are of.
            fitted: what the models saw, which lists leave out.
            held_out: what lists should find and stars should predict; may be empty.
            rank_by: order of the ranked lists.
            candidates: retrieval's best that ranked lists are made of; None: all movies.
            seed: of the bootstrap.
            threads: of scoring.
            keep: takes the metrics of each user with held-out ratings, a group at a time.
        """
        self._keep = keep
        users, self._movie_count = len(dataset.user_ids), len(dataset.movies)
        self._listed = dataset.movies.listed
        self._scale = dataset.rating_scale
        # Without their times, which are 8 bytes of a rating's 20 and wanted by the histories alone.
        self._fitted = Ratings(fitted.user_index, fitted.movie_index, fitted.rating, None)
        self._held_out = held_out
        self._rank_by, self._candidates = rank_by, candidates
        self._seed, self._threads = seed, threads
        self._seen = histories(fitted, user_count=users).below(self._listed)
        # Nothing can find a movie that no list may show.
        self._findable = held_out
        if self._listed < self._movie_count:
            self._findable = held_out.take(np.flatnonzero(held_out.movie_index < self._listed))
        self._wanted = histories(self._findable, user_count=users)
        self._asked = np.flatnonzero(np.diff(self._wanted.offsets))
        self._rated = np.bincount(fitted.movie_index, minlength=self._movie_count)

    def of_retrieval(self, model: Retrieval) -> Mapping[str, Any]:
        """Return the figures of the user lists, those of the most popular movies beside them.

        Returns:
            Parts of the manifest's metrics, empty without held-out ratings: `retrieval` and
            `popularity`, each the notebook's `top_<k>_accuracy`, and `recall@k`, `ndcg@k`, `map@k`
            and `hit@k` at 10, 20 and 100; `lists` and `popular_lists`, what the lists are like
            (`ranked_metrics.list_metrics`); `intervals`, of 95 %, of some of them.
        """
        if not len(self._findable):
            return {"retrieval": {}, "popularity": {}}
        embeddings = model.embeddings()
        embeddings = Embeddings(embeddings.users, embeddings.movies[: self._listed])
        popular = Embeddings(
            np.ones((len(embeddings.users), 1), np.float32),
            self._rated[: self._listed, np.newaxis].astype(np.float32),
        )
        ours, theirs = (self._found(self._top_k(of)) for of in (embeddings, popular))
        self._keep_users("retrieval", ours.per_user)
        self._keep_users("popularity", theirs.per_user)
        baseline = popularity_baseline(
            self._fitted,
            self._held_out,
            movie_count=self._movie_count,
            listed=self._listed,
            ks=TOP_K,
        )
        return {
            "retrieval": {
                **top_k_accuracy(embeddings, self._findable, threads=self._threads),
                **ours.means,
            },
            "popularity": {**baseline, **theirs.means},
            "lists": ours.like,
            "popular_lists": theirs.like,
            "intervals": {"retrieval": ours.intervals, "popularity": theirs.intervals},
        }

    def of_rating(
        self, model: RatingNetwork | LinearRating, retrieval: Retrieval | None = None
    ) -> Mapping[str, Any]:
        """Return the errors of the stars, and the figures of the lists ordered by them.

        Args:
            model: what rates.
            retrieval: what proposes the candidates, if not all movies are rated.

        Returns:
            Parts of the manifest's metrics, empty without held-out ratings: `rating` and `means`,
            each `rmse` and `mae`, the latter of a prediction from user and movie means;
            `rmse_by_ratings` and `means_rmse_by_ratings`, the former by how many ratings the
            movie has; `ranked`, as `retrieval`, and `little_known@10`, the share of the first ten
            with at most two ratings; `ranked_means`, the same of lists in the order of the movies'
            mean ratings; `intervals`, of 95 %, of some of them.
        """
        if not len(self._held_out):
            return {"rating": {}}
        weights = weights_of(model)
        stars = predict(weights, self._held_out.user_index, self._held_out.movie_index)
        means = self._from_means()
        bound = None
        if self._rank_by is RankBy.BOUND:
            bound = Bound(doubt_of(self._rated[: self._listed]), self._scale)
        blocks = ranked_blocks(
            of_first_movies(weights, self._listed),
            self._seen,
            k=self._longest(),
            threads=self._threads,
            bound=bound,
            among=candidates_of(retrieval, self._candidates, self._listed),
        )
        errors, error_intervals = self._errors_of_users(stars)
        self._keep("rating", errors)
        ranked, ranked_intervals = self._of_ranked(blocks)
        return {
            "rating": self._errors(stars),
            "means": self._errors(means),
            "rmse_by_ratings": self._by_ratings(stars),
            "means_rmse_by_ratings": self._by_ratings(means),
            **ranked,
            "intervals": {"rating": error_intervals, **ranked_intervals},
        }

    def _of_ranked(
        self, blocks: Iterable[TopK]
    ) -> tuple[dict[str, dict[str, float]], dict[str, Mapping[str, list[float]]]]:
        """Return the metrics of the ranked lists and of their baseline, and the intervals."""
        if not len(self._findable):
            return {"ranked": {}, "ranked_means": {}}, {}
        found = self._found(blocks, RANKED_WITH_INTERVAL)
        self._keep_users("ranked", found.per_user)
        by_mean = self._found(self._by_mean(), ())
        return {
            "ranked": self._with_little_known(found),
            "ranked_means": self._with_little_known(by_mean),
        }, {"ranked": found.intervals}

    def _with_little_known(self, found: _Found) -> dict[str, float]:
        shown = found.heads[found.heads >= 0]
        little = float((self._rated[shown] <= _LITTLE_KNOWN).mean())
        return {**found.means, "little_known@10": little}

    def _by_mean(self) -> Iterator[TopK]:
        """Return everybody's unseen movies in the order of their mean ratings, best first.

        The baseline of the ranked lists. Means are shrunk and bounded as predictions are, or a
        single five-star rating would come first.
        """
        fitted = self._fitted
        sums = np.bincount(fitted.movie_index, fitted.stars, minlength=self._movie_count)
        mean = float(fitted.stars.mean())
        shrunk = (sums + _BASELINE_SHRINKAGE * mean) / (self._rated + _BASELINE_SHRINKAGE)
        if self._rank_by is RankBy.BOUND:
            shrunk -= doubt_of(self._rated)
        everybody = np.ones((len(self._seen.offsets) - 1, 1), np.float32)
        return self._top_k(
            Embeddings(everybody, shrunk[: self._listed, np.newaxis].astype(np.float32))
        )

    def _keep_users(self, group: str, per_user: Mapping[str, NDArray[np.float64]]) -> None:
        held_out = np.diff(self._wanted.offsets)[self._asked]
        self._keep(group, {"user_index": self._asked, "held_out": held_out, **per_user})

    def _errors_of_users(
        self, stars: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, list[float]]]:
        """Return each user's errors, and the intervals of the errors of all ratings together."""
        error = (stars - self._held_out.stars).astype(np.float64)
        users, row, counts = np.unique(
            self._held_out.user_index, return_inverse=True, return_counts=True
        )
        squares = np.bincount(row, error**2).astype(np.float64)
        sizes = np.bincount(row, np.abs(error)).astype(np.float64)
        low, high = interval(squares, counts, seed=self._seed)
        return (
            {
                "user_index": users,
                "held_out": counts,
                "rmse": np.sqrt(squares / counts),
                "mae": sizes / counts,
            },
            {
                "rmse": [math.sqrt(low), math.sqrt(high)],
                "mae": list(interval(sizes, counts, seed=self._seed)),
            },
        )

    def _longest(self) -> int:
        return min(max(KS), self._listed)

    def _top_k(self, embeddings: Embeddings) -> Iterator[TopK]:
        return top_k_blocks(*embeddings, self._seen, k=self._longest(), threads=self._threads)

    def _found(self, blocks: Iterable[TopK], bounded: Sequence[str] = WITH_INTERVAL) -> _Found:
        """Measure lists of all users as they come; of each user only the first ten are kept.

        Args:
            blocks: the lists.
            bounded: figures whose intervals are wanted.
        """
        heads, measured = [], []
        first = 0
        for block in blocks:
            stop = first + len(block.items)
            asked = self._asked[slice(*np.searchsorted(self._asked, (first, stop)))]
            ks = [k for k in KS if k <= block.items.shape[1]]
            measured.append(
                per_user_metrics(block.items[asked - first], self._wanted, asked, ks=ks)
            )
            heads.append(block.items[:, :_HEAD].copy())  # a view would keep the block
            first = stop
        all_heads = np.concatenate(heads)
        per_user = {name: np.concatenate([m[name] for m in measured]) for name in measured[0]}
        return _Found(
            {name: float(values.mean()) for name, values in per_user.items()},
            list_metrics(all_heads[self._asked], self._rated[: self._listed], k=_HEAD),
            {
                name: list(interval(per_user[name], seed=self._seed))
                for name in bounded
                if name in per_user
            },
            per_user,
            all_heads,
        )

    def _errors(self, stars: NDArray[np.float32]) -> dict[str, float]:
        error = (stars - self._held_out.stars).astype(np.float64)
        return {"rmse": _root_mean_square(error), "mae": float(np.abs(error).mean())}

    def _by_ratings(self, stars: NDArray[np.float32]) -> dict[str, float]:
        error = (stars - self._held_out.stars).astype(np.float64)
        rated = self._rated[self._held_out.movie_index]
        found = {}
        for low, high in BANDS:
            inside = (rated >= low) & (rated <= (rated.max() if high is None else high))
            if inside.any():
                name = f"{low}+" if high is None else f"{low}-{high}" if high > low else f"{low}"
                found[name] = _root_mean_square(error[inside])
        return found

    def _from_means(self) -> NDArray[np.float32]:
        fitted, held_out = self._fitted, self._held_out
        mean = np.float32(fitted.stars.mean())
        counts = (len(self._seen.offsets) - 1, self._movie_count)
        users, movies = fit_biases(
            fitted, fitted.stars - mean, counts=counts, shrinkage=_BASELINE_SHRINKAGE
        )
        predicted = mean + users[held_out.user_index] + movies[held_out.movie_index]
        clipped: NDArray[np.float32] = np.clip(predicted, *self._scale)
        return clipped


def _root_mean_square(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


def top_k_accuracy(
    embeddings: Embeddings, held_out: Ratings, *, ks: Sequence[int] = TOP_K, threads: int = 1
) -> Mapping[str, float]:
    """Return the share of held-out ratings whose movie is among its user's best k of all movies.

    What `tfrs.metrics.FactorizedTopK` computes: nothing is excluded, so that movies seen in
    training stand above many held-out ones, and figures are low.

    Args:
        embeddings: of users and movies.
        held_out: ratings that training did not see.
        ks: list lengths.
        threads: users worked on at a time.

    Returns:
        `top_<k>_accuracy` -> share, 0 to 1; empty without held-out ratings.

    Cost:
        O(A * I * D) time of A users with held-out ratings, who are scored once each; 4 bytes a
        held-out rating.
    """
    if not len(held_out):
        return {}
    asked, row = np.unique(held_out.user_index, return_inverse=True)
    order = np.argsort(row, kind="stable")
    row, movie = row[order], held_out.movie_index[order]
    starts = np.searchsorted(row, np.arange(len(asked) + 1))
    users, movies = embeddings.users[asked], embeddings.movies
    own = np.empty(len(row), np.float32)  # the held-out movies' own scores, as they are compared

    def score(start: int, stop: int, scratch: Scratch) -> None:
        tile = scratch.scores[: stop - start, : len(movies)]
        np.matmul(users[start:stop], movies.T, out=tile)
        theirs = slice(starts[start], starts[stop])
        own[theirs] = tile[row[theirs] - start, movie[theirs]]

    longest = min(max(ks), len(movies))
    blocks = select_blocks(score, None, len(users), len(movies), k=longest, threads=threads)
    best = np.concatenate([block.scores for block in blocks])  # [A, k]
    # Only a better movie pushes one down: an equal one at the k-th place does not.
    return {f"top_{k}_accuracy": float((own >= best[row, min(k, longest) - 1]).mean()) for k in ks}


def rmse(weights: RatingWeights | LinearRating, held_out: Ratings) -> Mapping[str, float]:
    """Return the root mean squared error of the predicted stars, as `rmse`.

    Empty without held-out ratings.
    """
    if not len(held_out):
        return {}
    error = predict(weights, held_out.user_index, held_out.movie_index) - held_out.stars
    return {"rmse": _root_mean_square(error.astype(np.float64))}
