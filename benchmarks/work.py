"""Work of each stage of a run, and the time that the machine needs for this work alone.

The work is computed from the sizes in the manifest: arithmetic of matrix products, additions to
sparse sums, bytes of memory and of files, rows of CSV, keys. What cannot be computed, such as
choices among candidates and loops of Python, is not part of it. The limits are measured by one
thread of BLAS, NumPy, SciPy, pandas and raw RESP. All processors share sparse sums and the scoring
of lists; a gradient is computed by one.

Shapes: U users, I movies, N ratings, D width of the retrieval model, C candidates of a step.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp
from generations import binaries, server
from numpy.typing import NDArray
from publish import raw
from threadpoolctl import threadpool_limits

from reco_batch.models.retrieval.history_encoder import encoder_plan
from reco_batch.settings.hyperparameters import TowerParameters

#: Matrix products per product of the forward pass: itself, and two for its gradients.
_FORWARD_AND_BACKWARD = 3
#: Tables that an update of Adam reads and writes for each table of weights: the gradient, the
#: weights and two moments are read, and all but the gradient are written.
_TABLES_OF_ADAM = 7
#: Stage that chooses hyper-parameters.
CHOOSE = "choose for this catalogue"
#: Users and movies, whose factors are fitted in turn.
_SIDES = 2
#: Passes over the ratings for their leading directions.
_PASSES_OF_RATINGS = 6
#: Kinds of item-item weights that add up products of co-rated movies in a choice.
_KINDS_OF_PRODUCTS = 2
#: Bytes of a file that is written to measure the disk.
_FILE_BYTES = 1_000_000_000
_ROUNDS = 5


class Work(NamedTuple):
    """Work of a stage that can be computed from the sizes of the data."""

    multiply: float = 0
    """Multiplications and additions of matrix products."""
    add: float = 0
    """Additions to sparse sums."""
    copy: float = 0
    """Bytes of memory read and written."""
    store: float = 0
    """Bytes of files written."""
    parse: float = 0
    """Rows of CSV."""
    insert: float = 0
    """Keys."""


def limits(folder: Path) -> Work:
    """Measure how much of each kind one thread of this machine does in a second.

    Args:
        folder: on the disk to measure.
    """
    with threadpool_limits(1, "blas"):
        return Work(
            multiply=_products(),
            add=_sums(),
            copy=_copies(),
            store=_files(folder),
            parse=_rows(),
            insert=_keys(),
        )


def seconds_of(work: Work, limit: Work, *, cores: int, is_scoring: bool) -> float:
    """Return the seconds that the machine needs for a stage's work.

    Args:
        work: of the stage.
        limit: from `limits`.
        cores: processors of the machine.
        is_scoring: True if all processors share the matrix products too.
    """
    threads = {"add": cores, "multiply": cores if is_scoring else 1}
    return sum(
        amount / rate / threads.get(kind, 1)
        for kind, amount, rate in zip(Work._fields, work, limit, strict=True)
    )


def _best(function: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few calls."""
    taken = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _products() -> float:
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=size).astype(np.float32) for size in ((256, 128), (128, 20_000)))
    out = np.empty((256, 20_000), np.float32)
    return 2 * left.size * 20_000 / _best(lambda: np.matmul(left, right, out=out))


def _sums() -> float:
    rng = np.random.default_rng(0)
    places = rng.integers(0, 20_000, 4_000_000)
    ends = np.arange(0, 4_000_001, 200)
    matrix = sp.csc_matrix((np.ones(4_000_000, np.float32), places, ends), (20_000, 20_000))
    ones = np.ones(20_000, np.float32)
    return matrix.nnz / _best(lambda: matrix @ ones)


def _copies() -> float:
    source = np.ones(50_000_000, np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / _best(lambda: np.copyto(target, source))


def _files(folder: Path) -> float:
    piece = os.urandom(1 << 20)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(_FILE_BYTES >> 20):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return _FILE_BYTES / (time.perf_counter() - began)


def _rows() -> float:
    rng, count = np.random.default_rng(0), 1_000_000
    ratings = pd.DataFrame(
        {
            "userId": rng.integers(1, 200_000, count),
            "movieId": rng.integers(1, 200_000, count),
            "rating": rng.integers(1, 11, count) / 2,
            "timestamp": rng.integers(800_000_000, 1_700_000_000, count),
        }
    )
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        ratings.to_csv(file.name, index=False)
        return count / _best(lambda: pd.read_csv(file.name))


def _keys() -> float:
    values = [os.urandom(1_000)] * 100_000
    binary = next(iter(binaries().values()))
    with tempfile.TemporaryDirectory() as folder, server(binary, Path(folder) / "s") as url:
        return len(values) / raw(url.removeprefix("unix://"), values)


def works(folder: Path) -> dict[str, Work]:
    """Return the work of each stage by the manifest of an artifact.

    Args:
        folder: of a complete artifact of the preset `default` with a refit.
    """
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return {
        "read and check the data": Work(parse=manifest["data"]["ratings"]),
        **_of_trainings(folder, manifest),
        **_of_lists(folder, manifest["data"]),
        "save retrieval models": Work(store=size_of(folder / "models")),
        "publish": Work(insert=manifest["entries"]),
    }


def _of_trainings(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Work]:
    """Return the work of choosing and training."""
    data, chosen = manifest["data"], manifest["metrics"]["chosen"]
    ratings, plans, width = data["ratings"], chosen["by_size"], _widths(folder)["retrieval"]
    dim = manifest["parameters"]["models"]["rating"]["embedding_dim"]
    lengths = _lengths(folder)
    found = {CHOOSE: _of_choice(manifest, lengths, width=width)}
    for step, part, fitted in (
        ("train", "measured", ratings - data["test"]),
        ("refit", "published", ratings),
    ):
        retrieval, rating = (plans[part][kind] for kind in ("retrieval", "rating"))
        counted = np.minimum(lengths * (fitted / ratings), retrieval["neighbour_history"])
        found[f"{step} retrieval"] = _encoder(
            retrieval, fitted, users=data["users"], movies=data["movies"], width=width
        )._replace(add=float(np.square(counted).sum()))
        of_epoch = _SIDES * 2 * fitted * dim**2
        found[f"{step} rating"] = Work(multiply=rating["epochs"] * of_epoch)
    return found


def _of_choice(manifest: Mapping[str, Any], lengths: NDArray[np.float64], *, width: int) -> Work:
    """Return the work of the choice, which draws users if there are too many ratings."""
    data, chosen = manifest["data"], manifest["metrics"]["chosen"]
    parameters = manifest["parameters"]["models"]["retrieval"]
    share = min(1.0, parameters["choosing_ratings"] / data["train"])
    tower = TowerParameters(**{**parameters["tower"], "steps": chosen["retrieval"]["tower.steps"]})
    users, movies = round(share * data["users"]), data["movies"]
    plan = encoder_plan(tower, user_count=users, movie_count=movies)
    candidates = min(tower.most_candidates, movies)
    encoder = _encoder(
        {**plan._asdict(), "candidates": candidates},
        share * data["train"],
        users=users,
        movies=movies,
        width=width,
    )
    # The budget of pairs is that of a training, and rarely reached by the drawn users.
    pairs = share * np.square(lengths * (data["train"] / data["ratings"])).sum()
    pairs = min(pairs, parameters["neighbours"]["most_products"])
    return encoder._replace(add=float(_KINDS_OF_PRODUCTS * pairs))


def _of_lists(folder: Path, data: Mapping[str, int]) -> dict[str, Work]:
    """Return the work of measuring and of the lists."""
    width, movies = _widths(folder), data["movies"]
    files = {path.stem: path.stat().st_size for path in (folder / "lists").iterdir()}
    of_users, of_movies = 2 * movies * data["users"], 2 * movies**2
    with np.load(folder / "models" / "retrieval.npz") as retrieval:
        stored = np.diff(retrieval["indptr"])
    rated = pq.read_table(folder / "movies.parquet", columns=["ratingCount"]).column(0).to_numpy()
    added = float(rated @ stored[: len(rated)])
    user = Work(
        multiply=of_users * width["retrieval"],
        add=added,
        store=files["user"] + files["because"],
    )
    return {
        "measure retrieval": user._replace(store=0),
        "measure rating": Work(multiply=of_users * width["rating"]),
        "score user lists": user,
        "score ranked lists": Work(multiply=of_users * width["rating"], store=files["ranked"]),
        "score similar lists": Work(multiply=of_movies * width["similar"], store=files["similar"]),
        "score next lists": Work(
            multiply=of_movies * width["retrieval"],
            add=float(stored.sum()),
            store=files["next"],
        ),
    }


def _encoder(
    plan: Mapping[str, int], ratings: float, *, users: int, movies: int, width: int
) -> Work:
    """Return the work of the encoder's training, and of the vectors that it begins with."""
    of_step = 2 * plan["batch"] * plan["candidates"] * width
    tables = (users + 2 * movies) * width * 4
    return Work(
        multiply=_FORWARD_AND_BACKWARD * plan["steps"] * of_step
        + 2 * _PASSES_OF_RATINGS * ratings * width,
        copy=plan["steps"] * _TABLES_OF_ADAM * tables,
    )


def _lengths(folder: Path) -> NDArray[np.float64]:
    """Return the number of ratings of each user."""
    seen = pq.read_table(folder / "lists" / "seen.parquet", columns=["movieIds"])
    lengths: NDArray[np.float64] = (
        pc.list_value_length(seen.column(0)).to_numpy().astype(np.float64)
    )
    return lengths


def _widths(folder: Path) -> dict[str, int]:
    """Return the widths of the vectors that are multiplied."""
    with np.load(folder / "models" / "retrieval.npz") as retrieval:
        found = {
            "retrieval": retrieval["movies"].shape[1] + retrieval["popularity"].shape[1],
            "similar": retrieval["similar"].shape[1],
        }
    with np.load(folder / "models" / "rating.npz") as rating:
        width = rating["movies"].shape[1]
    return {**found, "rating": width}


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
