"""Every answer of the night, computed from the trained models and written to the artifact."""

from collections.abc import Iterable, Iterator

import numpy as np

from reco_batch.artifact import ArtifactWriter
from reco_batch.config import RunConfig
from reco_batch.dataset import Dataset, Histories, histories
from reco_batch.popularity import Thresholds, movie_statistics, popular_lists
from reco_batch.progress import Reporter, Stage
from reco_batch.ranking import ranked_blocks
from reco_batch.rating import RatingModel
from reco_batch.retrieval import RetrievalModel
from reco_batch.saved_models import save_rating, save_retrieval
from reco_batch.topk import TopK, top_k_blocks


class Answers:
    """Writes each family of answers when what it is computed from is there.

    The methods write different files and may run side by side. Each raises OSError when the disk
    is full or the folder cannot be written.
    """

    def __init__(
        self, writer: ArtifactWriter, dataset: Dataset, config: RunConfig, reporter: Reporter
    ) -> None:
        self._writer = writer
        self._dataset = dataset
        self._config = config
        self._reporter = reporter
        self._seen = histories(dataset.ratings, user_count=len(dataset.user_ids))

    def of_retrieval(self, model: RetrievalModel) -> None:
        """Write the user and the similar lists, and the models that answer alike."""
        users, movies = model.embeddings()
        ids = self._dataset.movies.ids
        k, threads = min(self._config.k, len(ids)), self._config.threads
        with self._reporter.stage("score user lists", total=len(users)) as stage:
            blocks = top_k_blocks(users, movies, self._seen, k=k, threads=threads)
            self._writer.write_top_k("user", self._dataset.user_ids, _counted(blocks, stage))
        with self._reporter.stage("score similar lists", total=len(movies)) as stage:
            blocks = top_k_blocks(movies, movies, _itself(len(movies)), k=k, threads=threads)
            self._writer.write_top_k("similar", ids, _counted(blocks, stage))
        with self._reporter.stage("save retrieval models"):
            save_retrieval(self._writer.models, model, ids, k=k)

    def of_rating(self, model: RatingModel) -> None:
        """Write the ranked lists, and the model that predicts alike."""
        movie_count = len(self._dataset.movies)
        with self._reporter.stage("score ranked lists", total=len(self._dataset.user_ids)) as stage:
            blocks = ranked_blocks(
                model.split_weights(),
                self._seen,
                k=min(self._config.ranked_k or movie_count, movie_count),
                threads=self._config.threads,
            )
            in_scale = (_clipped(block, self._config.rating_scale) for block in blocks)
            self._writer.write_top_k("ranked", self._dataset.user_ids, _counted(in_scale, stage))
        with self._reporter.stage("save rating model"):
            save_rating(self._writer.models, model)

    def for_everybody(self) -> None:
        """Write the popularity lists, the cards, and what each user has seen."""
        movies = self._dataset.movies
        with self._reporter.stage("popular lists and cards"):
            statistics = movie_statistics(self._dataset.ratings, movie_count=len(movies))
            thresholds = Thresholds(self._config.count_threshold, self._config.rating_threshold)
            self._writer.write_popular(
                popular_lists(statistics, movies, thresholds=thresholds, n=self._config.popular_n)
            )
            self._writer.write_seen(self._dataset.user_ids, self._seen)
            self._writer.write_movies(movies, statistics)


def _itself(movie_count: int) -> Histories:
    """Exclude from each movie's list the movie."""
    return Histories(np.arange(movie_count + 1), np.arange(movie_count, dtype=np.int32))


def _clipped(block: TopK, scale: tuple[float, float]) -> TopK:
    """Show no more stars than there are; the order is that of the unclipped prediction."""
    shown = np.clip(block.scores, *scale)
    return TopK(block.items, np.where(block.items >= 0, shown, block.scores))


def _counted(blocks: Iterable[TopK], stage: Stage) -> Iterator[TopK]:
    for block in blocks:
        yield block
        stage.advance(len(block.items))
