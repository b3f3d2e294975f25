"""Models without their users, from which `batch refresh` computes lists; needs no TensorFlow.

    models/retrieval.npz    `StoredHybrid`
    models/rating.npz       `StoredRating`; not with implicit feedback

Each is a ZIP archive of NumPy arrays without objects, so loading runs no code. Equal models give
equal bytes. The manifest has the SHA-256 of each (`stored_models`), which loading compares. Models
that learn a vector for each user from scratch, those of the preset `notebook`, are not stored.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.manifests import has_stars, section
from reco_batch.errors import NightFailed
from reco_batch.files import sha256
from reco_batch.models.rating.stored_rating import StoredRating
from reco_batch.models.retrieval.encoder_weights import EncoderWeights
from reco_batch.models.retrieval.hybrid import Halves
from reco_batch.models.retrieval.stored_hybrid import StoredHybrid
from reco_batch.settings.hyperparameters import HybridParameters
from reco_batch.settings.search_space import values_of, with_values
from reco_store.contract.manifest import REFRESH

#: Field of the manifest: file in `models` -> its SHA-256.
STORED_MODELS: Final = "stored_models"
STORED_RETRIEVAL: Final = "retrieval.npz"
STORED_RATING: Final = "rating.npz"

_Arrays = Mapping[str, NDArray[Any]]
_Model = TypeVar("_Model")


def digests_of(models: Path) -> dict[str, str]:
    """Return the SHA-256 of each stored model in a folder, by file name."""
    files = [models / name for name in (STORED_RETRIEVAL, STORED_RATING)]
    return {file.name: sha256(file) for file in files if file.exists()}


def store_retrieval(models: Path, model: StoredHybrid) -> None:
    """Write a retrieval model.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    halves, encoder = model.halves, model.halves.encoder
    arrays = {
        "history": encoder.history,
        "movies": encoder.movies,
        "times": encoder.times,
        "years": np.array(halves.years, np.int64),
        "weights": halves.neighbours.data,
        "indices": halves.neighbours.indices,
        "indptr": halves.neighbours.indptr,
        "popularity": halves.popularity,
        "similar": model.similar,
        "movie_ids": _from_json(model.movie_ids),
        "parameters": _from_json(values_of(model.parameters)),
    }
    _write(models / STORED_RETRIEVAL, arrays)


def store_rating(models: Path, model: StoredRating) -> None:
    """Write a rating model.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    arrays = {
        "mean": np.array(model.mean),
        "movie_bias": model.movie_bias,
        "movies": model.movies,
        "scale": np.array(model.scale, np.float64),
        "usual": model.usual,
        "penalty": model.penalty,
        "counts": model.counts,
        "movie_ids": _from_json(model.movie_ids),
    }
    _write(models / STORED_RATING, arrays)


def stored_retrieval(artifact: Artifact) -> StoredHybrid:
    """Return the retrieval model of an artifact.

    Raises:
        NightFailed: it is missing or damaged, or another version wrote it.
    """
    return _read(artifact, STORED_RETRIEVAL, _hybrid_of)


def stored_rating(artifact: Artifact) -> StoredRating:
    """Return the rating model of an artifact.

    Raises:
        NightFailed: it is missing or damaged, or another version wrote it.
    """
    return _read(artifact, STORED_RATING, _rating_of)


def trained_counts(artifact: Artifact) -> NDArray[np.int64]:
    """Return the number of ratings of each movie when the models were trained, in catalogue order.

    Ranked lists are ordered by it. After a run, these are the present ratings.

    Raises:
        NightFailed: the rating model of a refresh cannot be used.
    """
    if REFRESH not in artifact.manifest or not has_stars(artifact.manifest):
        return artifact.rating_counts()
    return stored_rating(artifact).arranged(tuple(artifact.titles())).counts


def _hybrid_of(arrays: _Arrays) -> StoredHybrid:
    movies, width = len(arrays["history"]), arrays["history"].shape[1]
    encoder = EncoderWeights(
        arrays["history"], arrays["movies"], np.zeros((0, width), np.float32), arrays["times"]
    )
    neighbours = sp.csr_matrix(
        (arrays["weights"], arrays["indices"], arrays["indptr"]), (movies, movies)
    )
    first, last = arrays["years"].tolist()
    halves = Halves(encoder, (first, last), neighbours, arrays["popularity"])
    defaults, given = HybridParameters(), _to_json(arrays["parameters"])
    if given.keys() != values_of(defaults).keys():
        raise ValueError("hyper-parameters of another version")
    ids = tuple(_to_json(arrays["movie_ids"]))
    return StoredHybrid(halves, with_values(defaults, given), arrays["similar"], ids)


def _rating_of(arrays: _Arrays) -> StoredRating:
    low, high = arrays["scale"].tolist()
    return StoredRating(
        float(arrays["mean"]),
        arrays["movie_bias"],
        arrays["movies"],
        (low, high),
        arrays["usual"],
        arrays["penalty"],
        arrays["counts"],
        tuple(_to_json(arrays["movie_ids"])),
    )


def _from_json(value: object) -> NDArray[np.uint8]:
    """Return a JSON value as the bytes of its text."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _to_json(text: NDArray[np.uint8]) -> Any:  # noqa: ANN401  # any JSON value
    return json.loads(text.tobytes())


def _write(file: Path, arrays: _Arrays) -> None:
    """Write arrays in the format of `np.savez`, without the time of writing."""
    file.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)


def _read(artifact: Artifact, name: str, build: Callable[[_Arrays], _Model]) -> _Model:
    """Read and build one model.

    Raises:
        NightFailed: it is missing or damaged, or another version wrote it.
    """
    file = artifact.folder / "models" / name
    try:
        _require_bytes(file, section(artifact.manifest, STORED_MODELS)[name])
        with np.load(file, allow_pickle=False) as archive:
            return build(dict(archive))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise NightFailed(
            f"the stored model {file} cannot be used ({error}). Run `batch run`."
        ) from error


def _require_bytes(file: Path, digest: str) -> None:
    if sha256(file) != digest:
        raise ValueError("its bytes are not those that the run wrote")
