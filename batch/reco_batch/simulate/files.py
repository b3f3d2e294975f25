"""Writes a simulation as a folder that `batch run --data` takes, a block of users at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.progress.reporter import Stage
from reco_batch.simulate.movies import genres_text
from reco_batch.simulate.simulation import Simulation
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


class Form(StrEnum):
    """The files' format, which is their ending, too."""

    CSV = "csv"
    PARQUET = "parquet"


def write_simulation(simulation: Simulation, folder: Path, *, form: Form, stage: Stage) -> None:
    """Write ratings and movies into a folder, which is created.

    Args:
        simulation: what to write.
        folder: has no ratings and no movies yet.
        form: of both files.
        stage: advanced by one a user.

    Raises:
        UsageError: there are ratings or movies in the folder, or it is a file.
        NightFailed: the disk is full or the folder cannot be written; what was begun is deleted.
    """
    _require_room(folder)
    contents: Mapping[str, tuple[pa.Schema, Iterable[pa.RecordBatch]]] = {
        "movies": (_MOVIES, [_movies(simulation)]),
        "ratings": (_RATINGS, _ratings(simulation, stage)),
    }
    # Under another name until both are whole: a night must not take the half of them for all.
    partial = {folder / f"{name}.{form}": folder / f".{name}.{form}.partial" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, (schema, batches) in zip(partial.values(), contents.values(), strict=True):
            with _WRITERS[form](path, schema) as write:
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
        raise UsageError(f"{str(folder)!r} is a file: expected a folder, or a name that is free")
    there = sorted(path.name for name in ("movies", "ratings") for path in folder.glob(f"{name}.*"))
    if there:
        raise UsageError(
            f"{str(folder)!r} holds {', '.join(there)}: expected no ratings and no movies; "
            "name another folder, or delete them"
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


_Write = Callable[[pa.RecordBatch], None]


@contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[_Write]:
    with path.open("wb") as stream:
        stream.write(f"{','.join(schema.names)}\n".encode())  # pyarrow would put it in quotes
        options = pa_csv.WriteOptions(include_header=False)
        with pa_csv.CSVWriter(stream, schema, write_options=options) as writer:
            yield writer.write_batch


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[_Write]:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_batch


_WRITERS: Final[Mapping[Form, Callable[[Path, pa.Schema], AbstractContextManager[_Write]]]] = {
    Form.CSV: _csv,
    Form.PARQUET: _parquet,
}
