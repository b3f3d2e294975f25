"""Every answer of the night, computed from the trained models and written to the artifact."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from reco_batch.artifact.saved_models import (
    EXPLICIT_MODEL,
    MOVIE_MODEL,
    USER_MODEL,
    save_rating,
    save_retrieval,
)
from reco_batch.artifact.unfinished import UnfinishedNight
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Histories, histories
from reco_batch.models.rating.mlp import RatingModel
from reco_batch.models.retrieval.two_tower import Retrieval
from reco_batch.progress.reporter import Reporter, Stage
from reco_batch.scoring.catalogue import ByProduct, Rows, by_stars, with_reasons
from reco_batch.scoring.engine import Engine
from reco_batch.scoring.explanations import Explained
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.popularity import movie_statistics, popular_lists, thresholds_of
from reco_batch.scoring.ranking import candidates_of, compared_by, of_first_movies, weights_of
from reco_batch.scoring.topk import TopK
from reco_batch.scoring.uncertainty import Bound, doubt_of
from reco_batch.settings.hyperparameters import RankBy
from reco_batch.settings.run_config import RunConfig
from reco_store.contract.families import (
    BECAUSE,
    NEXT,
    POPULAR,
    RANKED,
    SEEN,
    SIMILAR,
    USER,
    Family,
)
from reco_store.prefetch import prefetch

_Block = TypeVar("_Block", TopK, Explained)


class Answers:
    """Writes each family of answers when what it is computed from is there.

    What the night has already is left as it is. The methods write different files and may run side
    by side. Each raises OSError when the disk is full or the folder cannot be written.
    """

    def __init__(
        self,
        writer: ArtifactWriter,
        dataset: Dataset,
        config: RunConfig,
        night: UnfinishedNight,
        reporter: Reporter,
        *,
        engine: Engine,
    ) -> None:
        self._writer = writer
        self._dataset = dataset
        self._config = config
        self._night = night
        self._reporter = reporter
        self._engine = engine
        self._movies = dataset.movies.catalogue
        seen = histories(dataset.ratings, user_count=len(dataset.user_ids))
        self._seen = seen.below(len(self._movies))

    def of_retrieval(self, model: Callable[[], Retrieval]) -> None:
        """Write the lists, the reasons of the users', and the models that answer alike.

        Args:
            model: gives the retrieval model.
        """
        users, ids = self._dataset.user_ids, self._movies.ids
        k = min(self._config.k, len(ids))
        # Movies that the catalogue lacks have the last rows of every array, which are left out.

        def user_lists(stage: Stage) -> None:
            vectors = model().embeddings()
            rows = Rows({"queries": vectors.users}, self._seen)
            product = ByProduct(vectors.movies[: len(ids)], k)
            if not self._config.because:
                self._write(USER, users, self._engine.score(product, rows), stage)
                return
            influence = model().influence().among(len(ids))
            blocks = self._engine.score(*with_reasons(product, rows, influence))
            self._writer.write_explained(users, _counted(prefetch(blocks), stage))

        def similar_lists(stage: Stage) -> None:
            alike = model().similar_embeddings()[: len(ids)]
            rated = self._dataset.ratings.movie_index
            counts = np.bincount(rated, minlength=len(ids))[: len(ids)]
            rows = Rows({"queries": compared_by(alike, counts)}, _itself(len(alike)))
            blocks = self._engine.score(ByProduct(alike, k), rows)
            self._write(SIMILAR, ids, blocks, stage)

        def next_lists(stage: Stage) -> None:
            rows = Rows({"queries": model().next_embeddings()[: len(ids)]}, _itself(len(ids)))
            product = ByProduct(model().embeddings().movies[: len(ids)], k)
            blocks = self._engine.score(product, rows)
            self._write(NEXT, ids, blocks, stage)

        models = [self._writer.models / name for name in (USER_MODEL, MOVIE_MODEL)]
        lists = self._writer.lists
        own = [lists(USER), *([lists(BECAUSE)] if self._config.because else [])]
        self._once("score user lists", own, user_lists, model, total=len(users))
        self._once("score similar lists", [lists(SIMILAR)], similar_lists, model, total=len(ids))
        self._once("score next lists", [lists(NEXT)], next_lists, model, total=len(ids))
        self._once(
            "save retrieval models",
            models,
            lambda _: save_retrieval(self._writer.models, model(), ids, self._seen, k=k),
            model,
        )

    def of_rating(
        self,
        model: Callable[[], RatingModel | LinearRating],
        retrieval: Callable[[], Retrieval | None],
    ) -> None:
        """Write the ranked lists, and the model that predicts alike.

        Args:
            model: gives the rating model.
            retrieval: gives what proposes the candidates; None where all movies are rated.
        """
        users, movies = self._dataset.user_ids, self._dataset.movies.ids
        listed = len(self._movies)

        def ranked_lists(stage: Stage) -> None:
            stars = by_stars(
                of_first_movies(weights_of(model()), listed),
                self._seen,
                k=min(self._config.ranked_k or listed, listed),
                bound=self._bound(),
                among=candidates_of(retrieval(), self._config.ranked_candidates, listed),
            )
            blocks = self._engine.score(*stars)
            in_scale = (_clipped(block, self._config.rating_scale) for block in blocks)
            self._write(RANKED, users, in_scale, stage)

        self._once(
            "score ranked lists",
            [self._writer.lists(RANKED)],
            ranked_lists,
            lambda: (model(), retrieval()),
            total=len(users),
        )
        self._once(
            "save rating model",
            [self._writer.models / EXPLICIT_MODEL],
            lambda _: save_rating(self._writer.models, model(), users, movies),
            model,
        )

    def _bound(self) -> Bound | None:
        """Return what the ranked lists are ordered by, beside the prediction."""
        if self._config.orders_by is RankBy.PREDICTION:
            return None
        movies = self._dataset.ratings.movie_index
        rated = np.bincount(movies, minlength=len(self._dataset.movies))
        return Bound(doubt_of(rated[: len(self._movies)]), self._config.rating_scale)

    def for_everybody(self) -> None:
        """Write the popularity lists, the cards, and what each user has seen."""
        movies = self._movies

        def lists_and_cards(_: Stage) -> None:
            statistics = movie_statistics(
                self._dataset.ratings, movie_count=len(self._dataset.movies)
            ).of_first_movies(len(movies))
            thresholds = thresholds_of(
                self._dataset, self._config.count_threshold, self._config.rating_threshold
            )
            self._writer.write_popular(
                popular_lists(statistics, movies, thresholds=thresholds, n=self._config.popular_n)
            )
            self._writer.write_seen(self._dataset.user_ids, self._seen)
            self._writer.write_movies(movies, statistics)
            if not self._dataset.has_stars:  # and so no model to make any of
                self._writer.write_top_k(RANKED, (), ())

        families = (POPULAR, SEEN, *(() if self._dataset.has_stars else (RANKED,)))
        files = [*map(self._writer.lists, families), self._writer.catalogue]
        self._once("popular lists and cards", files, lists_and_cards)

    def _write(
        self, family: Family, ids: Sequence[str], blocks: Iterable[TopK], stage: Stage
    ) -> None:
        """Write lists as they come; the next block is scored meanwhile."""
        self._writer.write_top_k(family, ids, _counted(prefetch(blocks), stage))

    def _once(
        self,
        name: str,
        paths: Sequence[Path],
        write: Callable[[Stage], None],
        model: Callable[[], object] | None = None,
        *,
        total: int | None = None,
    ) -> None:
        """Write a stage's files if the night does not have them; train first what they need."""

        def reported() -> None:
            if model is not None:
                model()  # its training is a stage of its own
            with self._reporter.stage(name, total=total) as stage:
                write(stage)

        self._night.output(name, paths, reported)


def _itself(movie_count: int) -> Histories:
    """Exclude from each movie's list the movie."""
    return Histories(np.arange(movie_count + 1), np.arange(movie_count, dtype=np.int32))


def _clipped(block: TopK, scale: tuple[float, float]) -> TopK:
    """Show no more stars than there are; the order is that of the unclipped prediction."""
    shown = np.clip(block.scores, *scale)
    return TopK(block.items, np.where(block.items >= 0, shown, block.scores))


def _counted(blocks: Iterable[_Block], stage: Stage) -> Iterator[_Block]:
    for block in blocks:
        yield block
        stage.advance(len(block[-1]))  # of either kind the last field has a row for each list
