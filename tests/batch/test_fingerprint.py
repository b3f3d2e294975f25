"""What two nights must have in common to give the same bytes."""

import dataclasses

import numpy as np
import pytest

from reco_batch.dataset import Ratings
from reco_batch.fingerprint import differences, fingerprint

PARAMETERS = {"seed": 42, "keep": 3, "rating_scale": (0.5, 5), "models": {"rating": {"epochs": 4}}}


@pytest.fixture
def made_of(dataset):
    """Take the fingerprint of a night, with what is changed in it."""

    def make(*, parameters=PARAMETERS, dataset=dataset, threads=2):
        return fingerprint(parameters, dataset, threads=threads)

    return make


def test_the_same_night_has_the_same_fingerprint(made_of):
    """And what only says where things go, or how many stay, is no part of it."""
    assert differences(made_of(), made_of()) == []
    assert differences(made_of(), made_of(parameters={**PARAMETERS, "keep": 9})) == []


def test_each_difference_is_named(made_of):
    """With what was, and what is."""
    other = {**PARAMETERS, "seed": 43, "models": {"rating": {"epochs": 5}}, "new": True}

    assert differences(made_of(), made_of(parameters=other, threads=3)) == [
        "seed was 42, is 43",
        "models.rating.epochs was 4, is 5",
        "threads was 2, is 3",
        "new was None, is True",
    ]


def changed(ratings, column, index, value):
    """Change one value of a column."""
    columns = {name: getattr(ratings, name) for name in Ratings._fields}
    columns[column] = columns[column].copy()
    columns[column][index] = value
    return Ratings(**columns)


def test_any_change_of_the_data_shows(made_of, dataset):
    """One rating, one time, one title, one order."""
    ratings, movies = dataset.ratings, dataset.movies
    others = [
        changed(ratings, "rating", 7, 0.75),
        changed(ratings, "timestamp", -1, 0),
        Ratings(ratings.user_index, ratings.movie_index, ratings.rating, None),
        ratings.take(np.roll(np.arange(len(ratings)), 1)),
    ]
    titled = dataclasses.replace(movies, titles=("Other", *movies.titles[1:]))
    nights = [
        *(made_of(dataset=dataclasses.replace(dataset, ratings=other)) for other in others),
        made_of(dataset=dataclasses.replace(dataset, movies=titled)),
    ]

    assert [differences(made_of(), night) for night in nights] == [["other ratings or movies"]] * 5
