"""Computing and writing of all published lists, and of the saved models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.stored_models import store_rating, store_retrieval
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Histories, Ratings, histories
from reco_batch.data.history_digests import history_digests
from reco_batch.models.rating.stored_rating import StoredRating
from reco_batch.models.retrieval.hybrid import HybridRetrieval
from reco_batch.models.retrieval.stored_hybrid import StoredHybrid
from reco_batch.models.trainable import Rating, Retrieval
from reco_batch.progress.reporter import Stage as Progress
from reco_batch.rules.compiled import CompiledRules
from reco_batch.rules.repeats import left_out, left_out_by_kind
from reco_batch.scoring.catalogue import by_product, by_stars, with_reasons
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.engine import Engine
from reco_batch.scoring.explanations import Explained
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.popularity import (
    PopularList,
    Recency,
    movie_statistics,
    popular_lists,
    recent_lists,
    thresholds_of,
)
from reco_batch.scoring.ranked_lists import candidates_of, compared_by, of_first_movies, weights_of
from reco_batch.scoring.topk import TopK
from reco_batch.scoring.uncertainty import Bound, doubt_of
from reco_batch.settings.hyperparameters import RankBy
from reco_batch.settings.rules import NEVER
from reco_batch.settings.run_config import RunConfig
from reco_store.contract.families import NEXT, RANKED, SIMILAR, USER, Family
from reco_store.contract.keys import BY_TRENDING
from reco_store.prefetch import prefetch

_Block = TypeVar("_Block", TopK, Explained)


class _Users(NamedTuple):
    """Users whose lists are computed, and the movies of their histories."""

    ids: Sequence[str]
    seen: Histories
    left_out: Histories
    """Movies that their lists leave out."""

    def rows(self, user_index: NDArray[np.int64]) -> "_Users":
        """Return the given users, in the given order."""
        ids = tuple(self.ids[user] for user in user_index)
        return _Users(ids, self.seen.rows(user_index), self.left_out.rows(user_index))


class Lists:
    """Work of the stages that write lists and models.

    The methods write different files and may run in parallel. Each raises OSError if the disk is
    full or the folder cannot be written.
    """

    def __init__(
        self,
        writer: ArtifactWriter,
        dataset: Dataset,
        config: RunConfig,
        *,
        rules: CompiledRules,
        engine: Engine,
        trained_counts: NDArray[np.int64] | None = None,
    ) -> None:
        """Prepare the work.

        Args:
            writer: takes the lists.
            dataset: input.
            config: lengths and orders of the lists.
            rules: rules for the lists.
            engine: scores the lists.
            trained_counts: ratings of each listed movie when the models were trained, by which
                ranked lists are ordered, and a movie without a vector is compared; None: those of
                the input.
        """
        self._writer = writer
        self._dataset = dataset
        self._config, self._rules = config, rules
        self._engine, self._trained_counts = engine, trained_counts
        # Arrays over movies end with those that the catalogue lacks; these are left out of lists.
        self._movies = dataset.movies.catalogue
        self._k = min(config.k, len(self._movies))
        seen, count = dataset.seen, len(self._movies)
        self._explains_all = seen is dataset.ratings
        history = histories(seen, user_count=len(dataset.user_ids)).below(count)
        left_out = self._excluded(history, config.rules.seen, rules.repeat_days)
        self._users = _Users(dataset.user_ids, history, left_out)

    def of_users(self, user_index: NDArray[np.int64]) -> "Lists":
        """Return the same work for some users alone, in this order; movies are those of all."""
        some = copy(self)
        some._users = self._users.rows(user_index)  # noqa: SLF001  # of the copy
        return some

    def history_digests(self) -> list[str]:
        """Return a digest of each user's history, which differs once the user's lists may."""
        own = None if self._users.left_out is self._users.seen else self._users.left_out
        return history_digests(self._dataset, own)

    def popular(self, progress: Progress) -> None:
        """Write the popularity lists, the movie cards, and the movies that each user has seen."""
        self.popular_and_cards(progress)
        self.seen()
        if self._config.parameters.retrieval.folds_in:  # it can be refreshed
            self._writer.write_histories(self._users.ids, self.history_digests())
        if not self._dataset.has_stars:  # there will be no rating model
            self.no_ranked()

    def no_ranked(self) -> None:
        """Write the file of ranked lists without any list."""
        self._writer.write_top_k(RANKED, (), ())

    def seen(self) -> None:
        """Write the movies that each user has seen."""
        self._writer.write_seen(self._users.ids, self._users.seen)

    def popular_and_cards(self, progress: Progress) -> None:
        """Write the popularity lists and the movie cards."""
        movies, targets = self._movies, self._dataset.ratings.targets
        statistics = movie_statistics(
            targets, movie_count=len(self._dataset.movies)
        ).of_first_movies(len(movies))
        thresholds = thresholds_of(
            self._dataset, self._config.count_threshold, self._config.rating_threshold
        )
        n, eligible = self._config.popular_n, self._rules.eligible
        usual = popular_lists(statistics, movies, thresholds=thresholds, n=n, eligible=eligible)
        self._writer.write_popular(chain(usual, self._recent(targets, progress)))
        self._writer.write_movies(movies, statistics, self._rules.user)

    def _recent(self, ratings: Ratings, progress: Progress) -> list[PopularList]:
        """Return the trending and new lists of ratings, and note why there is none."""
        recency = _recency_of(self._config)
        n, words = self._config.popular_n, self._dataset.words
        found = list(
            recent_lists(ratings, self._movies, recency, n=n, eligible=self._rules.eligible)
        )
        kinds = {one.by for one in found}
        if ratings.timestamp is None and any(recency[:2]):
            progress.note(words.adapt("the ratings have no times, so no trending and no new lists"))
        elif recency.trending_days is not None and BY_TRENDING not in kinds:
            progress.note(
                words.adapt(
                    f"no movie was rated by {recency.least_users} users in the last "
                    f"{recency.trending_days:g} days, so no trending list"
                )
            )
        return found

    def user(self, progress: Progress, model: Retrieval) -> None:
        """Write the user lists, with explanations if these are wanted."""
        users, count = self._users.ids, len(self._movies)
        rules = self._rules.user
        if rules.diversity:
            rules = rules.with_vectors(model.similar_embeddings()[:count])
        vectors = model.embeddings().among(count)
        product, rows = by_product(vectors, self._users.left_out, k=self._k, rules=rules)
        if not self._config.because:
            self._write(USER, users, self._engine.score(product, rows), progress)
            return
        influence = model.influence().among(count)
        if not self._explains_all:
            influence = influence.within(self._users.seen)
        blocks = self._engine.score(*with_reasons(product, rows, influence))
        self._writer.write_explained(users, _counted(prefetch(blocks), progress))

    def similar(self, progress: Progress, model: Retrieval) -> None:
        """Write the lists of similar movies."""
        count = len(self._movies)
        alike = model.similar_embeddings()[:count]
        vectors = Embeddings(compared_by(alike, self._counts()), alike)
        similar = by_product(vectors, _itself(count), k=self._k, rules=self._rules.offered)
        self._write(SIMILAR, self._movies.ids, self._engine.score(*similar), progress)

    def next(self, progress: Progress, model: Retrieval) -> None:
        """Write the lists for a user who rated one movie."""
        count = len(self._movies)
        vectors = model.next_embeddings().among(count).first_users(count)
        following = by_product(vectors, _itself(count), k=self._k, rules=self._rules.offered)
        self._write(NEXT, self._movies.ids, self._engine.score(*following), progress)

    def save_retrieval(self, _: Progress, model: Retrieval) -> None:
        """Write the SavedModels of users and of movies, and the model for refreshes."""
        from reco_batch.artifact.saved_models import save_retrieval  # noqa: PLC0415  # TensorFlow

        folder, ids = self._writer.models, self._movies.ids
        save_retrieval(folder, model, ids, self._users.seen, k=self._k)
        if isinstance(model, HybridRetrieval):
            store_retrieval(folder, StoredHybrid.of(model))

    def ranked(self, progress: Progress, model: Rating, proposing: Retrieval | None = None) -> None:
        """Write the lists by predicted rating.

        Args:
            progress: counts users.
            model: rating model.
            proposing: retrieval model that proposes the movies to rate; None to rate all.
        """
        listed = len(self._movies)
        stars = by_stars(
            of_first_movies(weights_of(model), listed),
            self._users.left_out,
            k=min(self._config.ranked_k or listed, listed),
            bound=self._bound(),
            among=candidates_of(proposing, self._config.ranked_candidates, listed),
            rules=self._rules.offered,
        )
        blocks = self._engine.score(*stars)
        in_scale = (_clipped(block, self._config.rating_scale) for block in blocks)
        self._write(RANKED, self._users.ids, in_scale, progress)

    def save_rating(self, _: Progress, model: Rating) -> None:
        """Write the SavedModel of predicted ratings, and the model for refreshes."""
        from reco_batch.artifact.saved_models import save_rating  # noqa: PLC0415  # TensorFlow

        dataset, folder = self._dataset, self._writer.models
        save_rating(folder, model, dataset.user_ids, dataset.movies.ids)
        if isinstance(model, LinearRating):
            store_rating(folder, StoredRating.of(model, dataset.ratings, dataset.movies.ids))

    def _excluded(
        self, seen: Histories, rule: str | Mapping[str, str], repeat_days: float | None
    ) -> Histories:
        """Return the movies that each user's lists leave out."""
        dataset, count = self._dataset, len(self._movies)
        if dataset.events is None or rule == NEVER:
            return left_out(dataset.ratings, seen, movie_count=count, repeat_days=repeat_days)
        by_kind = dict.fromkeys(dataset.events.seen, rule) if isinstance(rule, str) else rule
        return left_out_by_kind(
            dataset.ratings, dataset.events, seen, movie_count=count, rules=by_kind
        )

    def _bound(self) -> Bound | None:
        """Return the uncertainty that the ranked lists subtract; None to rank by prediction."""
        if self._config.orders_by is RankBy.PREDICTION:
            return None
        return Bound(doubt_of(self._counts()), self._config.rating_scale)

    def _counts(self) -> NDArray[np.int64]:
        """Return the ratings of each listed movie when the models were trained."""
        if self._trained_counts is not None:
            return self._trained_counts
        count = len(self._movies)
        return np.bincount(self._dataset.ratings.movie_index, minlength=count)[:count]

    def _write(
        self, family: Family, ids: Sequence[str], blocks: Iterable[TopK], progress: Progress
    ) -> None:
        """Write blocks of lists; the next block is scored in the meantime."""
        self._writer.write_top_k(family, ids, _counted(prefetch(blocks), progress))


def _recency_of(config: RunConfig) -> Recency:
    """Return the periods of the trending and new lists."""
    return Recency(config.trending_days, config.new_days, config.trending_half_life)


def _itself(movie_count: int) -> Histories:
    """Return exclusions that remove each movie from its own list."""
    return Histories(np.arange(movie_count + 1), np.arange(movie_count, dtype=np.int32))


def _clipped(block: TopK, scale: tuple[float, float]) -> TopK:
    """Return a block with its scores clipped to the rating scale, in the same order."""
    shown = np.clip(block.scores, *scale)
    return TopK(block.items, np.where(block.items >= 0, shown, block.scores))


def _counted(blocks: Iterable[_Block], progress: Progress) -> Iterator[_Block]:
    for block in blocks:
        yield block
        progress.advance(len(block[-1]))  # the last field of either kind has a row per list
