"""Lists for everybody: the most rated and the highest rated movies, overall and by genre.

The meaning is the notebook's: *most rated* counts ratings, among movies whose mean rating is above
a threshold; *highest rated* is the mean rating, among movies with more ratings than a threshold.
Where a threshold leaves a list empty it is halved until it does not, so that there always is an
answer. Pure functions over arrays.

Shapes: I movies.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.dataset import Movies, Ratings
from reco_store.keys import BY_HIGHEST_RATED, BY_MOST_RATED


class MovieStatistics(NamedTuple):
    """How often and how well each movie was rated."""

    rating_count: NDArray[np.int64]  # [I]
    rating_mean: NDArray[np.float64]  # [I] stars; NaN without a rating, or without stars


class PopularList(NamedTuple):
    """One list of the contract."""

    by: str  # BY_MOST_RATED or BY_HIGHEST_RATED
    genre: str | None  # None: all movies
    movie_index: NDArray[np.int64]  # best first
    score: NDArray[np.float64]  # ratings, or mean stars


class Thresholds(NamedTuple):
    """Which movies each kind of list may show."""

    rating_count: int  # highest rated: more than so many ratings
    rating_mean: float  # most rated: a mean above so many stars


def movie_statistics(ratings: Ratings, *, movie_count: int) -> MovieStatistics:
    """Return the number and the mean of each movie's ratings."""
    count = np.bincount(ratings.movie_index, minlength=movie_count)
    mean = np.full(movie_count, np.nan)
    if ratings.rating is None:
        return MovieStatistics(count, mean)
    total = np.bincount(ratings.movie_index, weights=ratings.rating, minlength=movie_count)
    np.divide(total, count, out=mean, where=count > 0)
    return MovieStatistics(count, mean)


def popularity_baseline(
    train: Ratings, held_out: Ratings, *, movie_count: int, ks: Sequence[int]
) -> Mapping[str, float]:
    """Return what needs no model: the same list for everybody, and each movie's mean stars.

    Args:
        train: the ratings that the models may know.
        held_out: ratings that they did not see.
        movie_count: I.
        ks: list lengths.

    Returns:
        `top_<k>_accuracy` of the movies with the most ratings, and the `rmse` of the movies' means
        (the overall mean where a movie has no rating), if there are stars; empty without held-out
        ratings.
    """
    if not len(held_out):
        return {}
    count = np.bincount(train.movie_index, minlength=movie_count)
    ascending = np.sort(count)
    # As many movies stand above one as have more ratings, which is how top_k_accuracy counts.
    better = movie_count - np.searchsorted(ascending, count[held_out.movie_index], side="right")
    found = {f"top_{k}_accuracy": float((better < k).mean()) for k in ks}
    if train.rating is None:
        return found
    total = np.bincount(train.movie_index, weights=train.rating, minlength=movie_count)
    overall = float(np.mean(train.rating, dtype=np.float64)) if len(train) else 0.0
    mean = np.full(movie_count, overall)
    np.divide(total, count, out=mean, where=count > 0)
    error = mean[held_out.movie_index] - held_out.stars
    return found | {"rmse": float(np.sqrt(np.mean(np.square(error))))}


def popular_lists(
    statistics: MovieStatistics, movies: Movies, *, thresholds: Thresholds, n: int
) -> Iterator[PopularList]:
    """Yield both lists over all movies, then over each genre that has a rated movie.

    Where nobody gave stars, nothing is highest rated, and most rated is whatever was chosen most.

    Args:
        statistics: of every movie.
        movies: the catalogue.
        thresholds: which movies may be shown.
        n: length of a list at most.

    Yields:
        Overall lists first, then genre by genre in alphabetical order. Ties go to the movie with
        more ratings, then to the one that stands first in the catalogue.
    """
    everything = np.arange(len(movies))
    has_stars = bool(np.isfinite(statistics.rating_mean).any())
    for genre, members in ((None, everything), *_by_genre(movies)):
        rated = members[statistics.rating_count[members] > 0]
        if len(rated):
            above = thresholds.rating_mean if has_stars else None
            yield _most_rated(statistics, rated, genre, above, n)
        if len(rated) and has_stars:
            yield _highest_rated(statistics, rated, genre, thresholds.rating_count, n)


def _by_genre(movies: Movies) -> list[tuple[str, NDArray[np.int64]]]:
    names = sorted({genre for genres in movies.genres for genre in genres})
    members: dict[str, list[int]] = {name: [] for name in names}
    for index, genres in enumerate(movies.genres):
        for genre in genres:
            members[genre].append(index)
    return [(name, np.array(members[name])) for name in names]


def _most_rated(
    statistics: MovieStatistics,
    rated: NDArray[np.int64],
    genre: str | None,
    above: float | None,
    n: int,
) -> PopularList:
    count, mean = statistics.rating_count, statistics.rating_mean
    eligible = rated if above is None else rated[mean[rated] > above]
    while above is not None and not len(eligible):
        above = above / 2 if above > 0 else -np.inf
        eligible = rated[mean[rated] > above]
    chosen = eligible[np.lexsort((eligible, -count[eligible]))[:n]]
    return PopularList(BY_MOST_RATED, genre, chosen, count[chosen].astype(np.float64))


def _highest_rated(
    statistics: MovieStatistics, rated: NDArray[np.int64], genre: str | None, more_than: int, n: int
) -> PopularList:
    count, mean = statistics.rating_count, statistics.rating_mean
    eligible = rated[count[rated] > more_than]
    while not len(eligible):
        more_than //= 2
        eligible = rated[count[rated] > more_than]
    chosen = eligible[np.lexsort((eligible, -count[eligible], -mean[eligible]))[:n]]
    return PopularList(BY_HIGHEST_RATED, genre, chosen, mean[chosen])
