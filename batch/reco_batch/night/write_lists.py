"""Computing and writing of all published lists, and of the saved models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np

from reco_batch.artifact.saved_models import save_rating, save_retrieval
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Histories, Ratings, histories
from reco_batch.data.split import Split
from reco_batch.models.trainable import Rating, Retrieval
from reco_batch.progress.reporter import Stage as Progress
from reco_batch.rules.compiled import CompiledRules
from reco_batch.rules.repeats import left_out, left_out_by_kind
from reco_batch.scoring.catalogue import by_product, by_stars, with_reasons
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.engine import Engine
from reco_batch.scoring.explanations import Explained
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


class Lists:
    """Work of the stages that write lists and models.

    The methods write different files and may run in parallel. Each raises OSError if the disk is
    full or the folder cannot be written.
    """

    def __init__(
        self,
        writer: ArtifactWriter,
        dataset: Dataset,
        split: Split,
        config: RunConfig,
        *,
        rules: CompiledRules,
        engine: Engine,
    ) -> None:
        self._writer = writer
        self._dataset, self._split = dataset, split
        self._config, self._rules = config, rules
        self._engine = engine
        # Arrays over movies end with those that the catalogue lacks; these are left out of lists.
        self._movies = dataset.movies.catalogue
        self._k = min(config.k, len(self._movies))
        seen, count = dataset.seen, len(self._movies)
        self._explains_all = seen is dataset.ratings
        self._seen = histories(seen, user_count=len(dataset.user_ids)).below(count)
        self._left_out = self._excluded(config.rules.seen, rules.repeat_days)

    def popular(self, progress: Progress) -> None:
        """Write the popularity lists, the movie cards, and the movies that each user has seen."""
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
        self._writer.write_seen(self._dataset.user_ids, self._seen)
        self._writer.write_movies(movies, statistics, self._rules.user)
        if not self._dataset.has_stars:  # there will be no rating model
            self._writer.write_top_k(RANKED, (), ())

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

    def split(self, _: Progress) -> None:
        """Write the part of the split that each rating belongs to."""
        self._writer.write_split(self._dataset, self._split)

    def user(self, progress: Progress, model: Retrieval) -> None:
        """Write the user lists, with explanations if these are wanted."""
        users, count = self._dataset.user_ids, len(self._movies)
        rules = self._rules.user
        if rules.diversity:
            rules = rules.with_vectors(model.similar_embeddings()[:count])
        vectors = model.embeddings().among(count)
        product, rows = by_product(vectors, self._left_out, k=self._k, rules=rules)
        if not self._config.because:
            self._write(USER, users, self._engine.score(product, rows), progress)
            return
        influence = model.influence().among(count)
        if not self._explains_all:
            influence = influence.within(self._seen)
        blocks = self._engine.score(*with_reasons(product, rows, influence))
        self._writer.write_explained(users, _counted(prefetch(blocks), progress))

    def similar(self, progress: Progress, model: Retrieval) -> None:
        """Write the lists of similar movies."""
        count = len(self._movies)
        alike = model.similar_embeddings()[:count]
        rated = np.bincount(self._dataset.ratings.movie_index, minlength=count)[:count]
        vectors = Embeddings(compared_by(alike, rated), alike)
        similar = by_product(vectors, _itself(count), k=self._k, rules=self._rules.offered)
        self._write(SIMILAR, self._movies.ids, self._engine.score(*similar), progress)

    def next(self, progress: Progress, model: Retrieval) -> None:
        """Write the lists for a user who rated one movie."""
        count = len(self._movies)
        vectors = model.next_embeddings().among(count).first_users(count)
        following = by_product(vectors, _itself(count), k=self._k, rules=self._rules.offered)
        self._write(NEXT, self._movies.ids, self._engine.score(*following), progress)

    def save_retrieval(self, _: Progress, model: Retrieval) -> None:
        """Write the SavedModels of users and of movies."""
        folder, ids = self._writer.models, self._movies.ids
        save_retrieval(folder, model, ids, self._seen, k=self._k)

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
            self._left_out,
            k=min(self._config.ranked_k or listed, listed),
            bound=self._bound(),
            among=candidates_of(proposing, self._config.ranked_candidates, listed),
            rules=self._rules.offered,
        )
        blocks = self._engine.score(*stars)
        in_scale = (_clipped(block, self._config.rating_scale) for block in blocks)
        self._write(RANKED, self._dataset.user_ids, in_scale, progress)

    def save_rating(self, _: Progress, model: Rating) -> None:
        """Write the SavedModel of predicted ratings."""
        dataset = self._dataset
        save_rating(self._writer.models, model, dataset.user_ids, dataset.movies.ids)

    def _excluded(self, rule: str | Mapping[str, str], repeat_days: float | None) -> Histories:
        """Return the movies that each user's lists leave out."""
        dataset, count = self._dataset, len(self._movies)
        if dataset.events is None or rule == NEVER:
            return left_out(dataset.ratings, self._seen, movie_count=count, repeat_days=repeat_days)
        by_kind = dict.fromkeys(dataset.events.seen, rule) if isinstance(rule, str) else rule
        return left_out_by_kind(
            dataset.ratings, dataset.events, self._seen, movie_count=count, rules=by_kind
        )

    def _bound(self) -> Bound | None:
        """Return the uncertainty that the ranked lists subtract; None to rank by prediction."""
        if self._config.orders_by is RankBy.PREDICTION:
            return None
        movies = self._dataset.ratings.movie_index
        rated = np.bincount(movies, minlength=len(self._dataset.movies))
        return Bound(doubt_of(rated[: len(self._movies)]), self._config.rating_scale)

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
