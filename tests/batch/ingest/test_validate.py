"""Validation: the result and the refusals do not depend on the order of the rows."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch.data import columns as c
from reco_batch.data.dataset import NO_TIME
from reco_batch.errors import DataRefused
from reco_batch.ingest.readers import RawTables
from reco_batch.ingest.validate import build_dataset

MOVIES = pd.DataFrame(
    {
        c.MOVIE_ID: [str(m) for m in range(5)],
        c.TITLE: [f"Film {m}" for m in range(5)],
        c.GENRES: [""] * 5,
    }
)


def dataset_of(rows, *, timestamps=True, movies=MOVIES, **more):
    """Validate ratings given as (user, movie, stars, second)."""
    frame = pd.DataFrame(rows, columns=[c.USER_ID, c.MOVIE_ID, c.RATING, c.TIMESTAMP])
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    for column in (c.USER_ID, c.MOVIE_ID):
        frame[column] = frame[column].astype("str").astype("category")
    if not timestamps:
        frame = frame.drop(columns=c.TIMESTAMP)
    raw = RawTables(frame, movies, "ratings.csv", "movies.csv")
    return build_dataset(raw, rating_scale=(0.5, 5), **more)


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 5), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.booleans())
def test_of_equal_pairs_the_latest_stays(rows, timestamps):
    """The latest of a repeated pair is kept, by time, then by position, in file order."""
    data = dataset_of([(u, m, float(s), t) for u, m, s, t in rows], timestamps=timestamps)

    latest = {}
    for place, (user, movie, _, second) in enumerate(rows):
        when = (second if timestamps else 0, place)
        latest[user, movie] = max(latest.get((user, movie), (-1, -1)), when)
    kept = sorted(place for _, place in latest.values())
    found = zip(
        [data.user_ids[index] for index in data.ratings.user_index],
        [data.movies.ids[index] for index in data.ratings.movie_index],
        data.ratings.rating.tolist(),
        strict=True,
    )
    assert list(found) == [(str(rows[p][0]), str(rows[p][1]), float(rows[p][2])) for p in kept]
    assert data.findings.duplicates_dropped == len(rows) - len(kept)


@settings(max_examples=20, deadline=None)
@given(ROWS)
def test_the_first_time_of_a_user_counts_repeated_rows(rows):
    """Also those of which only the latest is kept."""
    data = dataset_of([(u, m, float(s), t) for u, m, s, t in rows])

    assert data.first_time.tolist() == [
        min(second for own, _, _, second in rows if str(own) == user) for user in data.user_ids
    ]
    assert dataset_of(rows, timestamps=False).first_time is None


@pytest.mark.parametrize("places", [(0,), (3, 7), (9,)])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, 1, 5.5, 1), "rating is 5.5"),
        ((0, 1, 0.4, 1), "rating is 0.4"),
        ((0, 1, float("nan"), 1), "rating is nan"),
        ((0, 1, 4.0, -1), "timestamp is -1"),
        ((0, 1, 4.0, 4_102_444_800), "timestamp is 4102444800"),
        (("", 1, 4.0, 1), "userId is ''"),
        ((0, "", 4.0, 1), "movieId is ''"),
    ],
)
def test_first_bad_row_is_refused_with_its_line(places, row, message):
    """The first bad row is refused with its line and the number of similar rows."""
    rows = [row if place in places else (1, place % 5, 4.0, place) for place in range(10)]

    with pytest.raises(DataRefused) as refused:
        dataset_of(rows)

    more = f", the first of {len(places)} such rows" if len(places) > 1 else ""
    assert refused.value.found == message + more
    assert refused.value.line == places[0] + 2


def test_ends_of_the_scale_and_of_time_are_inside():
    """The ends of the rating scale, the first second of 1970 and the last of 2099 are valid."""
    rows = [(0, 0, 0.5, 0), (0, 1, 5.0, 4_102_444_799)]

    assert np.array_equal(dataset_of(rows).ratings.rating, [0.5, 5.0])


NOW = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
DAY = 86_400


def dated(*days):
    """Return ratings of one user, dated the given numbers of days after now."""
    return [(1, movie, 3.0, int(NOW.timestamp()) + day * DAY) for movie, day in enumerate(days)]


def test_a_date_in_the_future_is_that_of_the_newest_believed_one():
    """A future time becomes the newest valid one; times up to a day ahead are valid."""
    rows = [*dated(-5, 400, 1), *[(u, 0, 3.0, 0) for u in range(2, 12)]]

    data = dataset_of(rows, now=NOW)

    seconds = data.ratings.timestamp - int(NOW.timestamp())
    assert seconds[:3].tolist() == [-5 * DAY, DAY, DAY]
    assert (data.findings.future_ratings, data.findings.first_future_line) == (1, 3)
    assert dataset_of(rows).findings.future_ratings == 0


def test_a_repeated_rating_with_a_date_in_the_future_is_not_the_latest_for_ever():
    """A future rating gets the newest valid time, and among equal times the later row is kept."""
    newest = (1, 1, 5.0, int(NOW.timestamp()))
    ahead = (1, 1, 1.0, int(NOW.timestamp()) + 900 * DAY)
    others = [(u, 0, 3.0, 0) for u in range(2, 20)]

    data = dataset_of([ahead, newest, *others], now=NOW)

    assert data.ratings.stars[0] == 5
    assert data.findings.duplicates_dropped == 1


def test_more_dates_in_the_future_than_one_clock_explains():
    """Too many future ratings are refused with the first line, both times and a next step."""
    with pytest.raises(DataRefused) as refused:
        dataset_of(dated(-1, 30, -1, -1, -1), now=NOW)

    assert str(refused.value) == (
        "ratings.csv, line 3: timestamp 1798082100 is 2026-12-24 03:15 UTC, and this machine's "
        "clock shows 2026-11-24 03:15; 1 of 5 ratings are dated after it; expected at most 10%. "
        "Set this machine's clock, or write times as seconds since 1970, UTC."
    )


def test_movies_without_a_row_stand_last():
    """Unlisted movies are last, and their share of the ratings is limited."""
    rows = [(1, movie, 3.0, 0) for movie in (7, 0, 1, 2, 3, 8)]

    data = dataset_of(rows, max_unknown_ratings=2 / 6)

    assert data.movies.ids == ("0", "1", "2", "3", "4", "7", "8")
    assert (data.movies.listed, data.movies.unlisted) == (5, 2)
    assert data.movies.catalogue.ids == ("0", "1", "2", "3", "4")
    assert data.movies.catalogue.unlisted == 0
    with pytest.raises(DataRefused, match=r"at most 30%\. .* raise --max-unknown-ratings"):
        dataset_of(rows, max_unknown_ratings=0.3)


def test_further_columns_become_release_availability_and_attributes():
    """Missing values stay missing, unlisted movies have none, and the catalogue keeps the rest."""
    table = MOVIES.assign(
        released=pd.array([0, None, 86_400, 5, 6], "Int64"),
        available=[True, False, True, True, False],
        brand=["acme", "acme", None, None, "b"],
        price=[1, 2.5, None, 4, 5],
    )
    rows = [(0, 0, 4.0, 1), (1, 9, 4.0, 1)]
    movies = dataset_of(rows, movies=table, max_unknown_ratings=1).movies

    assert movies.unlisted == 1
    assert movies.released.tolist() == [0, NO_TIME, 86_400, 5, 6, NO_TIME]
    assert movies.available.tolist() == [True, False, True, True, False, False]
    assert movies.attributes["brand"] == ("acme", "acme", None, None, "b", None)
    np.testing.assert_array_equal(
        movies.attributes["price"], [1, 2.5, np.nan, 4, 5, np.nan], strict=True
    )
    listed = movies.catalogue
    assert len(listed.released) == len(listed.available) == len(listed.attributes["brand"]) == 5
