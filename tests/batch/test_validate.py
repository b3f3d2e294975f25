"""What checking keeps and refuses, whatever the order of the rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_batch import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest import RawTables
from reco_batch.validate import build_dataset

MOVIES = pd.DataFrame(
    {
        c.MOVIE_ID: [str(m) for m in range(5)],
        c.TITLE: [f"Film {m}" for m in range(5)],
        c.GENRES: [""] * 5,
    }
)


def dataset_of(rows, *, timestamps=True):
    """Check ratings that are given as (user, movie, stars, second)."""
    frame = pd.DataFrame(rows, columns=[c.USER_ID, c.MOVIE_ID, c.RATING, c.TIMESTAMP])
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    for column in (c.USER_ID, c.MOVIE_ID):
        frame[column] = frame[column].astype("str").astype("category")
    if not timestamps:
        frame = frame.drop(columns=c.TIMESTAMP)
    raw = RawTables(frame, MOVIES, "ratings.csv", "movies.csv")
    return build_dataset(raw, rating_scale=(0.5, 5))


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 5), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.booleans())
def test_of_equal_pairs_the_latest_stays(rows, timestamps):
    """By time, then by place in the file; what stays keeps the order of the file."""
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


@pytest.mark.parametrize("places", [(0,), (3, 7), (9,)])
@pytest.mark.parametrize(
    ("row", "said"),
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
def test_the_first_wrong_row_is_named_wherever_it_stands(places, row, said):
    """With its line, and with how many others there are."""
    rows = [row if place in places else (1, place % 5, 4.0, place) for place in range(10)]

    with pytest.raises(DataRefused) as refused:
        dataset_of(rows)

    more = f", the first of {len(places)} such rows" if len(places) > 1 else ""
    assert refused.value.found == said + more
    assert refused.value.line == places[0] + 2


def test_ends_of_the_scale_and_of_time_are_inside():
    """The lowest and the highest rating, the first second, the last of 2099."""
    rows = [(0, 0, 0.5, 0), (0, 1, 5.0, 4_102_444_799)]

    assert np.array_equal(dataset_of(rows).ratings.rating, [0.5, 5.0])
