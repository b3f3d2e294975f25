"""Models of the job, trained in the benchmark's process: for questions that no run answers.

Settings are chosen by fitting the training part and measuring the validation part. All lists come
from the selection and all metrics from the functions that a run uses.

Shapes: U users, I movies, K list length.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Ratings, histories
from reco_batch.data.split import SplitBy, split_ratings
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.metrics.ranking_metrics import per_user_metrics
from reco_batch.models.registry import Training, train_retrieval_of
from reco_batch.models.trainable import Retrieval
from reco_batch.progress.reporter import QuietReporter
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.topk import Scratch, select_blocks, top_k_blocks
from reco_batch.settings.hyperparameters import Preset

HERE = Path(__file__).parent
K = 100
SEED = 42


class Shape(NamedTuple):
    """Numbers of users and movies."""

    users: int
    movies: int


def interactions(ratings: Ratings, shape: Shape) -> sp.csr_matrix:
    """Return the rated pairs as ones, [U, I]."""
    ones = np.ones(len(ratings), np.float32)
    return sp.csr_matrix((ones, (ratings.user_index, ratings.movie_index)), shape)


def popularity(ratings: Ratings, shape: Shape) -> NDArray[np.float32]:
    """Return each movie's rating count for all users, [U, I]."""
    counts = np.bincount(ratings.movie_index, minlength=shape.movies)
    return np.broadcast_to(counts.astype(np.float32), shape)


@dataclass
class Question:
    """Ratings to learn from, and ratings to find."""

    dataset: Dataset
    learn: Ratings
    find: Ratings
    threads: int = 2

    def __post_init__(self) -> None:
        """Group both by user."""
        self.shape = Shape(len(self.dataset.user_ids), len(self.dataset.movies))
        self.seen = histories(self.learn, user_count=self.shape.users)
        self.wanted = histories(self.find, user_count=self.shape.users)
        self.asked = np.flatnonzero(np.diff(self.wanted.offsets))
        self.rated = np.bincount(self.learn.movie_index, minlength=self.shape.movies)

    def lists_of_scores(self, scores: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the [users, K] lists of a recommender that scores all movies."""

        def score(start: int, stop: int, scratch: Scratch) -> None:
            scratch.scores[: stop - start, : self.shape.movies] = scores[start:stop]

        blocks = select_blocks(score, self.seen, *self.shape, k=K, threads=self.threads)
        return np.concatenate([block.items for block in blocks])[self.asked]

    def lists_of_vectors(self, vectors: Embeddings) -> NDArray[np.int32]:
        """Return the [users, K] lists of a model, as the job computes them."""
        users, movies, sparse = vectors
        blocks = top_k_blocks(users, movies, self.seen, k=K, threads=self.threads, sparse=sparse)
        return np.concatenate([block.items for block in blocks])[self.asked]

    def judge(self, lists: NDArray[np.int32]) -> Mapping[str, NDArray[np.float64]]:
        """Return the metrics of each user."""
        return per_user_metrics(lists, self.wanted, self.asked)


@dataclass
class Parts:
    """Split of a data set, and the questions of its parts."""

    dataset: Dataset
    train: Ratings
    validation: Ratings
    test: Ratings

    @property
    def fitted(self) -> Ratings:
        """Ratings of the final fit."""
        columns = (
            (getattr(self.train, field.name), getattr(self.validation, field.name))
            for field in fields(Ratings)
        )
        both = Ratings(*[None if a is None else np.concatenate([a, b]) for a, b in columns])
        return both.take(np.random.default_rng(SEED).permutation(len(both)))


def read(data: str, rating_scale: tuple[float, float] = (0.5, 5.0)) -> Dataset:
    """Return a data set, as the job reads it."""
    with tempfile.TemporaryDirectory() as cache:
        source = load(data, cache=Path(cache))
    return build_dataset(source.tables, rating_scale=rating_scale, source=source.origin)


def split(dataset: Dataset, by: str) -> Parts:
    """Split the ratings."""
    ratings = dataset.ratings
    parts = split_ratings(ratings, by=SplitBy(by), seed=SEED)
    own = (ratings.take(rows) for rows in (parts.train, parts.validation, parts.test))
    return Parts(dataset, *own)


def retrieval_of(preset: Preset, dataset: Dataset, ratings: Ratings, *, seed: int) -> Retrieval:
    """Train a preset's retrieval model."""
    with QuietReporter().stage("") as stage:
        training = Training(dataset, lambda: ratings, seed, stage)
        return train_retrieval_of(preset.retrieval, training)
