"""What the size of the data decides, as the manifest and the person are told."""

from dataclasses import replace

import numpy as np
import pytest

from handmade import random_ratings
from reco_batch.data.dataset import Ratings
from reco_batch.models.budgets import budgets, decided
from reco_batch.settings.hyperparameters import PRESETS

DEFAULT = PRESETS["default"]
USERS, MOVIES = 5, 9
SIZE = {"user_count": USERS, "movie_count": MOVIES}


def ratings_like(count):
    """As many ratings as stated of some movies, of which the last has one."""
    movie = np.minimum(np.arange(count) % MOVIES, MOVIES - 2).astype(np.int32)
    movie[-1] = MOVIES - 1
    zeros = np.zeros(count, np.int32)
    return Ratings(zeros, movie, np.ones(count, np.float32), zeros.astype(np.int64))


def test_small_data_decide_little():
    """Everything is as the parameters say, and there is nothing to tell."""
    found = decided(DEFAULT, ratings_like(900), **SIZE, rating_count=900)

    assert found == {
        "retrieval": {
            "epochs": 40,
            "batch": 128,
            "steps": 40,
            "candidates": MOVIES,
            "window": 40,
            "neighbour_movies": MOVIES - 1,
        },
        "rating": {"members": 2, "window": 40},
    }
    assert budgets(DEFAULT, found, **SIZE) == []


def test_every_budget_that_bites_is_said():
    """Each in a sentence with both figures."""
    few = replace(DEFAULT.retrieval.neighbours, most_movies=4)
    small = replace(DEFAULT.retrieval.tower, most_candidates=6)
    retrieval = replace(DEFAULT.retrieval, neighbours=few, tower=small)
    parameters = replace(DEFAULT, retrieval=retrieval)
    count = 12_000_000
    found = decided(
        parameters,
        ratings_like(count),
        user_count=200_948,
        movie_count=MOVIES,
        rating_count=count,
    )

    assert budgets(parameters, found, user_count=200_948, movie_count=MOVIES) == [
        (
            "the towers are trained for 11 epochs, not 40: "
            "200,948 users are looked at 2,400,000 times in all at most"
        ),
        (
            "a step of the towers takes 922 users, not 128: "
            "there are 2,400 steps at most, or as few as fit in memory"
        ),
        "a step of the towers looks at 6 movies, drawn anew each time, not at all 9",
        "only the 4 most rated movies have neighbours",
        "how newer ratings count is chosen by 20,000 users",
        "for neighbours movies are rated together up to 20 ratings apart, not 40",
        (
            "the rating model is its closed form alone, not the mean with 2 trained members: "
            "each would take more than 30,000 steps"
        ),
        "for the rating model movies are rated together up to 20 ratings apart, not 40",
    ]


def test_without_order_there_is_no_window():
    """Nothing is said of what plays no part."""
    ratings = random_ratings(np.random.default_rng(0), users=USERS, movies=MOVIES)
    found = decided(DEFAULT, replace(ratings, timestamp=None), **SIZE, rating_count=len(ratings))

    assert found["retrieval"]["window"] is found["rating"]["window"] is None
    assert budgets(DEFAULT, found, **SIZE) == []


@pytest.mark.parametrize("count", [10, 10_000_000])
def test_notebook_is_trained_alike_whatever_the_size(count):
    """Its parameters are all there is."""
    notebook = PRESETS["notebook"]

    found = decided(notebook, ratings_like(count), **SIZE, rating_count=count)

    assert found == {}
    assert budgets(notebook, found, **SIZE) == []
