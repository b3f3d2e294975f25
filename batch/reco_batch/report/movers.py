"""Changes of lists since the last run, as the report shows them. Pure functions of `Changes`."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.evaluation.generation_diff import PERSISTENCE, Changes
from reco_batch.metrics.rank_overlap import TOP
from reco_batch.report.plots import Adapt, BarPlot, Words, bar_plot
from reco_batch.report.text import percent, safe, signed

_MOVES: Final = 10


class Move(NamedTuple):
    """Movie in the top-10 of more, or fewer, users than in the last run."""

    movie_id: str
    before: int
    """Users with the movie in their top-10 in the last run."""
    after: int
    """Users with the movie in their top-10 in this run."""
    before_width: float
    """Width of the bar, as a percentage of the widest bar."""
    after_width: float
    """Width of the bar, as a percentage of the widest bar."""

    @property
    def change(self) -> str:
        """Difference, with its sign."""
        return signed(self.after - self.before)


class ChangesView(NamedTuple):
    """Texts, histogram and movies of the section."""

    before: str
    sentences: list[str]
    histogram: BarPlot
    risen: list[Move]
    fallen: list[Move]


def changes_view(changes: Changes, adapt: Adapt) -> ChangesView:
    """Lay out the changes.

    Args:
        changes: between the two runs.
        adapt: puts the words of the catalogue into a text.
    """
    shares = changes.overlap[~np.isnan(changes.overlap)]
    counts = np.bincount(np.rint(shares * TOP).astype(int), minlength=TOP + 1)
    return ChangesView(
        safe(changes.before),
        list(map(adapt, _sentences(changes, counts))),
        bar_plot(
            [str(common) for common in range(TOP + 1)],
            [("users", "now", [float(count) for count in counts])],
            Words(
                "Overlap of top-10 lists",
                "Users by the number of movies that their top-10 shares with the last run.",
                "movies shared with the last run's top-10",
                "users",
            ).adapted(adapt),
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
            f"Mean overlap of top-10 lists: {percent(overlap)}; {changes.unchanged_users:,} of "
            f"{known:,} users keep all ten movies, {counts[0]:,} keep none."
        ),
        (
            f"Rank-biased overlap of lists, which weights early positions more: {percent(rbo)} "
            f"(p = {PERSISTENCE})."
        ),
        (
            f"{changes.entered_movies:,} movies entered at least one top-10, "
            f"{changes.left_movies:,} left all of them; {changes.new_users:,} users are new, "
            f"{changes.gone_users:,} are gone."
        ),
    ]
