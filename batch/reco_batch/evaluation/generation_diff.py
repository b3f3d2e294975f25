"""What users see in one night and not in the other: two artifacts, compared list by list.

Read from the folders alone, without a store. The lists of the later night are streamed; of the
earlier one the first places are kept, 200 bytes a user.

Shapes: U users of a night, C users of both, I movies of both nights together, D places.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.checks import REFUSED
from reco_batch.artifact.folder import Artifact, open_artifact
from reco_batch.artifact.manifests import complete_generations
from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.evaluation.list_statistics import ids_of
from reco_batch.evaluation.top10_diversity import HEAD
from reco_batch.metrics.rank_overlap import overlap, rank_biased_overlap
from reco_store.contract.families import USER

#: The first 50 places have 99.9 % of the weight of rank-biased overlap.
DEPTH: Final = 50
PERSISTENCE: Final = 0.9
"""The p of rank-biased overlap: ten movies are looked at on average."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How the user lists of two nights differ."""

    before: str
    after: str
    users: pa.Array
    """[C] ids of the users of both nights, in the order of the later one."""
    overlap: NDArray[np.float64]
    """[C] share of the earlier first ten that is in the later one; NaN where it was empty."""
    rbo: NDArray[np.float64]
    """[C] rank-biased overlap; NaN where both lists are empty."""
    new_users: int
    gone_users: int
    movies: pa.Array
    """[I] ids."""
    shown_before: NDArray[np.int64]
    """[I] users in whose first ten a movie stood."""
    shown_after: NDArray[np.int64]
    new_movies: int
    """Of the catalogue."""
    gone_movies: int

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


class Lists(NamedTuple):
    """The first places of some lists."""

    users: pa.Array  # [U] ids
    items: NDArray[np.int32]  # [U, D] index into the movies of both nights; -1: no more


def compare_nights(before: Artifact, after: Artifact) -> Changes:
    """Compare the user lists of two nights.

    Args:
        before: the earlier one.
        after: the later one.

    Returns:
        What has changed.

    Raises:
        NightFailed: a file of an artifact is damaged or missing.

    Cost:
        200 bytes a user of the earlier night, beside the blocks that are read.
    """
    theirs, ours = (a.movie_ids().cast(pa.string()) for a in (before, after))
    added = ours.filter(pc.invert(pc.is_in(ours, value_set=theirs)))
    movies = pa.concat_arrays([theirs, added])
    old = _joined(list(first_places(before, movies)))
    shown_before = shown(old.items, len(movies))
    shown_after = np.zeros(len(movies), np.int64)
    users, shares, alike, count = [], [], [], 0
    for block in first_places(after, movies):
        shown_after += shown(block.items, len(movies))
        count += len(block.users)
        row = pc.index_in(block.users, value_set=old.users)
        mine = np.flatnonzero(row.is_valid().to_numpy(zero_copy_only=False))
        pair = old.items[row.drop_null().to_numpy()], block.items[mine]
        users.append(block.users.take(pa.array(mine)))
        shares.append(overlap(*pair, k=HEAD))
        alike.append(rank_biased_overlap(*pair, p=PERSISTENCE))
    both = pa.chunked_array(users, pa.string()).combine_chunks()
    return Changes(
        before=before.generation,
        after=after.generation,
        users=both,
        overlap=np.concatenate([np.zeros(0), *shares]),
        rbo=np.concatenate([np.zeros(0), *alike]),
        new_users=count - len(both),
        gone_users=len(old.users) - len(both),
        movies=movies,
        shown_before=shown_before,
        shown_after=shown_after,
        new_movies=len(added),
        gone_movies=len(theirs) + len(added) - len(ours),
    )


def first_places(artifact: Artifact, movies: pa.Array) -> Iterator[Lists]:
    """Yield the first places of every user's list, some thousand users at a time.

    Args:
        artifact: whose lists.
        movies: [I] ids as text, into which the items point; an id that is not there is left out.
    """
    own = artifact.movie_ids()
    index = pc.index_in(own.cast(pa.string()), value_set=movies).fill_null(-1)
    place_of = np.append(index.to_numpy(), -1)
    for batch in artifact.lists(USER):
        ids = batch.column(c.MOVIE_IDS)
        found = pc.index_in(ids.flatten(), value_set=own).fill_null(-1).to_numpy()
        items = place_of[found]
        rows = np.repeat(np.arange(len(ids)), np.diff(ids.offsets.to_numpy()))
        yield Lists(ids_of(batch.column(c.SUFFIX)), _padded(items, rows, len(ids)))


def shown(items: NDArray[np.int32], movie_count: int) -> NDArray[np.int64]:
    """Return in how many first tens each movie stands, [movie_count]."""
    head = items[:, :HEAD]
    return np.bincount(head[head >= 0], minlength=movie_count)


def of_namespace(artifacts: Path, namespace: str | None) -> list[Artifact]:
    """Return the complete artifacts of a namespace, oldest first; damaged ones are left out."""
    found = []
    for generation in complete_generations(artifacts):
        try:
            artifact = open_artifact(artifacts, generation)
        except NightFailed:  # for a person to look at
            continue
        if namespace_of(artifact) == namespace:
            found.append(artifact)
    return found


def namespace_of(artifact: Artifact) -> str | None:
    """Return the namespace that a night was made for, where it says so."""
    parameters = artifact.manifest.get("parameters")
    return parameters.get("namespace") if isinstance(parameters, dict) else None


def night_before(artifact: Artifact, others: list[Artifact]) -> Artifact | None:
    """Return the night that one is to be compared with, if its folder is still there.

    Args:
        artifact: the later night.
        others: the candidates, oldest first.

    Returns:
        What the gate compared it with; without a verdict, the newest earlier night that the gate
        did not refuse.
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
    """Return what the gate found, empty where it never judged."""
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
    """Return lists of all lengths as [count, D], without what has no index."""
    rows, items = rows[items >= 0], items[items >= 0]
    starts = np.searchsorted(rows, np.arange(count))
    place = np.arange(len(rows)) - starts[rows]
    padded = np.full((count, DEPTH), -1, np.int32)
    inside = place < DEPTH
    padded[rows[inside], place[inside]] = items[inside]
    return padded
