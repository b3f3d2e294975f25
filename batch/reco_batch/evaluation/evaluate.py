"""Evaluation of models on held-out ratings.

Lists come from the same code as the published ones: the whole catalogue without seen movies. Each
metric has a baseline: the most popular movies for everyone, of all time and of the last days,
ratings predicted from the user's and the movie's mean, and movies ordered by their mean rating.
User lists are measured without rules and, if rules change them, with rules too.

Shapes: N held-out ratings, U users, I movies, D embedding width.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Histories, Ratings, histories
from reco_batch.evaluation.baselines import POPULARITY, popularity_scores
from reco_batch.metrics.list_variety import intra_list_diversity, miscalibration, tag_shares
from reco_batch.metrics.ranking_metrics import KS, interval, list_metrics, per_user_metrics
from reco_batch.models.trainable import Retrieval
from reco_batch.rules.compiled import CompiledRules
from reco_batch.rules.list_rules import NO_RULES, ListRules
from reco_batch.rules.repeats import left_out
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.explanations import is_liked
from reco_batch.scoring.factor_model import LinearRating, fit_biases
from reco_batch.scoring.popularity import popular_top_k_accuracy, popularity_baseline
from reco_batch.scoring.ranked_lists import (
    RatingNetwork,
    candidates_of,
    of_first_movies,
    predict,
    ranked_blocks,
    weights_of,
)
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.scoring.topk import TopK, sorted_rows, top_k_blocks
from reco_batch.scoring.uncertainty import Bound, doubt_of
from reco_batch.settings.hyperparameters import RankBy
from reco_store.contract.metrics import Use, figures

#: Cutoffs of the notebook's FactorizedTopK.
TOP_K: Final = (1, 5, 10)
_TOP: Final = 10
#: Bands of movies by their number of ratings in training: lowest and highest, inclusive.
BANDS: Final = ((0, 0), (1, 2), (3, 9), (10, 49), (50, None))
_BASELINE_SHRINKAGE: Final = 2.0
_LITTLE_KNOWN: Final = 2


Keep = Callable[[str, Mapping[str, NDArray[Any]]], None]
"""Receives a group, such as `retrieval`, and its columns: `user_index` and one per metric."""


class _ListEvaluation(NamedTuple):
    """Metrics of the lists of all users."""

    means: dict[str, float]
    """Mean of each ranking metric over the users with held-out ratings."""
    intervals: dict[str, list[float]]
    per_user: dict[str, NDArray[np.float64]]
    top10: NDArray[np.int32]  # [U, 10]


class Evaluation:
    """Metrics of models that were trained on some ratings, measured on the others."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        fitted: Ratings,
        held_out: Ratings,
        rank_by: RankBy,
        candidates: int | None = None,
        rules: CompiledRules | None = None,
        seed: int,
        threads: int,
        keep: Keep = lambda _group, _columns: None,
    ) -> None:
        """Prepare the histories and the held-out movies of all users.

        Args:
            dataset: users and movies.
            fitted: ratings that the models were trained on; lists leave out their movies, also
                those of events that are not of a seen kind, since no such movie can be held out.
            held_out: ratings to find in lists and to predict; may be empty.
            rank_by: order of the ranked lists.
            candidates: number of retrieval candidates that ranked lists are made of; None for all
                movies.
            rules: rules for the user lists that are measured as well; None without any.
            seed: of the bootstrap.
            threads: of scoring.
            keep: receives the metrics of each user with held-out ratings, group by group.
        """
        self._keep = keep
        users, self._movie_count = len(dataset.user_ids), len(dataset.movies)
        self._listed = dataset.movies.listed
        self._scale = dataset.rating_scale
        popular = fitted.targets
        self._held_out = held_out
        self._rank_by, self._candidates = rank_by, candidates
        self._seed, self._threads = seed, threads
        self._seen = histories(fitted, user_count=users).below(self._listed)
        self._tags = tag_shares(dataset.movies.catalogue.genres)
        user, days = (NO_RULES, None) if rules is None else (rules.user, rules.repeat_days)
        if dataset.events:  # lists are measured on movies that are new to the user
            user, days = replace(user, repeats=False), None
        self._rules = None
        if user.changes_lists:
            self._rules = user
            self._left_out = left_out(
                fitted, self._seen, movie_count=self._listed, repeat_days=days
            )
        # No list may contain an unlisted movie, so no list is measured on one.
        self._findable = held_out
        if self._listed < self._movie_count:
            self._findable = held_out.take(np.flatnonzero(held_out.movie_index < self._listed))
        self._wanted = histories(self._findable, user_count=users)
        self._asked = np.flatnonzero(np.diff(self._wanted.offsets))
        self._rated = np.bincount(popular.movie_index, minlength=self._movie_count)
        self._popular = popularity_scores(popular, movie_count=self._movie_count)
        # Everything that the baselines need, since the ratings of large data take much memory.
        self._baseline = popularity_baseline(
            popular, held_out, movie_count=self._movie_count, listed=self._listed, ks=TOP_K
        )
        self._means: _Means | None = None
        if dataset.has_stars and len(held_out):
            self._means = _Means.of(popular, counts=(users, self._movie_count))
        self._liked: Histories | None = None  # with implicit feedback nothing is disliked
        if dataset.has_stars:
            liked = np.flatnonzero(is_liked(self._findable, fitted, user_count=users))
            self._liked = histories(self._findable.take(liked), user_count=users)

    def of_retrieval(self, model: Retrieval) -> Mapping[str, Any]:
        """Return the metrics of the user lists and of the popularity baselines.

        Returns:
            Groups of the manifest's metrics, empty without held-out ratings: `retrieval`,
            `popularity` and, with timestamps, `popularity_7d` and `popularity_30d`, each with the
            notebook's `top_<k>_accuracy`, `recall@k`, `ndcg@k`, `map@k` and `hit@k` at 10, 20 and
            100, and `liked_ndcg@10` of the liked movies; `lists` and `popular_lists`, which need
            no held-out ratings; `intervals`, 95 % bootstrap intervals of some. With rules also
            `retrieval_with_rules` and `lists_with_rules`, without `top_<k>_accuracy`.
        """
        if not len(self._findable):
            return {"retrieval": {}, "popularity": {}}
        embeddings = model.embeddings().among(self._listed)
        alike = model.similar_embeddings()[: self._listed]
        with_interval = _with_interval("retrieval")
        among_all = AmongAll(self._findable, self._seen)
        blocks = self._top_k(embeddings, self._longest(), look=among_all.look)
        ours = self._evaluate_lists(among_all.watched(blocks), with_interval)
        self._keep_users("retrieval", ours.per_user)
        ruled = self._with_rules(embeddings, alike)
        theirs: dict[str, _ListEvaluation] = {}
        accuracy: dict[str, Mapping[str, float]] = {}
        for group, scores in self._popular.items():
            theirs[group] = self._evaluate_lists(self._for_everyone(scores), with_interval)
            self._keep_users(group, theirs[group].per_user)
            accuracy[group] = popular_top_k_accuracy(
                scores[: self._listed], self._findable.movie_index, ks=TOP_K
            )
        accuracy[POPULARITY] = self._baseline
        return {
            "retrieval": {
                **among_all.accuracy(),
                **ours.means,
            },
            **{group: {**accuracy[group], **lists.means} for group, lists in theirs.items()},
            "lists": self._of_lists(ours, alike),
            "popular_lists": self._of_lists(theirs[POPULARITY], alike),
            **ruled,
            "intervals": {
                "retrieval": ours.intervals,
                **{group: lists.intervals for group, lists in theirs.items()},
            },
        }

    def _with_rules(
        self, embeddings: Embeddings, alike: NDArray[np.float32]
    ) -> dict[str, Mapping[str, float]]:
        """Return the metrics of the user lists with rules; empty without rules for them."""
        if self._rules is None:
            return {}
        rules, excluded = self._rules.with_vectors(alike), self._left_out
        lists = self._evaluate_lists(
            self._top_k(embeddings, self._longest(), excluded=excluded, rules=rules), ()
        )
        return {
            "retrieval_with_rules": lists.means,
            "lists_with_rules": self._of_lists(lists, alike),
        }

    def _of_lists(self, lists: _ListEvaluation, alike: NDArray[np.float32]) -> Mapping[str, float]:
        """Return the metrics of the top-10 that need no held-out ratings.

        Args:
            lists: of all users; those with held-out ratings count.
            alike: [I, S] vectors of the similar lists.
        """
        top10 = lists.top10[self._asked]
        of_users = {
            "diversity": intra_list_diversity(top10, alike),
            "miscalibration": miscalibration(top10, self._seen.rows(self._asked), self._tags),
        }
        known = {name: values[~np.isnan(values)] for name, values in of_users.items()}
        return {
            **list_metrics(top10, self._rated[: self._listed], k=_TOP),
            **{f"{name}@{_TOP}": float(v.mean()) for name, v in known.items() if len(v)},
        }

    def retrieval_metric(self, model: Retrieval, name: str) -> float:
        """Return one metric of the user lists, without the others; NaN without held-out ratings.

        Args:
            model: a trained one.
            name: of a metric at a cutoff, such as `ndcg@10`; at least as many movies are listed.
        """
        if not len(self._findable):
            return math.nan
        k = int(name.partition("@")[2])
        blocks = self._top_k(model.embeddings().among(self._listed), k)
        values = [metrics[name] for _, metrics in self._measured(blocks, [k])]
        return float(np.concatenate(values).mean())

    def of_rating(
        self, model: RatingNetwork | LinearRating, retrieval: Retrieval | None = None
    ) -> Mapping[str, Any]:
        """Return the errors of predicted ratings, and the metrics of the lists that they order.

        Args:
            model: a trained rating model.
            retrieval: model that proposes the candidates, unless all movies are rated.

        Returns:
            Groups of the manifest's metrics, empty without held-out ratings: `rating` and its
            baseline `means` with `rmse` and `mae`; `rmse_by_ratings` and `means_rmse_by_ratings`,
            RMSE by the number of ratings of the movie; `ranked`, metrics as in `retrieval`, and
            `little_known@10`, the share of top-10 movies with at most two ratings; `ranked_means`,
            the same for movies ordered by their mean rating; `intervals`, 95 % bootstrap intervals
            of some.
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
        ranked = self._evaluate_lists(blocks, _with_interval("ranked"))
        self._keep_users("ranked", ranked.per_user)
        by_mean = self._evaluate_lists(self._by_mean(), ())
        return {
            "ranked": self._with_little_known(ranked),
            "ranked_means": self._with_little_known(by_mean),
        }, {"ranked": ranked.intervals}

    def _with_little_known(self, lists: _ListEvaluation) -> dict[str, float]:
        shown = lists.top10[lists.top10 >= 0]
        little = float((self._rated[shown] <= _LITTLE_KNOWN).mean())
        return {**lists.means, "little_known@10": little}

    def _by_mean(self) -> Iterator[TopK]:
        """Return every user's unseen movies by mean rating, the baseline of the ranked lists.

        Means are shrunk and bounded as predictions are, or a single five-star rating would come
        first.
        """
        assert self._means is not None  # noqa: S101  # ratings were held out
        shrunk = self._means.of_movies
        if self._rank_by is RankBy.BOUND:
            shrunk = shrunk - doubt_of(self._rated)
        return self._for_everyone(shrunk.astype(np.float32))

    def _for_everyone(self, scores: NDArray[np.float32]) -> Iterator[TopK]:
        """Return every user's unseen movies by scores that are the same for all users, [I]."""
        users = np.ones((len(self._seen.offsets) - 1, 1), np.float32)
        movies = scores[: self._listed, np.newaxis]
        return self._top_k(Embeddings(users, movies), self._longest())

    def _keep_users(self, group: str, per_user: Mapping[str, NDArray[np.float64]]) -> None:
        held_out = np.diff(self._wanted.offsets)[self._asked]
        self._keep(group, {"user_index": self._asked, "held_out": held_out, **per_user})

    def _errors_of_users(
        self, stars: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, list[float]]]:
        """Return each user's errors, and the intervals of the errors over all ratings."""
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

    def _top_k(
        self,
        embeddings: Embeddings,
        k: int,
        *,
        excluded: Histories | None = None,
        rules: ListRules = NO_RULES,
        look: Callable[[int, NDArray[np.float32]], None] | None = None,
    ) -> Iterator[TopK]:
        """Return the lists of all users, without their seen movies unless others are excluded."""
        users, movies, sparse = embeddings
        return top_k_blocks(
            users,
            movies,
            self._seen if excluded is None else excluded,
            k=k,
            threads=self._threads,
            sparse=sparse,
            rules=rules,
            look=look,
        )

    def _measured(
        self, blocks: Iterable[TopK], ks: Sequence[int]
    ) -> Iterator[tuple[TopK, Mapping[str, NDArray[np.float64]]]]:
        """Yield each block of lists with the metrics of its users with held-out movies.

        Cutoffs beyond the length of the lists are left out.
        """
        first = 0
        for block in blocks:
            stop = first + len(block.items)
            users = self._asked[slice(*np.searchsorted(self._asked, (first, stop)))]
            lists = block.items[users - first]
            fitting = [k for k in ks if k <= lists.shape[1]]
            yield block, per_user_metrics(lists, self._wanted, users, ks=fitting)
            first = stop

    def _evaluate_lists(
        self, blocks: Iterable[TopK], with_interval: Sequence[str]
    ) -> _ListEvaluation:
        """Return the metrics of all users' lists; of each list only the top-10 is kept.

        Args:
            blocks: the lists, in the order of the users.
            with_interval: metrics whose bootstrap intervals are computed.
        """
        tops, measured = [], []
        for block, metrics in self._measured(blocks, KS):
            measured.append(metrics)
            tops.append(block.items[:, :_TOP].copy())  # a view would keep the block
        top10 = np.concatenate(tops)
        per_user = {name: np.concatenate([m[name] for m in measured]) for name in measured[0]}
        per_user |= self._liked_ndcg(top10)
        defined = {name: values[~np.isnan(values)] for name, values in per_user.items()}
        return _ListEvaluation(
            {name: float(values.mean()) for name, values in defined.items()},
            {
                name: list(interval(defined[name], seed=self._seed))
                for name in with_interval
                if name in defined
            },
            per_user,
            top10,
        )

    def _liked_ndcg(self, top10: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        """Return NDCG@10 of the liked held-out movies, NaN for users without any.

        Empty if no user has any, or lists are shorter.
        """
        if self._liked is None or top10.shape[1] < _TOP:
            return {}
        users = np.flatnonzero(np.diff(self._liked.offsets))
        if not len(users):
            return {}
        values = np.full(len(top10), np.nan)
        values[users] = per_user_metrics(top10[users], self._liked, users, ks=(_TOP,))["ndcg@10"]
        return {"liked_ndcg@10": values[self._asked]}

    def _errors(self, stars: NDArray[np.float32]) -> dict[str, float]:
        error = (stars - self._held_out.stars).astype(np.float64)
        return {"rmse": _root_mean_square(error), "mae": float(np.abs(error).mean())}

    def _by_ratings(self, stars: NDArray[np.float32]) -> dict[str, float]:
        error = (stars - self._held_out.stars).astype(np.float64)
        rated = self._rated[self._held_out.movie_index]
        errors = {}
        for low, high in BANDS:
            inside = (rated >= low) & (rated <= (rated.max() if high is None else high))
            if inside.any():
                name = f"{low}+" if high is None else f"{low}-{high}" if high > low else f"{low}"
                errors[name] = _root_mean_square(error[inside])
        return errors

    def _from_means(self) -> NDArray[np.float32]:
        assert self._means is not None  # noqa: S101  # ratings were held out
        mean, users, movies, _ = self._means
        predicted = mean + users[self._held_out.user_index] + movies[self._held_out.movie_index]
        clipped: NDArray[np.float32] = np.clip(predicted, *self._scale)
        return clipped


class _Means(NamedTuple):
    """Means of the ratings, from which the baselines of the rating model are computed."""

    mean: np.float32
    users: NDArray[np.float32]  # [U] differences of the users' means from it, shrunk
    movies: NDArray[np.float32]  # [I] the same of the movies
    of_movies: NDArray[np.float64]  # [I] shrunk means

    @classmethod
    def of(cls, ratings: Ratings, *, counts: tuple[int, int]) -> "_Means":
        """Return the means of ratings of U users and I movies."""
        mean = np.float32(ratings.stars.mean())
        biases = fit_biases(
            ratings, ratings.stars - mean, counts=counts, shrinkage=_BASELINE_SHRINKAGE
        )
        sums = np.bincount(ratings.movie_index, ratings.stars, minlength=counts[1])
        rated = np.bincount(ratings.movie_index, minlength=counts[1])
        shrunk = (sums + _BASELINE_SHRINKAGE * float(mean)) / (rated + _BASELINE_SHRINKAGE)
        return cls(mean, *biases, shrunk)


def _with_interval(group: str) -> list[str]:
    """Return the metrics of a group whose intervals are computed."""
    return [figure.name for figure in figures(Use.INTERVAL) if figure.group.name == group]


def _root_mean_square(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


class AmongAll:
    """Share of held-out ratings whose movie is in the user's top-k of all movies, also seen ones.

    The same as `tfrs.metrics.FactorizedTopK`. It takes what it needs from the tiles of the lists
    without seen movies, so that no user is scored a second time.
    """

    def __init__(self, held_out: Ratings, seen: Histories, *, ks: Sequence[int] = TOP_K) -> None:
        """Prepare to look at the scores of all users.

        Args:
            held_out: ratings outside the training part.
            seen: movies that the lists leave out, [U] rows.
            ks: cutoffs.
        """
        order = np.argsort(held_out.user_index, kind="stable")
        self._user, self._movie = held_out.user_index[order], held_out.movie_index[order]
        self._own = np.empty(len(order), np.float32)  # scores of the held-out movies
        self._seen, self._ks = seen, ks
        # Scores of the best seen movies, and of the best others.
        self._best = np.full((len(seen.offsets) - 1, 2, max(ks)), -np.inf, np.float32)

    def look(self, first: int, scores: NDArray[np.float32]) -> None:
        """Look at the scores of a tile of users, as `top_k_blocks` calls it."""
        users = slice(first, first + len(scores))
        theirs = slice(*np.searchsorted(self._user, (users.start, users.stop)))
        self._own[theirs] = scores[self._user[theirs] - first, self._movie[theirs]]
        seen = self._seen.block(users.start, users.stop)
        row = np.repeat(np.arange(len(scores)), np.diff(seen.offsets))
        best = sorted_rows(
            row,
            seen.movie_index,
            scores[row, seen.movie_index],
            rows=len(scores),
            k=self._best.shape[2],
        )
        self._best[users, 0] = best.scores

    def watched(self, blocks: Iterable[TopK]) -> Iterator[TopK]:
        """Yield the lists of all users, after a look at their scores."""
        first = 0
        for block in blocks:
            best = block.scores[:, : self._best.shape[2]]
            self._best[first : first + len(best), 1, : best.shape[1]] = best
            first += len(best)
            yield block

    def accuracy(self) -> Mapping[str, float]:
        """Return `top_<k>_accuracy` -> share, 0 to 1; empty without held-out ratings."""
        if not len(self._own):
            return {}
        best = -np.sort(-self._best.reshape(len(self._best), -1), axis=1)
        # A movie is outside the top-k only if k others are better: equal scores are inside. Fewer
        # movies than k leave -inf, which all scores reach.
        return {
            f"top_{k}_accuracy": float((self._own >= best[self._user, k - 1]).mean())
            for k in self._ks
        }


def rmse(weights: RatingWeights | LinearRating, held_out: Ratings) -> float:
    """Return the root mean square error of predicted ratings; NaN without held-out ratings."""
    if not len(held_out):
        return math.nan
    error = predict(weights, held_out.user_index, held_out.movie_index) - held_out.stars
    return _root_mean_square(error.astype(np.float64))
