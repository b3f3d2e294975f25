"""What changed against last night, as the page shows it. Pure functions of `Changes`."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.evaluation.generation_diff import PERSISTENCE, Changes
from reco_batch.metrics.rank_overlap import TOP
from reco_batch.report.plots import BarPlot, Words, bar_plot
from reco_batch.report.text import percent, safe, signed

_MOVES: Final = 10


class Move(NamedTuple):
    """A movie that more, or fewer, users see than last night."""

    movie_id: str
    before: int
    after: int
    before_width: float
    """Percent of the widest bar."""
    after_width: float

    @property
    def change(self) -> str:
        """With its sign."""
        return signed(self.after - self.before)


class ChangesView(NamedTuple):
    """What the page shows."""

    before: str
    sentences: list[str]
    histogram: BarPlot
    risen: list[Move]
    fallen: list[Move]


def changes_view(changes: Changes) -> ChangesView:
    """Lay out what changed."""
    shares = changes.overlap[~np.isnan(changes.overlap)]
    counts = np.bincount(np.rint(shares * TOP).astype(int), minlength=TOP + 1)
    return ChangesView(
        safe(changes.before),
        list(_sentences(changes, counts)),
        bar_plot(
            [str(common) for common in range(TOP + 1)],
            [("users", "now", [float(count) for count in counts])],
            Words(
                "How much of the top-10 stayed",
                "Users by how many movies of their top-10 are those of the last run.",
                "movies of the last run's top-10 that are still there",
                "users",
            ),
        ),
        moves(changes, _MOVES, rising=True),
        moves(changes, _MOVES, rising=False),
    )


def moves(changes: Changes, n: int, *, rising: bool) -> list[Move]:
    """Return the n movies whose number of users rose, or fell, most; ties in catalogue order."""
    change = changes.shown_after - changes.shown_before
    order = np.argsort(-change if rising else change, kind="stable")[:n]
    chosen = [row for row in order.tolist() if (change[row] > 0 if rising else change[row] < 0)]
    widest = max(
        (max(changes.shown_before[row], changes.shown_after[row]) for row in chosen), default=1
    )
    ids = changes.movies
    return [
        Move(
            str(ids[row].as_py()),
            int(changes.shown_before[row]),
            int(changes.shown_after[row]),
            round(100 * float(changes.shown_before[row] / widest), 1),
            round(100 * float(changes.shown_after[row] / widest), 1),
        )
        for row in chosen
    ]


def _sentences(changes: Changes, counts: NDArray[np.int64]) -> list[str]:
    known = int(counts.sum())
    if not known:
        return ["No user has a list in both runs."]
    overlap, rbo = changes.mean_overlap or 0.0, changes.mean_rbo or 0.0
    return [
        (
            f"Of their top-10, users keep {percent(overlap)} on average; "
            f"{changes.unchanged_users:,} of {known:,} keep all of it, {counts[0]:,} nothing."
        ),
        (
            f"With the top counting most, lists agree to {percent(rbo)} "
            f"(rank-biased overlap, p = {PERSISTENCE})."
        ),
        (
            f"{changes.entered_movies:,} movies entered at least one top-10, "
            f"{changes.left_movies:,} left all of them; {changes.new_users:,} users are new, "
            f"{changes.gone_users:,} are gone."
        ),
    ]
