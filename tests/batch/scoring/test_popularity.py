"""Popular lists: movies above the thresholds come first, and lists are full."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.data import columns as c
from reco_batch.data.dataset import NO_TIME, Dataset, Movies, Ratings
from reco_batch.scoring.popularity import (
    MovieStatistics,
    PopularList,
    Recency,
    Thresholds,
    entry_times,
    movie_statistics,
    popular_lists,
    popularity_baseline,
    recent_counts,
    recent_lists,
    thresholds_of,
)
from reco_store.contract.keys import BY_HIGHEST_RATED, BY_MOST_RATED

NO_LIMITS = Thresholds(0, -np.inf)


def movies_of(*genres):
    """Make a catalogue of movies with the given genres."""
    ids = tuple(str(m) for m in range(len(genres)))
    return Movies(ids, ids, genres, tuple(None for _ in ids))


def statistics_of(*pairs):
    """Make statistics from (count, mean) pairs."""
    return MovieStatistics(
        np.array([count for count, _ in pairs]), np.array([mean for _, mean in pairs], float)
    )


def lists_of(pairs, *, genres=None, count=0, rating=-np.inf, n=100):
    """Return all lists by (by, genre) as movie indices."""
    movies = movies_of(*(genres or [()] * len(pairs)))
    thresholds = Thresholds(count, rating)
    found = popular_lists(statistics_of(*pairs), movies, thresholds=thresholds, n=n)
    return {(p.by, p.genre): p.movie_index.tolist() for p in found}


def test_statistics_of_each_movie():
    """A movie's ratings are counted and averaged; without any there is no mean."""
    ratings = Ratings(
        np.zeros(4, np.int32),
        np.array([0, 2, 2, 2], np.int32),
        np.array([5, 1, 2, 4.5], np.float32),
        None,
    )

    statistics = movie_statistics(ratings, movie_count=4)

    assert statistics.rating_count.tolist() == [1, 0, 3, 0]
    np.testing.assert_array_equal(statistics.rating_mean, [5, np.nan, 2.5, np.nan])


def test_movies_with_more_ratings_than_the_threshold_are_highest_rated():
    """Movies need more ratings than the threshold to be in the first tier."""
    found = lists_of([(50, 5.0), (51, 3.0), (52, 4.0)], count=50)

    assert found[BY_HIGHEST_RATED, None] == [2, 1, 0]


def test_movies_with_a_mean_above_the_threshold_are_most_rated():
    """A mean of exactly the threshold is not above it."""
    pairs = [(900, 3.5), (10, 3.501), (20, 4.0)]

    assert lists_of(pairs, rating=3.5, n=2)[BY_MOST_RATED, None] == [2, 1]
    assert lists_of(pairs, rating=3.5, n=3)[BY_MOST_RATED, None] == [0, 2, 1]


def test_the_threshold_of_stars_falls_no_further_than_it_must():
    """The threshold of the mean falls in tenths until the list is full."""
    pairs = [(9, 4.0), (50, 3.1), (60, 2.4), (99, 1.0)]

    assert lists_of(pairs, rating=3.5, n=1)[BY_MOST_RATED, None] == [0]
    assert lists_of(pairs, rating=3.5, n=2)[BY_MOST_RATED, None] == [1, 0]
    assert lists_of(pairs, rating=3.5, n=3)[BY_MOST_RATED, None] == [2, 1, 0]
    assert lists_of(pairs, rating=3.5, n=4)[BY_MOST_RATED, None] == [3, 2, 1, 0]


def test_each_popularity_list_uses_its_own_threshold():
    """Most rated uses the threshold of the mean only, highest rated that of the count only."""
    found = lists_of([(1, 5.0), (900, 1.0)], count=50, rating=3.5, n=1)

    assert found[BY_MOST_RATED, None] == [0]
    assert found[BY_HIGHEST_RATED, None] == [1]


@pytest.mark.parametrize(
    ("counts", "shown"),
    [((3, 7), [1, 0]), ((6, 7), [1, 0]), ((4, 6), [0, 1]), ((3, 2), [0, 1]), ((1, 1), [0, 1])],
)
def test_fewer_ratings_than_half_the_threshold_come_later(counts, shown):
    """Within a tier (50, 25, 12, 6, 3, 1, 0 ratings) the mean decides."""
    means = (4.0, 3.5)
    found = lists_of(list(zip(counts, means, strict=True)), count=50)

    assert found[BY_HIGHEST_RATED, None] == shown


def test_lists_are_full():
    """Lists have n movies, or all rated movies."""
    pairs = [(51, 3.0), *[(40, 2.0)] * 20, *[(1, 5.0)] * 30, (0, np.nan)]

    found = lists_of(pairs, count=50, rating=3.5, n=40)

    assert found[BY_HIGHEST_RATED, None] == list(range(40))
    assert found[BY_MOST_RATED, None] == [0, *range(1, 21), *range(21, 40)]


@pytest.mark.parametrize(
    ("scale", "stars", "mean"),
    [
        ((0.5, 5), [4, 4, 5], 3.5),
        ((0.5, 5), [3, 3, 3.6], 3.2 - 0.225),
        ((0, 1), [1, 1, 1, 0], 2 / 3),
        ((0, 1), [1, 0, 0, 0], 0.2),
        ((1, 10), [8, 9], 7),
        ((-10, 10), [-4, 8], 1),
        ((0, 1), None, 2 / 3),
    ],
)
def test_where_the_threshold_of_stars_is(scale, stars, mean):
    """The default threshold is two thirds of the scale, or a little below a lower mean."""
    count = 3 if stars is None else len(stars)
    ratings = Ratings(
        *(np.zeros(count, np.int32),) * 2,
        None if stars is None else np.array(stars, np.float32),
        None,
    )
    dataset = Dataset(("1",), movies_of(()), ratings, scale)

    found = thresholds_of(dataset, 50, None)

    assert found == Thresholds(50, pytest.approx(mean))
    assert thresholds_of(dataset, 50, 1.5) == Thresholds(50, 1.5)


def test_negative_scale():
    """If all means are below the threshold, the counts decide."""
    found = lists_of([(9, -3.0), (8, -1.0)], rating=-0.5)

    assert found[BY_MOST_RATED, None] == [0, 1]


def test_genre_has_a_threshold_of_its_own():
    """The lowered threshold of a small genre does not affect other genres."""
    pairs = [(100, 4.0), (60, 4.5), (10, 5.0)]
    found = lists_of(pairs, genres=[("War",), ("War", "Drama"), ("Noir",)], count=50)

    assert found[BY_HIGHEST_RATED, None] == [1, 0, 2]
    assert found[BY_HIGHEST_RATED, "War"] == [1, 0]
    assert found[BY_HIGHEST_RATED, "Drama"] == [1]
    assert found[BY_HIGHEST_RATED, "Noir"] == [2]


def test_order_of_the_lists():
    """Overall lists come first, then genres by name; most rated before highest rated."""
    found = lists_of([(1, 1.0)] * 2, genres=[("War",), ("Drama",)])

    assert list(found) == [
        (by, genre) for genre in (None, "Drama", "War") for by in (BY_MOST_RATED, BY_HIGHEST_RATED)
    ]


def test_movies_and_genres_without_ratings_are_left_out():
    """Movies without ratings are in no list, and a genre of such movies has no list."""
    found = lists_of([(0, np.nan), (2, 3.0)], genres=[("Noir",), ("War",)])

    assert found[BY_MOST_RATED, None] == [1]
    assert (BY_MOST_RATED, "Noir") not in found


def test_no_ratings_at_all():
    """Without a single rating there is nothing to list."""
    assert lists_of([(0, np.nan)]) == {}


def test_ties():
    """Equal means go to the movie with more ratings, then to the first in the catalogue."""
    pairs = [(5, 4.0), (5, 4.0), (9, 4.0), (5, 4.5)]

    found = lists_of(pairs)

    assert found[BY_HIGHEST_RATED, None] == [3, 2, 0, 1]
    assert found[BY_MOST_RATED, None] == [2, 0, 1, 3]


def test_scores_are_what_the_list_is_sorted_by():
    """Scores are the number of ratings in one list and the mean in the other."""
    most, highest = popular_lists(
        statistics_of((3, 4.5), (7, 4.0)), movies_of((), ()), thresholds=NO_LIMITS, n=100
    )

    assert most.score.tolist() == [7, 3]
    assert highest.score.tolist() == [4.5, 4.0]
    assert isinstance(most, PopularList)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 6), st.floats(0, 5), st.integers(1, 12))
def test_overall_lists_are_the_notebooks(seed, count, rating, n):
    """With enough movies above the thresholds, the lists equal those of the notebook."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            c.MOVIE_ID: rng.integers(0, 15, 60),
            c.RATING: (rng.integers(1, 11, 60) / 2).astype(np.float32),
        }
    )
    stats = frame.groupby(c.MOVIE_ID)[c.RATING].agg(["count", "mean"])
    ratings = Ratings(
        np.zeros(60, np.int32),
        frame[c.MOVIE_ID].to_numpy(np.int32),
        frame[c.RATING].to_numpy(),
        None,
    )

    most, highest = popular_lists(
        movie_statistics(ratings, movie_count=15),
        movies_of(*[()] * 15),
        thresholds=Thresholds(count, rating),
        n=n,
    )

    liked = stats[stats["mean"] > rating]["count"].nlargest(n)
    known = stats[stats["count"] > count]["mean"].nlargest(n)
    if len(liked) == min(n, len(stats)):
        assert most.score.tolist() == liked.tolist()
    np.testing.assert_allclose(highest.score[: len(known)], known, rtol=1e-6)
    assert len(most.movie_index) == len(highest.movie_index) == min(n, len(stats))


def test_popularity_baseline_is_what_counting_gives():
    """The baseline equals counts and means computed on the held-out part."""
    rng = np.random.default_rng(4)
    movies = rng.integers(0, 12, 300).astype(np.int32) ** 2 // 12
    stars = rng.integers(1, 11, 300).astype(np.float32) / 2
    ratings = Ratings(np.zeros(300, np.int32), movies, stars, None)
    train, held_out = ratings.take(np.arange(250)), ratings.take(np.arange(250, 300))

    baseline = popularity_baseline(train, held_out, movie_count=14, ks=(1, 3))

    count = [int((train.movie_index == movie).sum()) for movie in range(14)]
    above = [sum(other > count[movie] for other in count) for movie in held_out.movie_index]
    overall = train.rating.mean()
    means = [
        train.rating[train.movie_index == m].mean() if count[m] else overall
        for m in held_out.movie_index
    ]
    assert baseline == {
        "top_1_accuracy": np.mean([place < 1 for place in above]),
        "top_3_accuracy": np.mean([place < 3 for place in above]),
        "rmse": pytest.approx(np.sqrt(np.mean((np.array(means) - held_out.rating) ** 2))),
    }
    assert 0 < baseline["top_1_accuracy"] < baseline["top_3_accuracy"] < 1


def dated(movie_index, timestamp):
    """Return implicit ratings with times."""
    movies = np.array(movie_index, np.int32)
    return Ratings(np.zeros_like(movies), movies, None, np.array(timestamp, np.int64))


def test_recent_counts_are_of_the_last_days_before_the_newest():
    """The period ends with the newest rating, whatever the date; its beginning is outside."""
    day = 86_400
    ratings = dated([0, 1, 1, 2, 3], [0, day, day + 1, 3 * day, 8 * day])

    assert recent_counts(ratings, movie_count=5, days=7).tolist() == [0, 1, 1, 1, 0]
    assert recent_counts(ratings, movie_count=5, days=1).tolist() == [0, 0, 0, 1, 0]
    assert recent_counts(ratings, movie_count=5, days=30).tolist() == [1, 2, 1, 1, 0]


def test_recent_counts_without_ratings_or_times():
    """No ratings are zeros; ratings without times have no recent ones."""
    assert recent_counts(dated([], []), movie_count=2, days=7).tolist() == [0, 0]
    with pytest.raises(ValueError, match="expected ratings with"):
        recent_counts(without_stars([0]), movie_count=2, days=7)


def test_popularity_without_held_out_ratings():
    """The baseline is empty without held-out ratings."""
    ratings = Ratings(*(np.zeros(3, kind) for kind in (np.int32, np.int32, np.float32)), None)

    assert popularity_baseline(ratings, ratings.take(np.arange(0)), movie_count=1, ks=(1,)) == {}


def test_popularity_where_no_list_may_show_a_held_out_movie():
    """The baseline is empty if no held-out movie may be listed."""
    train, held_out = without_stars([0, 1]), without_stars([2, 2])

    for listed in (0, 2):
        assert popularity_baseline(train, held_out, movie_count=3, listed=listed, ks=(1,)) == {}


def without_stars(movie_index):
    """Return interactions of one user."""
    count = len(movie_index)
    return Ratings(np.zeros(count, np.int32), np.array(movie_index, np.int32), None, None)


def test_without_stars_the_most_chosen_are_popular():
    """With implicit feedback most rated counts interactions, and nothing is highest rated."""
    statistics = movie_statistics(without_stars([2, 2, 0, 2, 0, 1]), movie_count=4)

    lists = popular_lists(
        statistics, movies_of(*[("Shoes",)] * 4), thresholds=Thresholds(50, 3.5), n=2
    )

    found = {(popular.by, popular.genre): popular for popular in lists}
    assert set(found) == {(BY_MOST_RATED, None), (BY_MOST_RATED, "Shoes")}
    for popular in found.values():
        assert popular.movie_index.tolist() == [2, 0]
        assert popular.score.tolist() == [3, 2]
    assert np.isnan(statistics.rating_mean).all()


def test_the_baseline_without_stars_is_of_lists_only():
    """With implicit feedback the baseline has no RMSE."""
    found = popularity_baseline(
        without_stars([2, 2, 0]), without_stars([2, 1]), movie_count=3, ks=(1, 2)
    )

    assert found == {"top_1_accuracy": 0.5, "top_2_accuracy": 0.5}


DAY = 86_400
NEWEST = 1_700_000_000
GENRES = (("Comedy",), ("Drama", "Comedy"), (), ("War",), ("Drama",))


def rated(*pairs):
    """Make ratings from (movie, age in days) pairs; a movie beyond the catalogue is unlisted."""
    movies, ages = zip(*pairs, strict=True)
    times = NEWEST - np.round(np.array(ages) * DAY).astype(np.int64)
    return Ratings(np.arange(len(pairs), dtype=np.int32), np.int32(movies), None, times)


def recent(ratings, *, trending=None, new=None, half_life=7.0, n=10, users=1):
    """Return the lists of recent movies as {(by, genre): {movie: score}}, in order."""
    recency = Recency(trending, new, half_life, users)
    found = recent_lists(ratings, movies_of(*GENRES), recency, n=n)
    return {
        (p.by, p.genre): dict(zip(p.movie_index.tolist(), p.score.tolist(), strict=True))
        for p in found
    }


def test_ratings_of_the_period_count_by_their_age():
    """Half after a half-life, none at the end of the period; ties go to the catalogue's order."""
    ratings = rated((1, 0), (0, 7), (0, 7), (2, 14), (2, 29.5), (3, 30), (9, 0))
    assert recent(ratings, trending=30) == {
        ("trending", None): {0: 1, 1: 1, 2: pytest.approx(0.25 + 2 ** (-29.5 / 7))},
        ("trending", "Comedy"): {0: 1, 1: 1},
        ("trending", "Drama"): {1: 1},
    }


def test_a_trend_needs_three_users_in_the_period():
    """Fewer make no list, however recent they are; new movies need one."""
    ratings = rated((0, 0), (0, 0), (0, 31), (1, 20), (1, 21), (1, 29), (3, 0))
    movies, recency = movies_of(*GENRES), Recency(30, 30, 7.0)

    found = [
        (p.by, p.genre, p.movie_index.tolist()) for p in recent_lists(ratings, movies, recency, n=9)
    ]

    assert found[:2] == [("trending", None, [1]), ("new", None, [3, 1])]
    assert ("trending", "War") not in [one[:2] for one in found]
    assert not list(recent_lists(rated((0, 0), (1, 0)), movies, Recency(30, None, 7.0), n=9))


def test_time_is_that_of_the_newest_rating():
    """Also if the newest rating is of a movie that no list shows; the clock has no influence."""
    ratings = rated((1, 0), (0, 20))
    assert list(recent(ratings, trending=10)["trending", None]) == [1]
    newest = Ratings(
        np.int32([0, 1, 2]), np.int32([1, 0, 9]), None, np.append(ratings.timestamp, NEWEST + DAY)
    )
    assert recent(newest, trending=10)["trending", None] == {1: pytest.approx(2 ** (-1 / 7))}


def test_new_movies_are_those_first_rated_in_the_period():
    """An older movie is left out whatever its recent ratings; all ratings of a new one count."""
    ratings = rated((0, 0), (0, 0), (0, 100), (1, 9), (3, 2), (3, 9.5), (4, 10))
    found = recent(ratings, new=10, half_life=2)
    assert found == {
        ("new", None): {3: pytest.approx(0.5 + 2**-4.75), 1: pytest.approx(2**-4.5)},
        ("new", "Comedy"): {1: pytest.approx(2**-4.5)},
        ("new", "Drama"): {1: pytest.approx(2**-4.5)},
        ("new", "War"): {3: pytest.approx(0.5 + 2**-4.75)},
    }


def test_lists_are_cut_and_off_by_default():
    """No list is longer than n; without periods or times there is none."""
    ratings = rated((0, 0), (1, 0), (2, 0))
    assert list(recent(ratings, trending=1, n=2)["trending", None]) == [0, 1]
    assert recent(ratings) == {}
    untimed = Ratings(ratings.user_index, ratings.movie_index, None, None)
    assert recent(untimed, trending=1, new=1) == {}
    with pytest.raises(ValueError, match="without timestamps"):
        entry_times(untimed, movies_of(*GENRES))


def test_a_release_takes_the_place_of_the_first_rating():
    """A movie whose release is unknown is new by its first rating."""
    movies = movies_of(*GENRES)
    released = np.full(len(movies), NO_TIME)
    released[:2] = NEWEST - np.array([3, 50]) * DAY
    movies = replace(movies, released=released)
    ratings = rated((0, 100), (1, 1), (2, 1), (3, 60))

    found = list(recent_lists(ratings, movies, Recency(None, 10, 7.0), n=10))

    assert sorted(found[0].movie_index) == [0, 2]


def test_recent_lists_have_eligible_movies_only():
    """The newest rating of a movie that is not eligible still dates the others."""
    eligible = np.array([False, True, True, True, True])
    ratings = rated((0, 0), (1, 8), (2, 12))

    found = list(
        recent_lists(
            ratings, movies_of(*GENRES), Recency(10, None, 7.0, 1), n=10, eligible=eligible
        )
    )

    assert found[0].movie_index.tolist() == [1]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 90)), min_size=1, max_size=60))
@settings(max_examples=50)
def test_scores_equal_those_of_a_loop(pairs):
    """Each list contains exactly the movies with a positive score, best first."""
    ratings = rated(*pairs)
    found = recent(ratings, trending=30, new=20, users=2)
    newest = min(age for _, age in pairs)
    ages = {m: [age - newest for movie, age in pairs if movie == m] for m in range(5)}
    late = {m: [a for a in own if a < 30] for m, own in ages.items()}
    trending = {m: sum(2 ** (-a / 7) for a in own) for m, own in late.items() if len(own) > 1}
    new = {
        m: sum(2 ** (-a / 7) for a in own) for m, own in ages.items() if max(own, default=99) < 20
    }
    for by, scores in (("trending", trending), ("new", new)):
        for genre in (None, "Comedy", "Drama", "War"):
            wanted = {
                m: score
                for m, score in scores.items()
                if score and (genre is None or genre in GENRES[m])
            }
            shown = found.get((by, genre), {})
            assert shown == pytest.approx(wanted)
            assert list(shown.values()) == sorted(shown.values(), reverse=True)
