"""Coverage and concentration of the published lists over the catalogue.

One pass over the user lists, some thousand at a time; memory is 16 bytes a movie.

Shapes: I movies of the catalogue.
"""

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco_batch.artifact.folder import Artifact
from reco_batch.evaluation.generation_diff import DEPTH, list_tops, shown
from reco_batch.metrics.rank_overlap import TOP
from reco_batch.report.plots import Adapt, BarPlot, LinePlot, Series, Words, bar_plot, line_plot
from reco_batch.report.text import number, percent

#: Lower bounds of bands of movies by number of ratings.
_BANDS: Final = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
_POINTS: Final = 60


class Spread(NamedTuple):
    """Number of users who are shown each movie."""

    shown: NDArray[np.int64]
    """Users with the movie in their top-10. [I]"""
    place: NDArray[np.int64]
    """Best position in any list, from 0; DEPTH if it is in none. [I]"""
    rated: NDArray[np.int64]
    """Number of ratings. [I]"""

    @property
    def places(self) -> int:
        """Number of positions in all top-10 lists."""
        return int(self.shown.sum())


class SpreadView(NamedTuple):
    """Texts and plots about coverage and concentration."""

    sentences: list[str]
    coverage: LinePlot
    concentration: LinePlot
    bands: BarPlot


def spread_of(artifact: Artifact) -> Spread:
    """Count, for each movie, the users who are shown it.

    Raises:
        NightFailed: a file of the artifact is damaged or missing.
    """
    movies = artifact.movie_ids().cast(pa.string())
    counts = np.zeros(len(movies), np.int64)
    place = np.full(len(movies), DEPTH)
    for block in list_tops(artifact, movies):
        counts += shown(block.items, len(movies))
        _, places = valid = np.nonzero(block.items >= 0)
        np.minimum.at(place, block.items[valid], places)
    return Spread(counts, place, artifact.rating_counts())


def spread_view(now: Spread, before: Spread | None, adapt: Adapt) -> SpreadView:
    """Lay out coverage and concentration of this run and the previous one.

    Args:
        now: this run.
        before: the previous one; None if there is none.
        adapt: puts the words of the catalogue into a text.
    """
    # The line of this run is drawn last, over the others.
    runs = [*([("last run", "before", before)] if before else []), ("this run", "now", now)]
    coverage = [Series(name, kind, _coverage(run)) for name, kind, run in runs]
    shown_to = [Series(name, kind, _curve(run.shown)) for name, kind, run in runs]
    return SpreadView(
        list(map(adapt, _sentences(now))),
        line_plot(
            coverage,
            Words(
                "Coverage of the published lists",
                "Movies in at least one list, by list length: "
                f"{_covered(now, TOP):,} in the first {TOP}, {_covered(now, DEPTH):,} in the "
                f"first {DEPTH}.",
                "list length",
                "movies in at least one list",
            ).adapted(adapt),
            y_range=(0.0, None),
        ),
        line_plot(
            [Series(adapt("ratings"), "other", _curve(now.rated)), *shown_to],
            Words(
                "Concentration",
                "Share of all top-10 positions taken by the most shown movies, and share of all "
                "ratings given to the most rated movies.",
                "number of movies, most shown (most rated) first",
                "share of top-10 positions, or ratings",
            ).adapted(adapt),
            log_x=True,
            y_range=(0.0, 1.0),
            as_percent=True,
        ),
        _bands(now, adapt),
    )


def _sentences(now: Spread) -> list[str]:
    movies = len(now.shown)
    covered = _covered(now, TOP)
    share = percent(covered / max(1, movies))
    sentences = [
        (
            f"Coverage of the published lists: {covered:,} of {movies:,} movies ({share}) are in "
            "the top-10 of at least one user. This counts all users; Coverage@10 above counts "
            "users with held-out ratings, and lists of models trained without those."
        )
    ]
    if now.places and now.rated.sum():
        sentences.append(
            f"Concentration: {_half(now.shown):,} movies take half of all top-10 positions; "
            f"{_half(now.rated):,} movies have half of all ratings."
        )
    return sentences


def _half(counts: NDArray[np.int64]) -> int:
    """Return how many of the largest counts make up half of the sum."""
    running = np.cumsum(np.sort(counts)[::-1])
    return int(np.searchsorted(running, running[-1] / 2) + 1)


def _covered(run: Spread, depth: int) -> int:
    return int((run.place < depth).sum())


def _coverage(run: Spread) -> list[tuple[float, float]]:
    reached = np.cumsum(np.bincount(run.place, minlength=DEPTH + 1)[:DEPTH])
    return [(float(depth + 1), float(count)) for depth, count in enumerate(reached)]


def _curve(counts: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Return the share of the n largest counts, for values of n evenly spaced on a log scale."""
    running = np.cumsum(np.sort(counts)[::-1])
    if not len(running) or not running[-1]:
        return []
    some = np.unique(np.geomspace(1, len(running), _POINTS).round().astype(int))
    return [(float(n), round(float(running[n - 1] / running[-1]), 4)) for n in some]


def _bands(now: Spread, adapt: Adapt) -> BarPlot:
    edges = [edge for edge in _BANDS if edge <= now.rated.max(initial=0)] or [0]
    band = np.searchsorted(edges, now.rated, side="right") - 1

    def shares(weights: NDArray[np.int64]) -> list[float]:
        sums = np.bincount(band, weights=weights, minlength=len(edges))
        return [float(share) for share in sums / max(1.0, sums.sum())]

    return bar_plot(
        [f"{number(edge) if edge else 0}{'+' if edge else ''}" for edge in edges],
        [
            (adapt("all movies"), "before", shares(np.ones_like(now.rated))),
            (adapt("ratings"), "other", shares(now.rated)),
            ("top-10 positions", "now", shares(now.shown)),
        ],
        Words(
            "Popularity bias",
            "Movies grouped by number of ratings: their share of the catalogue, of all ratings "
            "and of all top-10 positions.",
            "ratings of a movie",
            "share",
        ).adapted(adapt),
        as_percent=True,
    )
