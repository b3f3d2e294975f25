"""How good the models are on ratings that training did not see.

Lists come from the same code as those that are published: the whole catalogue, seen movies left
out. Beside each figure stands that of a baseline: showing everyone the most rated movies, and
predicting stars from a user's and a movie's mean.

Shapes: N held-out ratings, U users, I movies, D embedding width.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.confidence import Bound, doubt_of
from reco_batch.dataset import Dataset, Ratings, histories
from reco_batch.linear_rating import LinearRating, fit_biases
from reco_batch.popularity import popularity_baseline
from reco_batch.presets import RankBy
from reco_batch.ranked_metrics import KS, interval, list_metrics, per_user_metrics
from reco_batch.ranking import candidates_of, of_first_movies, predict, ranked_blocks, weights_of
from reco_batch.rating import RatingModel
from reco_batch.rating_weights import RatingWeights
from reco_batch.retrieval import Embeddings, Retrieval
from reco_batch.topk import Scratch, TopK, select_blocks, top_k_blocks

#: The k of the notebook's FactorizedTopK.
TOP_K: Final = (1, 5, 10)
#: Figures whose bootstrap interval is kept, too.
WITH_INTERVAL: Final = ("hit@10", "ndcg@10", "recall@100")
_HEAD: Final = 10
#: Movies by how many ratings they have in training: from, up to and including.
BANDS: Final = ((0, 0), (1, 2), (3, 9), (10, 49), (50, None))
_BASELINE_SHRINKAGE: Final = 2.0
_LITTLE_KNOWN: Final = 2


class _Found(NamedTuple):
    """What lists of all users are like."""

    means: dict[str, float]
    """How good: the mean of each figure over the users asked."""
    like: Mapping[str, float]
    intervals: dict[str, list[float]]
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
        """
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
        self, model: RatingModel | LinearRating, retrieval: Retrieval | None = None
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
            with at most two ratings.
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
        return {
            "rating": self._errors(stars),
            "means": self._errors(means),
            "rmse_by_ratings": self._by_ratings(stars),
            "means_rmse_by_ratings": self._by_ratings(means),
            "ranked": self._of_ranked(blocks) if len(self._findable) else {},
        }

    def _of_ranked(self, blocks: Iterable[TopK]) -> dict[str, float]:
        found = self._found(blocks)
        shown = found.heads[found.heads >= 0]
        little = float((self._rated[shown] <= _LITTLE_KNOWN).mean())
        return {**found.means, "little_known@10": little}

    def _longest(self) -> int:
        return min(max(KS), self._listed)

    def _top_k(self, embeddings: Embeddings) -> Iterator[TopK]:
        return top_k_blocks(*embeddings, self._seen, k=self._longest(), threads=self._threads)

    def _found(self, blocks: Iterable[TopK]) -> _Found:
        """Measure lists of all users as they come; of each user only the first ten are kept."""
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
                for name in WITH_INTERVAL
                if name in per_user
            },
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
