"""Are the reasons of a night sound? Counted over all of them, beside the lists and the histories.

Read a few thousand users at a time. Only an artifact that has reasons is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.checks import Check, at_most, exactly
from reco_batch.artifact.folder import Artifact
from reco_batch.data import columns as c
from reco_batch.evaluation.list_statistics import ids_of, side_by_side
from reco_store.contract.families import BECAUSE, SEEN, USER


@dataclass(slots=True)
class ReasonFigures:
    """How many users' reasons are like this."""

    lists: int = 0
    unpaired: int = 0  # not beside the same user's list, or not one for each of its movies
    unrated: int = 0  # names a movie that is not in the same user's history


def check_reasons(artifact: Artifact) -> Iterator[Check]:
    """Yield the checks of a complete artifact's reasons; none if it has no reasons.

    Raises:
        NightFailed: a file of the artifact is damaged or missing.
    """
    if not artifact.publishes(BECAUSE):
        return
    figures = measure_reasons(artifact)
    yield exactly(f"{BECAUSE.name}.lists", figures.lists, artifact.manifest["data"]["users"])
    yield at_most(f"{BECAUSE.name}.unpaired", figures.unpaired, 0)
    yield at_most(f"{BECAUSE.name}.unrated", figures.unrated, 0)


def measure_reasons(artifact: Artifact) -> ReasonFigures:
    """Look at the reasons of all users."""
    catalogue = artifact.movie_ids()
    figures = ReasonFigures()
    for own, lists in side_by_side(artifact.lists(BECAUSE), artifact.lists(USER)):
        if own is not None:
            figures.lists += len(own)
            figures.unpaired += len(own) - _pairs(own, lists)
    for own, seen in side_by_side(artifact.lists(BECAUSE), artifact.lists(SEEN)):
        if own is not None:
            figures.unrated += _unrated(own, seen, catalogue)
    return figures


def _pairs(own: pa.RecordBatch, lists: pa.RecordBatch | None) -> int:
    """Count the users whose reasons are as many as the movies of the list beside them."""
    if lists is None:
        return 0
    as_many = np.diff(_offsets(own)) == np.diff(_offsets(lists))
    return int((as_many & _same_users(own, lists)).sum())


def _unrated(own: pa.RecordBatch, seen: pa.RecordBatch | None, catalogue: pa.Array) -> int:
    """Count the users of whose reasons one is not in the history beside them."""
    if seen is None:
        return len(own)
    reasons, rated = _cells(own, catalogue), _cells(seen, catalogue)
    said = own.column(c.MOVIE_IDS).flatten().is_valid().to_numpy(zero_copy_only=False)
    inside = pc.is_in(pa.array(reasons), value_set=pa.array(rated[rated >= 0]))
    wrong = said & ~inside.to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(own)), np.diff(_offsets(own)))
    bad = ~_same_users(own, seen)
    bad[row[wrong]] = True
    return int(bad.sum())


def _cells(lists: pa.RecordBatch, catalogue: pa.Array) -> NDArray[np.int64]:
    """Return a number for each pair of user and movie; -1 for a movie without a card, or none."""
    found = pc.index_in(lists.column(c.MOVIE_IDS).flatten(), value_set=catalogue)
    index = found.fill_null(-1).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lists)), np.diff(_offsets(lists)))
    return np.where(index >= 0, row * len(catalogue) + index, -1)


def _offsets(lists: pa.RecordBatch) -> NDArray[np.int32]:
    offsets: NDArray[np.int32] = lists.column(c.MOVIE_IDS).offsets.to_numpy()
    return offsets


def _same_users(one: pa.RecordBatch, other: pa.RecordBatch) -> NDArray[np.bool_]:
    same = pc.equal(ids_of(one.column(c.SUFFIX)), ids_of(other.column(c.SUFFIX)))
    found: NDArray[np.bool_] = same.to_numpy(zero_copy_only=False)
    return found
