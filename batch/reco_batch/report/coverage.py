"""How the first places of all users spread over the movies: coverage and concentration.

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
from reco_batch.report.plots import BarPlot, LinePlot, Series, Words, bar_plot, line_plot
from reco_batch.report.text import number, percent

#: Movies by how often they were rated: each band from here to below the next.
_BANDS: Final = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
_POINTS: Final = 60


class Spread(NamedTuple):
    """Which movies the users of a night see."""

    shown: NDArray[np.int64]  # [I] users in whose first ten a movie stands
    place: NDArray[np.int64]  # [I] its best place in anybody's list, from 0; DEPTH: in none
    rated: NDArray[np.int64]  # [I] ratings

    @property
    def places(self) -> int:
        """Of all first tens together."""
        return int(self.shown.sum())


class SpreadView(NamedTuple):
    """What the page shows of it."""

    sentences: list[str]
    coverage: LinePlot
    concentration: LinePlot
    bands: BarPlot


def spread_of(artifact: Artifact) -> Spread:
    """Look at the first places of every user.

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


def spread_view(now: Spread, before: Spread | None) -> SpreadView:
    """Lay out coverage and concentration, of the last run and of this one."""
    # The line of this run is drawn last, over the others.
    nights = [*([("last run", "before", before)] if before else []), ("this run", "now", now)]
    coverage = [Series(name, kind, _coverage(night)) for name, kind, night in nights]
    shown_to = [Series(name, kind, _curve(night.shown)) for name, kind, night in nights]
    return SpreadView(
        _sentences(now),
        line_plot(
            coverage,
            Words(
                "Coverage of the published lists",
                "How many movies stand in somebody's first places, by how many are looked at: "
                f"{_covered(now, TOP):,} in the first {TOP}, {_covered(now, DEPTH):,} in the "
                f"first {DEPTH}.",
                "places of each list that are looked at",
                "movies that somebody sees",
            ),
            y_range=(0.0, None),
        ),
        line_plot(
            [Series("ratings", "other", _curve(now.rated)), *shown_to],
            Words(
                "Concentration",
                "Share of all first-ten places that the most shown movies take, and share of all "
                "ratings that the most rated movies have.",
                "movies, the most shown (most rated) first",
                "share of places, or ratings",
            ),
            log_x=True,
            y_range=(0.0, 1.0),
            as_percent=True,
        ),
        _bands(now),
    )


def _sentences(now: Spread) -> list[str]:
    movies = len(now.shown)
    covered = _covered(now, TOP)
    share = percent(covered / max(1, movies))
    said = [
        (
            f"Coverage of the published lists: {covered:,} of {movies:,} movies ({share}) are in "
            "somebody's top-10. This counts all users; the test coverage above counts users with "
            "held-out ratings, and lists of models that have not seen those."
        )
    ]
    if now.places and now.rated.sum():
        said.append(
            f"Half of all top-10 places go to {_half(now.shown):,} movies; "
            f"half of all ratings are of {_half(now.rated):,}."
        )
    return said


def _half(counts: NDArray[np.int64]) -> int:
    """Return how many of the largest make up half of the sum."""
    running = np.cumsum(np.sort(counts)[::-1])
    return int(np.searchsorted(running, running[-1] / 2) + 1)


def _covered(night: Spread, depth: int) -> int:
    return int((night.place < depth).sum())


def _coverage(night: Spread) -> list[tuple[float, float]]:
    reached = np.cumsum(np.bincount(night.place, minlength=DEPTH + 1)[:DEPTH])
    return [(float(depth + 1), float(count)) for depth, count in enumerate(reached)]


def _curve(counts: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Return the share that the n largest have, for some n that are even on a log scale."""
    running = np.cumsum(np.sort(counts)[::-1])
    if not len(running) or not running[-1]:
        return []
    some = np.unique(np.geomspace(1, len(running), _POINTS).round().astype(int))
    return [(float(n), round(float(running[n - 1] / running[-1]), 4)) for n in some]


def _bands(now: Spread) -> BarPlot:
    edges = [edge for edge in _BANDS if edge <= now.rated.max(initial=0)] or [0]
    band = np.searchsorted(edges, now.rated, side="right") - 1

    def shares(weights: NDArray[np.int64]) -> list[float]:
        sums = np.bincount(band, weights=weights, minlength=len(edges))
        return [float(share) for share in sums / max(1.0, sums.sum())]

    return bar_plot(
        [f"{number(edge) if edge else 0}{'+' if edge else ''}" for edge in edges],
        [
            ("all movies", "before", shares(np.ones_like(now.rated))),
            ("ratings", "other", shares(now.rated)),
            ("first-ten places", "now", shares(now.shown)),
        ],
        Words(
            "Who is shown",
            "Movies by how many ratings they have: their share of the catalogue, of all ratings "
            "and of all first-ten places.",
            "ratings of a movie",
            "share",
        ),
        as_percent=True,
    )
