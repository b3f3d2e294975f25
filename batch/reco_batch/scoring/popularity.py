"""Popular lists: most rated, highest rated, trending and new movies, overall and by genre.

*Most rated* orders movies by the number of ratings. Only movies with a mean above a threshold are
listed; the threshold is lowered if too few are above it. *Highest rated* orders by the mean rating:
movies with more ratings than a threshold come first, then those with more than half of it, and so
on. So a list is full if the catalogue has enough rated movies. *Trending* and *new* order by recent
ratings, whose weights halve with their age. Pure functions over arrays.

Shapes: I movies.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import NO_TIME, SECONDS_PER_DAY, Dataset, Movies, Ratings
from reco_store.contract.keys import BY_HIGHEST_RATED, BY_MOST_RATED, BY_NEW, BY_TRENDING


class MovieStatistics(NamedTuple):
    """Number and mean of the ratings of each movie."""

    rating_count: NDArray[np.int64]  # [I]
    rating_mean: NDArray[np.float64]  # [I] stars; NaN without ratings, and with implicit feedback

    def of_first_movies(self, movie_count: int) -> "MovieStatistics":
        """Return the statistics of the movies below index `movie_count`."""
        return MovieStatistics(self.rating_count[:movie_count], self.rating_mean[:movie_count])


class PopularList(NamedTuple):
    """Popular list of one kind, over all movies or one genre."""

    by: str  # one of POPULAR_KINDS
    genre: str | None  # None: all movies
    movie_index: NDArray[np.int64]  # best first
    score: NDArray[np.float64]  # ratings, mean stars, or weighted ratings


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
    """Return the tier of each movie in a highest-rated list, 0 for the first tier, [I].

    Args:
        rating_count: number of ratings of each movie, [I].
        more_than: threshold of the first tier; each further tier has half the threshold.
    """
    halves = [more_than >> n for n in range(more_than.bit_length() + 1)]
    tiers: NDArray[np.int64] = (rating_count[:, np.newaxis] <= np.array(halves)).sum(axis=1)
    return tiers


def thresholds_of(dataset: Dataset, rating_count: int, rating_mean: float | None) -> Thresholds:
    """Return the thresholds of popular lists.

    Args:
        dataset: the input.
        rating_count: see `Thresholds`.
        rating_mean: see `Thresholds`. None means two thirds of the rating scale (3.5 on a scale of
            0.5 to 5) or, if the mean of all ratings is lower, a little below that mean.
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


def recent_counts(ratings: Ratings, *, movie_count: int, days: float) -> NDArray[np.int64]:
    """Return the number of each movie's ratings in the last days before the newest rating, [I].

    Args:
        ratings: ratings with timestamps.
        movie_count: I.
        days: length of the period; a rating at its very beginning is outside.

    Raises:
        ValueError: the ratings have no timestamps.
    """
    if ratings.timestamp is None:
        raise ValueError("ratings without timestamps; expected ratings with them")
    if not len(ratings):
        return np.zeros(movie_count, np.int64)
    is_recent = ratings.timestamp > ratings.timestamp.max() - days * SECONDS_PER_DAY
    return np.bincount(ratings.movie_index[is_recent], minlength=movie_count)


def popular_top_k_accuracy(
    scores: NDArray[Any], wanted: NDArray[np.int32], *, ks: Sequence[int]
) -> dict[str, float]:
    """Return `top_<k>_accuracy` of one list for all users, from which no movie is left out.

    Args:
        scores: of each movie, [I].
        wanted: movie of each held-out rating.
        ks: list lengths.
    """
    ascending = np.sort(scores)
    # Only movies with a higher score rank above a movie, which is how top_k_accuracy counts.
    better = len(ascending) - np.searchsorted(ascending, scores[wanted], side="right")
    return {f"top_{k}_accuracy": float((better < k).mean()) for k in ks}


def popularity_baseline(
    train: Ratings,
    held_out: Ratings,
    *,
    movie_count: int,
    listed: int | None = None,
    ks: Sequence[int],
) -> Mapping[str, float]:
    """Return the metrics of the baseline: one list for all users, and the mean of each movie.

    Args:
        train: training ratings.
        held_out: held-out ratings.
        movie_count: I.
        listed: number of movies that lists may show, the first ones; None: all.
        ks: list lengths.

    Returns:
        `top_<k>_accuracy` of the movies with the most ratings and, unless the feedback is implicit,
        `rmse` of the movie means (the overall mean for a movie without ratings). Empty without
        held-out ratings of listed movies.
    """
    listed = movie_count if listed is None else listed
    wanted = held_out.movie_index[held_out.movie_index < listed]
    if not len(wanted):
        return {}
    count = np.bincount(train.movie_index, minlength=movie_count)
    found = popular_top_k_accuracy(count[:listed], wanted, ks=ks)
    if train.rating is None:
        return found
    total = np.bincount(train.movie_index, weights=train.rating, minlength=movie_count)
    overall = float(np.mean(train.rating, dtype=np.float64)) if len(train) else 0.0
    mean = np.full(movie_count, overall)
    np.divide(total, count, out=mean, where=count > 0)
    error = mean[held_out.movie_index] - held_out.stars
    return found | {"rmse": float(np.sqrt(np.mean(np.square(error))))}


def popular_lists(
    statistics: MovieStatistics,
    movies: Movies,
    *,
    thresholds: Thresholds,
    n: int,
    eligible: NDArray[np.bool_] | None = None,
) -> Iterator[PopularList]:
    """Yield both lists over all movies, then over each genre with a rated movie.

    With implicit feedback there is no highest-rated list, and most rated means most interactions.

    Args:
        statistics: rating statistics of every movie.
        movies: the catalogue.
        thresholds: thresholds of both lists.
        n: largest length of a list.
        eligible: movies that lists may show, [I]; None: all.

    Yields:
        Overall lists first, then genres in alphabetical order. Ties go to the movie with more
        ratings, then to the first one in the catalogue.
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
        if eligible is not None:
            rated &= eligible
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


class Recency(NamedTuple):
    """Periods of the lists of recent movies, in days before the newest rating."""

    trending_days: float | None  # ratings that count for the trending list; None: no such list
    new_days: float | None  # first ratings of new movies; None: no such list
    half_life_days: float  # age at which a rating counts half
    least_users: int = 3  # fewest users who rated a trending movie in the period


def recent_lists(
    ratings: Ratings,
    movies: Movies,
    recency: Recency,
    *,
    n: int,
    eligible: NDArray[np.bool_] | None = None,
) -> Iterator[PopularList]:
    """Yield the trending and the new movies, overall and of each genre that has any.

    A rating of age *a* counts 2^(-a / half-life). The trending list counts those of its period,
    of movies that enough users rated in it, so that one or two of them make no trend; the new list
    shows movies that entered the catalogue in its period, by all of their ratings.

    Args:
        ratings: one rating of each user and movie, also of movies that the catalogue lacks; without
            timestamps there are no such lists.
        movies: the catalogue.
        recency: periods and half-life.
        n: largest length of a list.
        eligible: movies that lists may show, [I]; None: all.

    Yields:
        Lists in the order of `popular_lists`; ties go to the first movie in the catalogue.
    """
    if recency.trending_days is None and recency.new_days is None:
        return  # the usual case, which weighs no ratings
    if ratings.timestamp is None or not len(ratings):
        return
    newest = int(ratings.timestamp.max())
    age = (newest - ratings.timestamp) / SECONDS_PER_DAY
    weight = np.exp2(-age / recency.half_life_days)
    listed = ratings.movie_index < len(movies)
    if eligible is not None:
        listed[listed] = eligible[ratings.movie_index[listed]]
    chosen: list[tuple[str, NDArray[np.float64]]] = []
    if recency.trending_days is not None:
        counts = listed & (age < recency.trending_days)
        users = np.bincount(ratings.movie_index[counts], minlength=len(movies))
        trend = _weighted(ratings, weight, counts, len(movies))
        chosen.append((BY_TRENDING, np.where(users >= recency.least_users, trend, 0)))
    if recency.new_days is not None:
        entered = entry_times(ratings, movies)
        is_new = newest - entered < recency.new_days * SECONDS_PER_DAY
        everything = _weighted(ratings, weight, listed, len(movies))
        chosen.append((BY_NEW, np.where(is_new, everything, 0)))
    for genre, members in ((None, np.arange(len(movies))), *_by_genre(movies)):
        for by, score in chosen:
            order = members[np.argsort(-score[members], kind="stable")]
            shown = order[score[order] > 0][:n]
            if len(shown):
                yield PopularList(by, genre, shown, score[shown])


def entry_times(ratings: Ratings, movies: Movies) -> NDArray[np.int64]:
    """Return when each movie entered the catalogue, [I] in seconds since 1970.

    It is the release or, if that is unknown, the time of the first rating; without any rating,
    long ago.
    """
    if ratings.timestamp is None:
        raise ValueError("ratings without timestamps; expected ratings with them")
    never = np.iinfo(np.int64).max
    first = np.full(len(movies), never)
    listed = ratings.movie_index < len(movies)
    np.minimum.at(first, ratings.movie_index[listed], ratings.timestamp[listed])
    first[first == never] = -(2**62)
    if movies.released is None:
        return first
    return np.where(movies.released == NO_TIME, first, movies.released)


def _weighted(
    ratings: Ratings, weight: NDArray[np.float64], rows: NDArray[np.bool_], movie_count: int
) -> NDArray[np.float64]:
    """Return the sum of the weights of some ratings of each movie, [I]."""
    score = np.bincount(ratings.movie_index[rows], weights=weight[rows], minlength=movie_count)
    return score.astype(np.float64)


def _relaxed(threshold: float, means: NDArray[np.float64], n: int) -> float:
    """Return the threshold, lowered until `n` movies, or all, are above it."""
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
