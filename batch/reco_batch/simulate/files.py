"""Files of simulated ratings, written block by block as a folder for `batch run --data`."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.ingest.formats.registry import FORMATS
from reco_batch.progress.reporter import Stage
from reco_batch.simulate.movies import genres_text
from reco_batch.simulate.simulation import SHAPES, Shape, Simulation
from reco_store import UsageError

_RATINGS: Final = pa.schema(
    {
        c.USER_ID: pa.int32(),
        c.MOVIE_ID: pa.int32(),
        c.RATING: pa.float32(),
        c.TIMESTAMP: pa.int64(),
    }
)
_MOVIES: Final = pa.schema({c.MOVIE_ID: pa.int32(), c.TITLE: pa.string(), c.GENRES: pa.string()})


class SimulateConfig(BaseModel):
    """Options of one `batch simulate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    """Folder to write."""
    like: Annotated[str, Field(description=" or ".join(SHAPES))]
    """MovieLens release with the number of users, movies and ratings to generate."""
    scale: Annotated[FiniteFloat, Field(gt=0, description="a number above 0")] = 1
    """Factor for the number of users and ratings; the number of movies does not change."""
    movies: Annotated[int | None, Field(ge=1, description="a whole number from 1")] = None
    """Number of movies; None: as many as in `like`."""
    form: Annotated[str, Field(description=" or ".join(FORMATS))] = "csv"
    """File format, a key of `FORMATS`."""
    seed: Annotated[int, Field(ge=0, description="a whole number from 0")] = 42
    """Random seed; equal seeds give equal files."""

    @field_validator("like")
    @classmethod
    def _published(cls, like: str) -> str:
        if like not in SHAPES:
            raise ValueError(like)
        return like

    @field_validator("form")
    @classmethod
    def _written(cls, form: str) -> str:
        if form not in FORMATS:
            raise ValueError(form)
        return form

    @property
    def shape(self) -> Shape:
        """Number of users, movies and ratings."""
        shape = SHAPES[self.like].scaled(self.scale)
        return shape if self.movies is None else shape._replace(movies=self.movies)


def write_simulation(simulation: Simulation, folder: Path, *, form: str, stage: Stage) -> None:
    """Write the ratings and movies of a simulation into a folder.

    Args:
        simulation: the simulation.
        folder: is created if missing; must contain no ratings and no movies.
        form: file format, a key of `FORMATS`.
        stage: advanced by one for each user.

    Raises:
        UsageError: the folder contains ratings or movies, or it is a file.
        NightFailed: the disk is full or the folder cannot be written; partial files are deleted.
    """
    _require_room(folder)
    contents: Mapping[str, tuple[pa.Schema, Iterable[pa.RecordBatch]]] = {
        "movies": (_MOVIES, [_movies(simulation)]),
        "ratings": (_RATINGS, _ratings(simulation, stage)),
    }
    # Renamed when both are complete, so that a run cannot read one half of a data set.
    partial = {folder / f"{name}.{form}": folder / f".{name}.{form}.partial" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, (schema, batches) in zip(partial.values(), contents.values(), strict=True):
            with FORMATS[form].write(path, schema) as write:
                for batch in batches:
                    write(batch)
        for path, written in partial.items():
            written.replace(path)
    except OSError as error:
        raise NightFailed(
            f"{folder} could not be written ({error.strerror or error}). Make room, or name "
            "another folder or a smaller --scale, and run again."
        ) from error
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)


def _require_room(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is a file: expected a folder, or an unused name")
    present = sorted(
        path.name for name in ("movies", "ratings") for path in folder.glob(f"{name}.*")
    )
    if present:
        raise UsageError(
            f"{str(folder)!r} contains {', '.join(present)}: expected no ratings and no movies; "
            "choose another folder, or delete them"
        )


def _movies(simulation: Simulation) -> pa.RecordBatch:
    movies = simulation.movies
    genres = [genres_text(names) for names in movies.genres]
    ids = pa.array(range(1, len(movies) + 1), pa.int32())
    return pa.RecordBatch.from_arrays([ids, pa.array(movies.titles), genres], schema=_MOVIES)


def _ratings(simulation: Simulation, stage: Stage) -> Iterator[pa.RecordBatch]:
    for block in simulation.blocks():
        columns = (block.user_index + 1, block.movie_index + 1, block.rating, block.timestamp)
        yield pa.RecordBatch.from_arrays([*map(pa.array, columns)], schema=_RATINGS)
        stage.advance(int(block.user_index[-1] - block.user_index[0]) + 1)
