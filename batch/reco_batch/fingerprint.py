"""What the answers of a night depend on: two nights of one fingerprint give the same bytes."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.dataset import Dataset
from reco_batch.files import sha256

_PACKAGES: Final = (
    "reco",
    "tensorflow",
    "tensorflow-recommenders",
    "tf-keras",
    "numpy",
    "scikit-learn",
)
#: What to say where the values would say nothing.
_DIGESTS: Final = {"program": "another version of reco", "data": "other ratings or movies"}
#: Parameters that no answer depends on.
_OF_PUBLISHING: Final = ("keep",)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": python_version()} | {name: version(name) for name in _PACKAGES}


def fingerprint(parameters: Mapping[str, Any], dataset: Dataset, *, threads: int) -> dict[str, Any]:
    """Return what the answers depend on, as JSON values.

    Args:
        parameters: as the manifest has them.
        dataset: the input.
        threads: of scoring.
    """
    facts = {
        **{name: parameters[name] for name in parameters if name not in _OF_PUBLISHING},
        # They decide the order in which floating point numbers are added up.
        "threads": threads,
        "processors": len(os.sched_getaffinity(0)),
        "versions": versions(),
        "program": _program(),
        "data": _digest(dataset),
    }
    return dict(json.loads(json.dumps(facts)))  # tuples become lists, as they are when read back


def program() -> dict[str, str]:
    """Return what a list depends on beside the weights it is computed from."""
    return {"program": _program(), "python": python_version(), "numpy": version("numpy")}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one phrase for each fact in which two fingerprints differ."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        _DIGESTS.get(name, f"{name} was {old.get(name)}, is {new.get(name)}")
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _program() -> str:
    """Return the digest of this package: what another program began is not this one's to end."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(" ".join(map(sha256, files)).encode()).hexdigest()


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _digest(dataset: Dataset) -> str:
    movies = dataset.movies
    texts = (
        *(dataset.user_ids, movies.ids, movies.titles, movies.genres, movies.years),
        movies.unlisted,
    )
    result = hashlib.sha256(json.dumps(texts).encode())
    for column in dataset.ratings:
        if column is None:
            result.update(b"none")
        else:
            result.update(f"{column.dtype} {len(column)} ".encode())
            result.update(_bytes(column))
    return result.hexdigest()


def _bytes(column: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(column).view(np.uint8).data
