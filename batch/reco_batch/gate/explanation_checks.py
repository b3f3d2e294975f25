"""Checks of explanations: each names a movie from the history of the same user.

All explanations are read with the lists and histories, a few thousand users at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.check import Check, at_most, exactly
from reco_batch.artifact.folder import Artifact
from reco_batch.data import columns as c
from reco_batch.evaluation.list_statistics import ids_of, side_by_side
from reco_store.contract.families import BECAUSE, SEEN, USER


@dataclass(slots=True)
class ExplanationFigures:
    """Numbers of users by their explanations."""

    lists: int = 0
    """Users with explanations."""
    unpaired: int = 0
    """Users whose explanations are in another row than their list, or of another number."""
    unrated: int = 0
    """Users with an explanation that is not in their history."""


def check_explanations(artifact: Artifact) -> Iterator[Check]:
    """Yield the checks of an artifact's explanations; none if it has no explanations.

    Raises:
        NightFailed: a file of the artifact is damaged or missing.
    """
    if not artifact.publishes(BECAUSE):
        return
    figures = measure_explanations(artifact)
    yield exactly(f"{BECAUSE.name}.lists", figures.lists, artifact.manifest["data"]["users"])
    yield at_most(f"{BECAUSE.name}.unpaired", figures.unpaired, 0)
    yield at_most(f"{BECAUSE.name}.unrated", figures.unrated, 0)


def measure_explanations(artifact: Artifact) -> ExplanationFigures:
    """Count the users by their explanations."""
    catalogue = artifact.movie_ids()
    figures = ExplanationFigures()
    for own, lists in side_by_side(artifact.lists(BECAUSE), artifact.lists(USER)):
        if own is not None:
            figures.lists += len(own)
            figures.unpaired += len(own) - _pairs(own, lists)
    for own, seen in side_by_side(artifact.lists(BECAUSE), artifact.lists(SEEN)):
        if own is not None:
            figures.unrated += _unrated(own, seen, catalogue)
    return figures


def _pairs(own: pa.RecordBatch, lists: pa.RecordBatch | None) -> int:
    """Count the users with one explanation for each movie of their list."""
    if lists is None:
        return 0
    as_many = np.diff(_offsets(own)) == np.diff(_offsets(lists))
    return int((as_many & _same_users(own, lists)).sum())


def _unrated(own: pa.RecordBatch, seen: pa.RecordBatch | None, catalogue: pa.Array) -> int:
    """Count the users with an explanation that is not in their history."""
    if seen is None:
        return len(own)
    explanations, rated = _cells(own, catalogue), _cells(seen, catalogue)
    is_given = own.column(c.MOVIE_IDS).flatten().is_valid().to_numpy(zero_copy_only=False)
    inside = pc.is_in(pa.array(explanations), value_set=pa.array(rated[rated >= 0]))
    wrong = is_given & ~inside.to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(own)), np.diff(_offsets(own)))
    bad = ~_same_users(own, seen)
    bad[row[wrong]] = True
    return int(bad.sum())


def _cells(lists: pa.RecordBatch, catalogue: pa.Array) -> NDArray[np.int64]:
    """Return a number for each pair of user and movie; -1 without a movie of the catalogue."""
    ids = lists.column(c.MOVIE_IDS).flatten()
    index = pc.index_in(ids, value_set=catalogue).fill_null(-1).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lists)), np.diff(_offsets(lists)))
    return np.where(index >= 0, row * len(catalogue) + index, -1)


def _offsets(lists: pa.RecordBatch) -> NDArray[np.int32]:
    offsets: NDArray[np.int32] = lists.column(c.MOVIE_IDS).offsets.to_numpy()
    return offsets


def _same_users(one: pa.RecordBatch, other: pa.RecordBatch) -> NDArray[np.bool_]:
    same = pc.equal(ids_of(one.column(c.SUFFIX)), ids_of(other.column(c.SUFFIX)))
    mask: NDArray[np.bool_] = same.to_numpy(zero_copy_only=False)
    return mask
