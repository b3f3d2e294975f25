"""Item features: genres and year of a movie as numbers.

A movie without ratings has no other features, and they also improve predictions for movies with
many ratings.

Shapes: I movies, G genres, Y year knots, F = G + Y features.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Movies

FIRST_YEAR: Final = 1930
"""Earliest year; older movies, which are few, count as of this year."""
YEARS_BETWEEN_KNOTS: Final = 4
NO_GENRE: Final = "(no genres listed)"


def content_features(movies: Movies) -> NDArray[np.float32]:
    """Return the genres of each movie, 0 or 1, and its year as shares of the two nearest knots.

    Args:
        movies: the catalogue.

    Returns:
        [I, F]; genres in alphabetical order, then years. A movie without a year has zeros there.
    """
    return np.hstack([_genres(movies), _years(movies)])


def _genres(movies: Movies) -> NDArray[np.float32]:
    names = sorted({genre for genres in movies.genres for genre in genres} - {NO_GENRE})
    column = {name: position for position, name in enumerate(names)}
    features = np.zeros((len(movies), len(names)), np.float32)
    for index, genres in enumerate(movies.genres):
        features[index, [column[genre] for genre in genres if genre != NO_GENRE]] = 1
    return features


def _years(movies: Movies) -> NDArray[np.float32]:
    years = np.array([np.nan if year is None else year for year in movies.years], np.float64)
    known = np.isfinite(years)
    latest = int(years[known].max(initial=FIRST_YEAR))
    knots = np.arange(FIRST_YEAR, latest + YEARS_BETWEEN_KNOTS, YEARS_BETWEEN_KNOTS)
    distance = np.abs(np.maximum(years, FIRST_YEAR)[:, np.newaxis] - knots)  # [I, Y]
    shares = np.maximum(1 - distance / YEARS_BETWEEN_KNOTS, 0)
    shares[~known] = 0
    return shares.astype(np.float32)
