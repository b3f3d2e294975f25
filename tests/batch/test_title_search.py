"""What stands under the beginning of a title's word."""

import numpy as np

from reco_batch.title_search import LENGTH, search_lists


def test_the_most_rated_are_kept():
    """A beginning that many titles have names the most rated ones, ties in catalogue order."""
    count = LENGTH + 20
    titles = [f"The {movie}" for movie in range(count)]
    counts = np.arange(count) // 2
    lists = search_lists(titles, counts)
    order = sorted(range(count), key=lambda movie: (-counts[movie], movie))
    assert lists["search:the"] == order[:LENGTH]
    assert lists["search:7"] == [movie for movie in order if str(movie).startswith("7")]


def test_a_movie_stands_once_under_a_beginning():
    """However many of its words begin alike."""
    assert search_lists(["Star Stars Stare"], np.array([1]))["search:star"] == [0]
