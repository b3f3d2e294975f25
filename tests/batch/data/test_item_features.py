"""Item features: genres and years as numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.data.dataset import Movies
from reco_batch.data.item_features import content_features


def catalogue(genres, years):
    """Return movies with the given genres and years."""
    ids = tuple(map(str, range(len(years))))
    return Movies(ids, ids, tuple(genres), tuple(years))


def test_genres_in_alphabetical_order_then_years():
    """Features are one column for each genre and each year knot, linear between knots."""
    features = content_features(catalogue([("War", "Comedy"), (), ("Comedy",)], [1930, 1933, 1938]))

    np.testing.assert_allclose(
        features,
        [
            [1, 1, 1, 0, 0],
            [0, 0, 0.25, 0.75, 0],
            [1, 0, 0, 0, 1],
        ],
    )
    assert features.dtype == np.float32


def test_what_is_not_known_is_zero():
    """A movie without genres or year has zeros, also with MovieLens's text for no genres."""
    features = content_features(
        catalogue([(), ("(no genres listed)",), ("Noir",)], [None, None, 1990])
    )

    assert not features[:2].any()
    assert features[2].any()
    none = content_features(catalogue([(), (), ("Noir",)], [None, None, 1990]))
    np.testing.assert_array_equal(features, none)


def test_a_catalogue_of_nothing_but_ids():
    """A catalogue without genres and years has features of zeros."""
    features = content_features(catalogue([(), ()], [None, None]))

    assert len(features) == 2
    assert features.shape[1] > 0
    assert not features.any()


@given(st.lists(st.none() | st.integers(1000, 9999), min_size=1, max_size=8))
def test_a_known_year_is_shares_of_two_neighbours(years):
    """The shares of a year add up to one, and their mean is the year, at least 1930."""
    features = content_features(catalogue([()] * len(years), years))

    knots = 1930 + 4 * np.arange(features.shape[1])
    for row, year in zip(features, years, strict=True):
        if year is None:
            assert not row.any()
        else:
            np.testing.assert_allclose(row.sum(), 1, rtol=1e-5)
            np.testing.assert_allclose(row @ knots, max(year, 1930), rtol=1e-5)
            assert np.ptp(np.flatnonzero(row)) <= 1
