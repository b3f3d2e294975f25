"""Fingerprint: all facts that the published lists depend on.

Two runs with the same fingerprint and the same chosen hyper-parameters publish the same bytes. The
choice also depends on that of the live generation.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import reco_store
from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.files import sha256
from reco_batch.settings.processors import processors
from reco_batch.settings.setting_metadata import dotted

#: Packages that read, split, train, score or encode.
PACKAGES: Final = (
    "reco",
    "tensorflow",
    "tensorflow-recommenders",
    "tf-keras",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "pandas",
    "pandera",
    "pyarrow",
    "orjson",
    "threadpoolctl",
)
#: Wheels of another name that hold the same program: without code for GPUs, for one.
SAME_PROGRAM: Final = {"tensorflow": "tensorflow-cpu"}
_PROGRAM: Final = (Path(__file__).parents[1], Path(reco_store.__file__).parent)
#: Messages for facts that are digests.
_DIGESTS: Final = {"program": "another version of reco", "data": "other ratings or movies"}
#: Parameters that no published list depends on.
_OF_PUBLISHING: Final = ("keep",)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": python_version()} | {name: _version(name) for name in PACKAGES}


def fingerprint(parameters: Mapping[str, Any], dataset: Dataset, *, threads: int) -> dict[str, Any]:
    """Return the facts that the published lists depend on, as JSON values.

    Args:
        parameters: parameters of the run, in the form of the manifest.
        dataset: the input.
        threads: number of scoring threads.
    """
    facts = {
        **{name: parameters[name] for name in parameters if name not in _OF_PUBLISHING},
        # They decide the order of floating-point sums.
        "threads": threads,
        "processors": processors(),
        "versions": versions(),
        "program": _program(),
        "data": _digest(dataset),
    }
    return dict(json.loads(json.dumps(facts)))  # tuples become lists, as they are when read back


def program() -> dict[str, str]:
    """Return the program and the package versions that must be the same on all machines."""
    return {"program": _program(), **versions()}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one phrase for each fact in which two fingerprints differ."""
    old, new = dotted(before), dotted(now)
    return [
        _DIGESTS.get(name, f"{name} was {old.get(name)}, is {new.get(name)}")
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _version(package: str) -> str:
    for name in filter(None, (package, SAME_PROGRAM.get(package))):
        with suppress(PackageNotFoundError):
            return version(name)
    return "not installed"  # a machine that only scores may do without it


def _program(packages: Sequence[Path] = _PROGRAM) -> str:
    """Return the digest of the source of reco: a run is resumed only by the same program.

    Args:
        packages: folders of the packages; the digest covers every module below them and its path.
    """
    digest = hashlib.sha256()
    for package in packages:
        for file in sorted(package.rglob("*.py")):
            name = file.relative_to(package.parent).as_posix()
            digest.update(f"{name} {sha256(file)}\n".encode())
    return digest.hexdigest()


def _digest(dataset: Dataset) -> str:
    movies = dataset.movies
    texts = (
        *(dataset.user_ids, movies.ids, movies.titles, movies.genres, movies.years),
        movies.unlisted,
    )
    result = hashlib.sha256(json.dumps(texts).encode())
    columns = {field.name: getattr(dataset.ratings, field.name) for field in fields(Ratings)}
    if dataset.events is not None:
        kinds = dataset.events.kinds, dataset.events.seen, dataset.events.target
        result.update(json.dumps(kinds).encode())
        columns |= {"latest": dataset.events.latest}
    columns |= {"released": movies.released, "available": movies.available, **movies.attributes}
    for name, column in columns.items():
        if column is None:
            result.update(b"none")
        elif isinstance(column, tuple):
            result.update(json.dumps([name, column]).encode())
        else:
            result.update(f"{name} {column.dtype} {len(column)} ".encode())
            result.update(_bytes(column))
    return result.hexdigest()


def _bytes(column: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(column).view(np.uint8).data
