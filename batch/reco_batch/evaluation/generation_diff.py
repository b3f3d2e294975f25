"""Differences between the user lists of two runs' artifacts.

Reads the folders only, no store. The lists of the later run are streamed; the top of each list of
the earlier run is kept in memory, 200 bytes per user.

Shapes: U users of a run, C users of both runs, I movies of both runs together, D positions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.check import REFUSED
from reco_batch.artifact.folder import Artifact
from reco_batch.data import columns as c
from reco_batch.evaluation.list_statistics import ids_of
from reco_batch.metrics.rank_overlap import TOP, overlap, rank_biased_overlap
from reco_store.contract.families import USER

#: Positions that are compared; they have 99.9 % of the weight of rank-biased overlap.
DEPTH: Final = 50
PERSISTENCE: Final = 0.9
"""The p of rank-biased overlap: a reader reads ten movies on average."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Differences between the user lists of two runs."""

    before: str
    """Generation of the earlier run."""
    after: str
    """Generation of the later run."""
    users: pa.Array
    """[C] ids of the users of both runs, in the order of the later run."""
    overlap: NDArray[np.float64]
    """[C] share of the earlier top-10 that is in the later one; NaN if it was empty."""
    rbo: NDArray[np.float64]
    """[C] rank-biased overlap; NaN if both lists are empty."""
    new_users: int
    gone_users: int
    movies: pa.Array
    """[I] ids."""
    shown_before: NDArray[np.int64]
    """[I] users with the movie in the earlier top-10."""
    shown_after: NDArray[np.int64]
    """[I] users with the movie in the later top-10."""
    new_movies: int
    """Movies that only the later catalogue contains."""
    gone_movies: int
    """Movies that only the earlier catalogue contains."""

    @property
    def mean_overlap(self) -> float | None:
        """Mean overlap; None if no user had an earlier list."""
        return _mean(self.overlap)

    @property
    def mean_rbo(self) -> float | None:
        """Mean rank-biased overlap; None if no user has a list."""
        return _mean(self.rbo)

    @property
    def unchanged_users(self) -> int:
        """Users who keep their whole top-10, in any order."""
        return int((self.overlap == 1).sum())

    @property
    def entered_movies(self) -> int:
        """Movies in a later top-10 that were in no earlier one."""
        return int(((self.shown_after > 0) & (self.shown_before == 0)).sum())

    @property
    def left_movies(self) -> int:
        """Movies in an earlier top-10 that are in no later one."""
        return int(((self.shown_before > 0) & (self.shown_after == 0)).sum())

    def most_changed(self, n: int) -> list[tuple[str, float, float]]:
        """Return the n users whose lists changed most: id, overlap and RBO; ties by id."""
        known = np.flatnonzero(~np.isnan(self.overlap))
        names = np.array(self.users.take(pa.array(known)).to_pylist(), object)
        order = np.lexsort((names.astype(str), self.rbo[known], self.overlap[known]))[:n]
        rows = known[order]
        return [
            (str(name), float(share), float(rbo))
            for name, share, rbo in zip(
                names[order], self.overlap[rows], self.rbo[rows], strict=True
            )
        ]


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


class Lists(NamedTuple):
    """Tops of some user lists."""

    users: pa.Array  # [U] ids
    items: NDArray[np.int32]  # [U, D] index into the movies of both runs, padded with -1


def compare_runs(before: Artifact, after: Artifact) -> Changes:
    """Compare the user lists of two runs.

    Args:
        before: artifact of the earlier run.
        after: artifact of the later run.

    Raises:
        NightFailed: a file of an artifact is damaged or missing.

    Cost:
        200 bytes per user of the earlier run, and the blocks that are read.
    """
    theirs, ours = (a.movie_ids().cast(pa.string()) for a in (before, after))
    added = ours.filter(pc.invert(pc.is_in(ours, value_set=theirs)))
    movies = pa.concat_arrays([theirs, added])
    old = _joined(list(list_tops(before, movies)))
    shown_before = shown(old.items, len(movies))
    shown_after = np.zeros(len(movies), np.int64)
    users, overlaps, rbos, count = [], [], [], 0
    for block in list_tops(after, movies):
        shown_after += shown(block.items, len(movies))
        count += len(block.users)
        row = pc.index_in(block.users, value_set=old.users)
        mine = np.flatnonzero(row.is_valid().to_numpy(zero_copy_only=False))
        pair = old.items[row.drop_null().to_numpy()], block.items[mine]
        users.append(block.users.take(pa.array(mine)))
        overlaps.append(overlap(*pair))
        rbos.append(rank_biased_overlap(*pair, p=PERSISTENCE))
    both = pa.chunked_array(users, pa.string()).combine_chunks()
    return Changes(
        before=before.generation,
        after=after.generation,
        users=both,
        overlap=np.concatenate([np.zeros(0), *overlaps]),
        rbo=np.concatenate([np.zeros(0), *rbos]),
        new_users=count - len(both),
        gone_users=len(old.users) - len(both),
        movies=movies,
        shown_before=shown_before,
        shown_after=shown_after,
        new_movies=len(added),
        gone_movies=len(theirs) + len(added) - len(ours),
    )


def list_tops(artifact: Artifact, movies: pa.Array) -> Iterator[Lists]:
    """Yield the top of every user's list, a few thousand users at a time.

    Args:
        artifact: artifact of a run.
        movies: [I] ids as text, which the items index; other movies are left out.
    """
    own = artifact.movie_ids()
    index = pc.index_in(own.cast(pa.string()), value_set=movies).fill_null(-1)
    index_of = np.append(index.to_numpy(), -1)
    for batch in artifact.lists(USER):
        ids = batch.column(c.MOVIE_IDS)
        items = index_of[pc.index_in(ids.flatten(), value_set=own).fill_null(-1).to_numpy()]
        rows = np.repeat(np.arange(len(ids)), np.diff(ids.offsets.to_numpy()))
        yield Lists(ids_of(batch.column(c.SUFFIX)), _padded(items, rows, len(ids)))


def shown(items: NDArray[np.int32], movie_count: int) -> NDArray[np.int64]:
    """Return the number of users with each movie in their top-10, [movie_count]."""
    top = items[:, :TOP]
    return np.bincount(top[top >= 0], minlength=movie_count)


def baseline_run(artifact: Artifact, others: list[Artifact]) -> Artifact | None:
    """Return the run that a run is compared with, if its folder still exists.

    Args:
        artifact: the later run.
        others: the candidates, oldest first.

    Returns:
        The run that the quality gate compared it with; without a verdict, the newest earlier run
        that the gate did not refuse.
    """
    baseline = gate_of(artifact).get("baseline")
    earlier = [
        other
        for other in others
        if (other.generation == baseline and baseline != artifact.generation)
        or (baseline is None and _precedes(other, artifact))
    ]
    return earlier[-1] if earlier else None


def gate_of(artifact: Artifact) -> dict[str, Any]:
    """Return the report of the quality gate; empty if the gate has not judged the run."""
    gate = artifact.manifest.get("gate")
    return gate if isinstance(gate, dict) else {}


def _precedes(other: Artifact, artifact: Artifact) -> bool:
    refused = gate_of(other).get("verdict") == REFUSED
    return other.generation < artifact.generation and not refused


def _joined(blocks: list[Lists]) -> Lists:
    return Lists(
        pa.chunked_array([block.users for block in blocks], pa.string()).combine_chunks(),
        np.concatenate([np.zeros((0, DEPTH), np.int32), *(block.items for block in blocks)]),
    )


def _padded(items: NDArray[Any], rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """Return the items of `count` lists as [count, D], without items of index -1."""
    rows, items = rows[items >= 0], items[items >= 0]
    starts = np.searchsorted(rows, np.arange(count))
    position = np.arange(len(rows)) - starts[rows]
    padded = np.full((count, DEPTH), -1, np.int32)
    inside = position < DEPTH
    padded[rows[inside], position[inside]] = items[inside]
    return padded
