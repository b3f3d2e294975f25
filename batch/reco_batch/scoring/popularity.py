"""Lists for everybody: the most rated and the highest rated movies, overall and by genre.

*Most rated* orders by the number of ratings, among movies whose mean is above a threshold, which
is lowered where too few are. *Highest rated* orders by the mean rating: movies with more ratings
than a threshold come first, then those with more than half of it, and so on. So a list is full
where the catalogue has enough rated movies. Pure functions over arrays.

Shapes: I movies.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Movies, Ratings
from reco_store.contract.keys import BY_HIGHEST_RATED, BY_MOST_RATED


class MovieStatistics(NamedTuple):
    """How often and how well each movie was rated."""

    rating_count: NDArray[np.int64]  # [I]
    rating_mean: NDArray[np.float64]  # [I] stars; NaN without a rating, or without stars

    def of_first_movies(self, movie_count: int) -> "MovieStatistics":
        """Return those of the movies below index `movie_count`."""
        return MovieStatistics(self.rating_count[:movie_count], self.rating_mean[:movie_count])


class PopularList(NamedTuple):
    """One list of the contract."""

    by: str  # BY_MOST_RATED or BY_HIGHEST_RATED
    genre: str | None  # None: all movies
    movie_index: NDArray[np.int64]  # best first
    score: NDArray[np.float64]  # ratings, or mean stars


#: Distance of the threshold below a low mean rating, as a share of the rating scale: about half of
#: the best-known movies are below the mean itself.
_BELOW_MEAN: Final = 0.05
#: In so many steps the threshold of stars falls to the lowest mean.
_STEPS: Final = 10


class Thresholds(NamedTuple):
    """Thresholds for the movies that each kind of popularity list shows, or shows first."""

    rating_count: int  # highest rated: more than so many ratings
    rating_mean: float  # most rated: a mean above so many stars


def count_tiers(rating_count: NDArray[np.int64], more_than: int) -> NDArray[np.int64]:
    """Return which part of a highest-rated list each movie belongs to, 0 being the first, [I].

    Args:
        rating_count: [I].
        more_than: ratings of the first part; half of them are enough for the next, and so on.
    """
    halves = [more_than >> n for n in range(more_than.bit_length() + 1)]
    tiers: NDArray[np.int64] = (rating_count[:, np.newaxis] <= np.array(halves)).sum(axis=1)
    return tiers


def thresholds_of(dataset: Dataset, rating_count: int, rating_mean: float | None) -> Thresholds:
    """Return the thresholds, with a mean that suits the data where none is given.

    Args:
        dataset: the input.
        rating_count: as `Thresholds` has it.
        rating_mean: as `Thresholds` has it; None: two thirds up the rating scale, which is 3.5 of
            0.5 to 5 stars, or, where the mean of all ratings is lower, a little below that mean.
    """
    if rating_mean is None:
        low, high = dataset.rating_scale
        rating_mean = low + (high - low) * 2 / 3
        if dataset.has_stars and len(dataset.ratings):
            mean = float(dataset.ratings.stars.mean(dtype=np.float64))
            if mean < rating_mean:
                rating_mean = mean - _BELOW_MEAN * (high - low)
    return Thresholds(rating_count, rating_mean)


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
    train: Ratings,
    held_out: Ratings,
    *,
    movie_count: int,
    listed: int | None = None,
    ks: Sequence[int],
) -> Mapping[str, float]:
    """Return what needs no model: the same list for everybody, and each movie's mean stars.

    Args:
        train: the ratings that the models may know.
        held_out: ratings that they did not see.
        movie_count: I.
        listed: movies that lists may show, the first ones; None: all.
        ks: list lengths.

    Returns:
        `top_<k>_accuracy` of the movies with the most ratings, and the `rmse` of the movies' means
        (the overall mean where a movie has no rating), if there are stars; empty without held-out
        ratings of a listed movie.
    """
    listed = movie_count if listed is None else listed
    wanted = held_out.movie_index[held_out.movie_index < listed]
    if not len(wanted):
        return {}
    count = np.bincount(train.movie_index, minlength=movie_count)
    ascending = np.sort(count[:listed])
    # As many movies stand above one as have more ratings, which is how top_k_accuracy counts.
    better = len(ascending) - np.searchsorted(ascending, count[wanted], side="right")
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
        thresholds: which movies are shown, or shown first.
        n: length of a list at most.

    Yields:
        Overall lists first, then genre by genre in alphabetical order. Ties go to the movie with
        more ratings, then to the one that stands first in the catalogue.
    """
    everything = np.arange(len(movies))
    has_stars = bool(np.isfinite(statistics.rating_mean).any())
    count, mean = statistics.rating_count, statistics.rating_mean
    # The last key counts most; ties go to more ratings, then to the catalogue's order.
    by_count = np.argsort(-count, kind="stable")
    by_mean = np.lexsort((-count, -mean, count_tiers(count, thresholds.rating_count)))
    for genre, members in ((None, everything), *_by_genre(movies)):
        rated = np.zeros(len(movies), np.bool_)
        rated[members] = count[members] > 0
        if not rated.any():
            continue
        liked = rated
        if has_stars:
            liked = rated & (mean > _relaxed(thresholds.rating_mean, mean[rated], n))
        chosen = by_count[liked[by_count]][:n]
        yield PopularList(BY_MOST_RATED, genre, chosen, count[chosen].astype(np.float64))
        if has_stars:
            chosen = by_mean[rated[by_mean]][:n]
            yield PopularList(BY_HIGHEST_RATED, genre, chosen, mean[chosen])


def _relaxed(threshold: float, means: NDArray[np.float64], n: int) -> float:
    """Return the threshold, or as much less as leaves `n` movies, or all, above it."""
    lowest = float(means.min())
    for step in range(_STEPS):
        relaxed = threshold - step / _STEPS * (threshold - lowest) if step else threshold
        if (means > relaxed).sum() >= min(n, len(means)):
            return relaxed
    return -np.inf


def _by_genre(movies: Movies) -> list[tuple[str, NDArray[np.int64]]]:
    names = sorted({genre for genres in movies.genres for genre in genres})
    members: dict[str, list[int]] = {name: [] for name in names}
    for index, genres in enumerate(movies.genres):
        for genre in genres:
            members[genre].append(index)
    return [(name, np.array(members[name])) for name in names]
