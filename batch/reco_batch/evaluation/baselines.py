"""Scores of the popularity baselines of the user lists. Pure functions over arrays.

Shapes: I movies.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.scoring.popularity import recent_counts

POPULARITY: Final = "popularity"
#: Group of the manifest's metrics -> days before the newest training rating.
RECENT: Final = {"popularity_7d": 7, "popularity_30d": 30}


def popularity_scores(ratings: Ratings, *, movie_count: int) -> Mapping[str, NDArray[np.float32]]:
    """Return the scores of the movies in the list of each popularity baseline.

    Args:
        ratings: training ratings.
        movie_count: I.

    Returns:
        Group of the manifest's metrics -> [I]: the number of ratings and, with timestamps, places
        by the number of recent ratings, where ties go to more ratings, then to the first movie.
    """
    rated = np.bincount(ratings.movie_index, minlength=movie_count)
    scores = {POPULARITY: rated.astype(np.float32)}
    if ratings.timestamp is None:
        return scores
    for group, days in RECENT.items():
        recent = recent_counts(ratings, movie_count=movie_count, days=days)
        order = np.lexsort((-rated, -recent))  # stable; the last key counts most
        scores[group] = np.empty(movie_count, np.float32)
        scores[group][order] = -np.arange(movie_count)
    return scores
