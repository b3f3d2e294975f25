"""What `batch diff` finds out: two nights beside each other, from their folders alone.

The whole comparison is `changes.compare_nights`; this module chooses the nights, and of what
changed the part that a person can read. `diff_page` says it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.folder import Artifact, open_artifact
from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.evaluation.generation_diff import (
    DEPTH,
    PERSISTENCE,
    Changes,
    compare_nights,
    night_before,
    of_namespace,
)
from reco_batch.evaluation.top10_diversity import HEAD
from reco_batch.metrics.rank_overlap import overlap, rank_biased_overlap
from reco_store import UsageError
from reco_store.contract.families import USER
from reco_store.contract.keys import parse_generation_id, user_suffix

#: The sum of the weights is 1 but for this.
_ROUNDING: Final = 1e-9


class MovieMove(NamedTuple):
    """A movie that stands in more, or fewer, first tens than before."""

    movie_id: str
    title: str
    before: int
    after: int


class UserMove(NamedTuple):
    """A user whose list changed."""

    user_id: str
    overlap: float
    rbo: float


class Difference(NamedTuple):
    """Two nights as a whole."""

    before: str
    after: str
    users: int
    """Of both nights."""
    new_users: int
    gone_users: int
    new_movies: int
    """Of the catalogue."""
    gone_movies: int
    overlap: float | None
    """Mean share of the earlier first ten that is in the later one; None where nobody had one."""
    rbo: float | None
    unchanged: int
    """Users who keep all of their first ten, in any order."""
    entered: int
    """Movies in somebody's first ten that were in nobody's."""
    left: int
    rose: list[MovieMove]
    fell: list[MovieMove]
    most_changed: list[UserMove]


class Place(NamedTuple):
    """A movie in a user's lists; the places count from 1, None: not in that list."""

    movie_id: str
    title: str
    before: int | None
    after: int | None


class UserDifference(NamedTuple):
    """One user's lists of two nights."""

    before: str
    after: str
    user_id: str
    overlap: float | None
    rbo: float | None
    places: list[Place]
    """The first of tonight's list, then those of the earlier one's first that are not in it."""


def choose_nights(
    artifacts: Path, before: str | None, after: str | None, *, namespace: str
) -> tuple[Artifact, Artifact]:
    """Return the two nights to compare.

    Args:
        artifacts: the folder of all artifacts.
        before: the earlier one; None: the one that the later one was compared with, or the newest
            one before it.
        after: the later one; None: the newest one of the namespace.
        namespace: of what is chosen.

    Raises:
        UsageError: that is not the name of a generation, or both are the same.
        NightFailed: there is no such artifact, or none to choose.
    """
    if before is not None and before == after:
        raise UsageError(
            f"{before} beside itself; expected two generations. Leave one out to compare the other "
            "with the night before it."
        )
    for name in (before, after):
        if name is not None:
            parse_generation_id(name)  # rather than follow `..` out of the folder
    nights = of_namespace(artifacts, namespace)
    if after is None and not nights:
        raise NightFailed(
            f"no complete artifact of the namespace {namespace!r} in {artifacts}; expected two. "
            "Run `batch run`, or name another --home or --namespace."
        )
    later = nights[-1] if after is None else open_artifact(artifacts, after)
    if before is not None:
        return open_artifact(artifacts, before), later
    older = [night for night in nights if night.generation < later.generation]
    earlier = night_before(later, nights) or (older[-1] if older else None)
    if earlier is None:
        raise NightFailed(
            f"no complete artifact in {artifacts} is older than {later.generation}; expected one "
            "to compare it with. Run `batch run` once more, or name both generations."
        )
    return earlier, later


def difference(before: Artifact, after: Artifact, *, n: int) -> Difference:
    """Compare two nights as a whole.

    Args:
        before: the earlier one.
        after: the later one.
        n: movies that rose, movies that fell, and users to name.

    Raises:
        NightFailed: a file of an artifact is damaged or missing.
    """
    changes = compare_nights(before, after)
    titles = {**before.titles(), **after.titles()}
    known = changes.overlap[~np.isnan(changes.overlap)]
    was, now = changes.shown_before > 0, changes.shown_after > 0
    return Difference(
        before=changes.before,
        after=changes.after,
        users=len(changes.users),
        new_users=changes.new_users,
        gone_users=changes.gone_users,
        new_movies=changes.new_movies,
        gone_movies=changes.gone_movies,
        overlap=float(known.mean()) if len(known) else None,
        rbo=float(np.nanmean(changes.rbo)) if len(known) else None,
        unchanged=int((known == 1).sum()),
        entered=int((now & ~was).sum()),
        left=int((was & ~now).sum()),
        rose=_moves(changes, titles, changes.shown_after - changes.shown_before, n),
        fell=_moves(changes, titles, changes.shown_before - changes.shown_after, n),
        most_changed=[
            UserMove(*user) for user in changes.most_changed(n) if min(user[1:]) < 1 - _ROUNDING
        ],
    )


def user_difference(before: Artifact, after: Artifact, user_id: str, *, n: int) -> UserDifference:
    """Compare one user's lists of two nights.

    Args:
        before: the earlier one.
        after: the later one.
        user_id: whose.
        n: places of either list to name.

    Raises:
        UsageError: neither night has a list of that user.
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
    was, stands = ({movie: place for place, movie in enumerate(m, start=1)} for m in (then, now))
    named = dict.fromkeys([*now[:n], *(movie for movie in then[:n] if movie not in stands)])
    pair = _as_rows(then, now)
    return UserDifference(
        before=before.generation,
        after=after.generation,
        user_id=user_id,
        overlap=_finite(overlap(*pair, k=HEAD)),
        rbo=_finite(rank_biased_overlap(*pair, p=PERSISTENCE)),
        places=[
            Place(movie, titles.get(movie, movie), was.get(movie), stands.get(movie))
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
    """Return both lists as rows of numbers, as deep as whole nights are compared."""
    number = {movie: place for place, movie in enumerate(dict.fromkeys([*then, *now]))}
    rows = np.full((2, DEPTH), -1, np.int32)
    for row, movies in zip(rows, (then[:DEPTH], now[:DEPTH]), strict=True):
        row[: len(movies)] = [number[movie] for movie in movies]
    return rows[:1], rows[1:]


def _finite(figure: NDArray[np.float64]) -> float | None:
    value = float(figure[0])
    return None if np.isnan(value) else value
