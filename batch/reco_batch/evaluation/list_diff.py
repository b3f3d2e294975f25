"""Results of `batch diff`: the differences of two runs, or of one user's lists in both.

Reads the folders of the artifacts only. The comparison of all lists is in `generation_diff`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.folder import Artifact, artifacts_of, open_artifact
from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.evaluation.generation_diff import (
    DEPTH,
    PERSISTENCE,
    Changes,
    baseline_run,
    compare_runs,
)
from reco_batch.metrics.rank_overlap import overlap, padded, rank_biased_overlap
from reco_store import UsageError
from reco_store.contract.families import USER
from reco_store.contract.keys import parse_generation_id, user_suffix

#: Rounding error of the sum of the weights of rank-biased overlap, which is 1.
_ROUNDING: Final = 1e-9


class MovieMove(NamedTuple):
    """A movie in more, or fewer, top-10 lists than before."""

    movie_id: str
    title: str
    before: int
    """Users with the movie in their earlier top-10."""
    after: int
    """Users with the movie in their later top-10."""


class UserMove(NamedTuple):
    """A user whose list changed."""

    user_id: str
    overlap: float
    """Share of the earlier top-10 that is in the later one."""
    rbo: float
    """Rank-biased overlap, 0 to 1."""


class Difference(NamedTuple):
    """Differences between all user lists of two runs."""

    before: str
    """Generation of the earlier run."""
    after: str
    """Generation of the later run."""
    users: int
    """Users of both runs."""
    new_users: int
    gone_users: int
    new_movies: int
    """Movies that only the later catalogue contains."""
    gone_movies: int
    """Movies that only the earlier catalogue contains."""
    overlap: float | None
    """Mean share of the earlier top-10 that is in the later one; None if no user had one."""
    rbo: float | None
    """Mean rank-biased overlap; None if no user had an earlier list."""
    unchanged: int
    """Users who keep their whole top-10, in any order."""
    entered: int
    """Movies in a later top-10 that were in no earlier one."""
    left: int
    """Movies in an earlier top-10 that are in no later one."""
    rose: list[MovieMove]
    fell: list[MovieMove]
    most_changed: list[UserMove]


class Place(NamedTuple):
    """A movie in a user's lists, with its positions from 1; None if a list lacks it."""

    movie_id: str
    title: str
    before: int | None
    after: int | None


class UserDifference(NamedTuple):
    """Differences between one user's lists of two runs."""

    before: str
    after: str
    user_id: str
    overlap: float | None
    rbo: float | None
    places: list[Place]
    """Movies of the later top, then movies of the earlier top that the later list lacks."""


def choose_runs(
    artifacts: Path, before: str | None, after: str | None, *, namespace: str
) -> tuple[Artifact, Artifact]:
    """Return the artifacts of the two runs to compare.

    Args:
        artifacts: folder of all artifacts.
        before: earlier generation; None for the one that the quality gate compared the later one
            with, or else the newest one before it.
        after: later generation; None for the newest one of the namespace.
        namespace: namespace of the runs.

    Raises:
        UsageError: a name is not that of a generation, or both are the same.
        NightFailed: an artifact does not exist, or the namespace has too few.
    """
    if before is not None and before == after:
        raise UsageError(
            f"{before} twice; expected two generations. Leave one out to compare the other with "
            "the run before it."
        )
    for name in (before, after):
        if name is not None:
            parse_generation_id(name)  # so that `..` cannot lead out of the folder
    runs = artifacts_of(artifacts, namespace)
    if after is None and not runs:
        raise NightFailed(
            f"no complete artifact of the namespace {namespace!r} in {artifacts}; expected two. "
            "Run `batch run`, or name another --home or --namespace."
        )
    later = runs[-1] if after is None else open_artifact(artifacts, after)
    if before is not None:
        return open_artifact(artifacts, before), later
    older = [run for run in runs if run.generation < later.generation]
    earlier = baseline_run(later, runs) or (older[-1] if older else None)
    if earlier is None:
        raise NightFailed(
            f"no complete artifact in {artifacts} is older than {later.generation}; expected one "
            "to compare with. Run `batch run` once more, or name both generations."
        )
    return earlier, later


def difference(before: Artifact, after: Artifact, *, n: int) -> Difference:
    """Compare all user lists of two runs.

    Args:
        before: artifact of the earlier run.
        after: artifact of the later run.
        n: number of movies that rose, of movies that fell, and of users to list.

    Raises:
        NightFailed: a file of an artifact is damaged or missing.
    """
    changes = compare_runs(before, after)
    titles = {**before.titles(), **after.titles()}
    return Difference(
        before=changes.before,
        after=changes.after,
        users=len(changes.users),
        new_users=changes.new_users,
        gone_users=changes.gone_users,
        new_movies=changes.new_movies,
        gone_movies=changes.gone_movies,
        overlap=changes.mean_overlap,
        rbo=None if changes.mean_overlap is None else changes.mean_rbo,
        unchanged=changes.unchanged_users,
        entered=changes.entered_movies,
        left=changes.left_movies,
        rose=_moves(changes, titles, changes.shown_after - changes.shown_before, n),
        fell=_moves(changes, titles, changes.shown_before - changes.shown_after, n),
        most_changed=[
            UserMove(*user) for user in changes.most_changed(n) if min(user[1:]) < 1 - _ROUNDING
        ],
    )


def user_difference(before: Artifact, after: Artifact, user_id: str, *, n: int) -> UserDifference:
    """Compare one user's lists of two runs.

    Args:
        before: artifact of the earlier run.
        after: artifact of the later run.
        user_id: id of the user.
        n: positions of either list to include.

    Raises:
        UsageError: neither run has a list of the user.
        NightFailed: a file of an artifact is damaged or missing.
    """
    lists = _list_of(before, user_id), _list_of(after, user_id)
    if lists == (None, None):
        raise UsageError(
            f"user {user_id!r} has no list in {before.generation} or {after.generation}; expected "
            "an id of the ratings' userId. `batch diff` names the users whose lists changed most."
        )
    then, now = ([] if movies is None else movies for movies in lists)
    titles = {**before.titles(), **after.titles()}
    was, is_at = ({movie: place for place, movie in enumerate(m, start=1)} for m in (then, now))
    named = dict.fromkeys([*now[:n], *(movie for movie in then[:n] if movie not in is_at)])
    pair = _as_rows(then, now)
    return UserDifference(
        before=before.generation,
        after=after.generation,
        user_id=user_id,
        overlap=_number(overlap(*pair)),
        rbo=_number(rank_biased_overlap(*pair, p=PERSISTENCE)),
        places=[
            Place(movie, titles.get(movie, movie), was.get(movie), is_at.get(movie))
            for movie in named
        ],
    )


def _moves(
    changes: Changes, titles: Mapping[str, str], gain: NDArray[np.int64], n: int
) -> list[MovieMove]:
    """Return the n movies with the largest gain above 0; ties in catalogue order."""
    order = np.argsort(-gain, kind="stable")[:n]
    rows = [row for row in order.tolist() if gain[row] > 0]
    ids = changes.movies.take(pa.array(rows, pa.int64())).to_pylist()
    return [
        MovieMove(
            movie,
            titles.get(movie, movie),
            int(changes.shown_before[row]),
            int(changes.shown_after[row]),
        )
        for movie, row in zip(ids, rows, strict=True)
    ]


def _list_of(artifact: Artifact, user_id: str) -> list[str] | None:
    key = pa.scalar(user_suffix(user_id))
    for batch in artifact.lists(USER):
        for row in batch.filter(pc.equal(batch.column(c.SUFFIX), key)).to_pylist():
            return [str(movie) for movie in row[c.MOVIE_IDS]]
    return None


def _as_rows(
    then: Sequence[str], now: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return both lists as rows of movie indices."""
    index_of = {movie: index for index, movie in enumerate(dict.fromkeys([*then, *now]))}
    rows = padded([[index_of[movie] for movie in movies] for movies in (then, now)], DEPTH)
    return rows[:1], rows[1:]


def _number(values: NDArray[np.float64]) -> float | None:
    """Return the only value; None if it is NaN."""
    value = float(values[0])
    return None if np.isnan(value) else value
