"""Hand-made data sets of a few ratings, each for one question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reco_batch.data.dataset import Movies, Ratings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MINUTE = 60
START = 1_000_000_000


def ratings_of(
    pairs: Sequence[tuple[int, int]] | NDArray[np.int64],
    *,
    stars: Sequence[float] | None = None,
    timestamps: Sequence[int] | None = (),
) -> Ratings:
    """Make ratings from (user, movie) pairs.

    By default stars cycle from 1 to 5 and times are a minute apart; times can be left out.
    """
    count = len(pairs)
    users, movies = np.asarray(pairs, np.int32).reshape(count, 2).T
    if timestamps is not None:
        times = timestamps or START + MINUTE * np.arange(count)
    return Ratings(
        users.copy(),
        movies.copy(),
        np.asarray(np.linspace(1, 5, count) if stars is None else stars, np.float32),
        None if timestamps is None else np.asarray(times, np.int64),
    )


def random_ratings(
    rng: np.random.Generator, *, users: int, movies: int, share: float = 0.5
) -> Ratings:
    """Draw ratings of about `share` of all pairs, at least one, unordered, some at equal times."""
    pairs = np.argwhere(rng.random((users, movies)) < share)
    pairs = rng.permutation(pairs if len(pairs) else np.array([[0, 0]]))
    return ratings_of(
        pairs,
        stars=rng.integers(1, 11, len(pairs)) / 2,
        timestamps=list(START + 1000 * rng.integers(0, 20, len(pairs))),
    )


def movies_of(count: int, *, genres: bool = True, years: bool = True) -> Movies:
    """Make a catalogue with text ids; every other movie has the genre Action."""
    return Movies(
        ids=tuple(f"tt:{movie}" for movie in range(count)),
        titles=tuple(f"Film {movie}" for movie in range(count)),
        genres=tuple(("Action",) if genres and movie % 2 else () for movie in range(count)),
        years=tuple(1990 + movie if years else None for movie in range(count)),
    )


#: name -> (ratings, catalogue) in which something is missing or small. Each can have one user more
#: than has ratings, if the model is fitted for one more.
ODD_DATA = {
    "one rating": (ratings_of([(0, 0)]), movies_of(1)),
    "one user": (ratings_of([(0, 0), (0, 1), (0, 2)]), movies_of(4)),
    "one movie": (ratings_of([(user, 0) for user in range(4)]), movies_of(1)),
    "one movie rated often": (
        ratings_of([(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 2)]),
        movies_of(4),
    ),
    "one rating a user": (ratings_of([(n, n % 3) for n in range(12)]), movies_of(5)),
    "everybody rated everything": (
        ratings_of([(n // 4, n % 4) for n in range(12)]),
        movies_of(4),
    ),
    "no timestamps": (
        ratings_of([(n % 4, 3 * n % 7) for n in range(14)], timestamps=None),
        movies_of(7),
    ),
    "one timestamp": (
        ratings_of([(n % 4, 3 * n % 7) for n in range(14)], timestamps=[START] * 14),
        movies_of(7),
    ),
    "no genres": (ratings_of([(n % 4, 3 * n % 7) for n in range(14)]), movies_of(8, genres=False)),
    "no years": (ratings_of([(n % 4, 3 * n % 7) for n in range(14)]), movies_of(8, years=False)),
    "nothing but ids": (
        ratings_of([(n % 4, 3 * n % 7) for n in range(14)], timestamps=None),
        movies_of(8, genres=False, years=False),
    ),
}
