"""Small ratings with a planted taste, and models trained on them once for all tests."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from planted_ratings import as_dataset, planted_movies, planted_ratings, write_data
from real_servers import running_server
from reco_batch.data.dataset import Dataset, Histories, histories
from reco_batch.settings.hyperparameters import MlpParameters, TwoTowerParameters


@pytest.fixture(scope="session")
def make_ratings() -> Callable[..., pd.DataFrame]:
    """`planted_ratings`, for a test that wants other numbers."""
    return planted_ratings


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    """Return a function that makes a data set of any frame of ratings of planted movies."""

    def make(ratings: pd.DataFrame, *, movies: int = 90) -> Dataset:
        return as_dataset(ratings, planted_movies(movies=movies))

    return make


@pytest.fixture(scope="session")
def ratings_frame() -> pd.DataFrame:
    """The planted ratings; copy before changing."""
    return planted_ratings()


@pytest.fixture(scope="session")
def dataset(ratings_frame: pd.DataFrame) -> Dataset:
    """The planted ratings as arrays."""
    return as_dataset(ratings_frame, planted_movies())


@pytest.fixture(scope="session")
def sittings(dataset: Dataset) -> Dataset:
    """The planted ratings, but each user's given in an hour or two instead of over years."""
    ratings = dataset.ratings
    seconds = (ratings.timestamp - ratings.timestamp.min()) // 100_000
    return replace(dataset, ratings=replace(ratings, timestamp=1_000_000_000 + seconds))


@pytest.fixture(scope="session")
def seen(dataset: Dataset) -> Histories:
    """Movies that each planted user has rated."""
    return histories(dataset.ratings, user_count=len(dataset.user_ids))


@pytest.fixture(scope="session")
def tf() -> ModuleType:
    """TensorFlow, imported by the first test that needs it."""
    from reco_batch.models.training.tensorflow_runtime import tf  # noqa: PLC0415  # takes seconds

    return tf


@pytest.fixture(scope="session")
def tfrs(tf: ModuleType) -> ModuleType:
    """TensorFlow Recommenders."""
    from reco_batch.models.training.tensorflow_runtime import tfrs  # noqa: PLC0415

    return tfrs


class SilentStage:
    """A stage that keeps its notes, losses and steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.notes: list[str] = []
        self.losses: list[tuple[int, float]] = []

    def advance(self, steps: int) -> None:
        """Count."""
        self.steps += steps

    def note(self, text: str) -> None:
        """Keep."""
        self.notes.append(text)

    def record_loss(self, epoch: int, loss: float) -> None:
        """Keep."""
        self.losses.append((epoch, loss))


@pytest.fixture
def stage() -> SilentStage:
    """A stage to look at afterwards: `steps` and `notes`."""
    return SilentStage()


RETRIEVAL = TwoTowerParameters(embedding_dim=8, learning_rate=0.2, epochs=12, batch_size=200)
RATING = MlpParameters(
    embedding_dim=8, hidden_units=(16, 8), learning_rate=0.3, epochs=30, batch_size=100
)


@pytest.fixture(scope="session")
def fit_retrieval(dataset: Dataset, tf: ModuleType) -> Callable[..., object]:
    """Return a function that trains a small retrieval model on the planted ratings."""
    from reco_batch.models.retrieval.two_tower import train_two_tower  # noqa: PLC0415

    def fit(
        *, seed: int = 42, parameters: TwoTowerParameters = RETRIEVAL, stage=None, checkpoints=None
    ):
        return train_two_tower(
            lambda: dataset.ratings,
            user_ids=dataset.user_ids,
            movie_ids=dataset.movies.ids,
            parameters=parameters,
            seed=seed,
            stage=stage or SilentStage(),
            checkpoints=checkpoints,
        )

    return fit


@pytest.fixture(scope="session")
def fit_rating(dataset: Dataset, tf: ModuleType) -> Callable[..., object]:
    """Return a function that trains a small rating model on the planted ratings."""
    from reco_batch.models.rating.mlp import train_mlp  # noqa: PLC0415

    def fit(*, seed: int = 42, parameters: MlpParameters = RATING, stage=None, checkpoints=None):
        return train_mlp(
            dataset.ratings,
            user_ids=dataset.user_ids,
            movie_ids=dataset.movies.ids,
            parameters=parameters,
            seed=seed,
            stage=stage or SilentStage(),
            checkpoints=checkpoints,
        )

    return fit


@pytest.fixture(scope="session")
def retrieval_model(fit_retrieval):
    """A retrieval model trained on the planted ratings with seed 42."""
    return fit_retrieval()


@pytest.fixture(scope="session")
def rating_model(fit_rating):
    """A rating model trained on the planted ratings with seed 42."""
    return fit_rating()


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """The planted data as a folder with ratings.csv and movies.csv."""
    return write_data(tmp_path / "data")


@pytest.fixture(scope="session")
def running() -> Callable[..., AbstractContextManager[str]]:
    """Run a server with options of a test's own."""
    return running_server
