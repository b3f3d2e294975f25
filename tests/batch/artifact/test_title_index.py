"""Title index: every movie is found by its title and words."""

import numpy as np
import pytest

from reco_batch.artifact.title_index import LENGTH, search_lists, title_lists
from reco_store.contract.titles import title_words
from reco_store.read.answer_types import Movie
from reco_store.read.title_match import best_matches, candidates, question_of


def test_the_most_rated_are_kept():
    """A frequent beginning lists the most rated movies, ties in catalogue order."""
    count = LENGTH + 20
    titles = [f"The {movie}" for movie in range(count)]
    counts = np.arange(count) // 2
    lists = search_lists(titles, counts)
    order = sorted(range(count), key=lambda movie: (-counts[movie], movie))
    assert lists["search:the"] == order[:LENGTH]
    assert lists["search:7"] == [movie for movie in order if str(movie).startswith("7")]


def test_a_movie_is_listed_once_under_a_beginning():
    """A movie is found by a rare word, however frequent the beginnings of its words."""
    assert search_lists(["Star Stars Stare"], np.array([1]))["search:star"] == [0]


def test_whole_words_of_a_frequent_beginning():
    """If the list of a beginning is cut, each whole word but articles has a full list."""
    titles = [*(f"The Love Story {movie}" for movie in range(LENGTH + 20)), "Lovely Stork, A"]
    lists = search_lists(titles, np.arange(len(titles))[::-1])
    assert lists["search:=love"] == list(range(LENGTH + 20))
    assert lists["search:=stork"] == lists["search:=lovely"] == [LENGTH + 20]
    assert {"search:=the", "search:=7"}.isdisjoint(lists)


def test_a_loose_form_gives_way_to_a_title():
    """A title without its article is not listed if another movie has exactly that title."""
    lists = title_lists(["Heat (1995)", "Heat, The (2013)", "Matrix, The (1999)"])
    assert lists["title:heat"] == [0]
    assert lists["title:the heat"] == [1]
    assert lists["title:matrix"] == lists["title:matrix, the"] == [2]


@pytest.mark.parametrize("kind", ["title", "words"])
def test_every_movie_is_found_by_its_title_and_its_words(kind):
    """A movie is found by its words, however frequent they are and however rarely it is rated."""
    common = ["love", "man", "night", "story", "dark", "last", "great", "house"]
    rng = np.random.default_rng(5)
    titles = [" ".join(rng.permutation(common)[:3]).title() for _ in range(300)]
    titles = [f"{title} ({1950 + movie % 50})" for movie, title in enumerate(titles)]
    counts = np.arange(len(titles))[::-1]
    index = {**title_lists(titles), **search_lists(titles, counts)}
    assert len(index["search:=love"]) > LENGTH
    for movie, title in enumerate(titles):
        question = question_of(title if kind == "title" else " ".join(title_words(title)[::-1]))
        lists = {s: list(map(str, index[s])) for s in question.suffixes if s in index}
        likely = candidates(question, lists, 10)
        cards = [Movie(m, titles[int(m)], None, (), int(counts[int(m)]), None) for m in likely.ids]
        found = best_matches(cards, question, likely, 10)
        assert str(movie) in [m.movie_id for m in found]


def test_the_first_version_of_the_index():
    """An older artifact is published with the entries of its digest."""
    titles, counts = ["Matrix, The (1999)", "X-Men (2000)"], np.array([2, 1])
    assert set(title_lists(titles, index=1)) == {
        "title:matrix, the (1999)",
        "title:matrix, the",
        "title:x-men (2000)",
        "title:x-men",
    }
    lists = search_lists(titles, counts, index=1)
    assert list(lists)[:5] == ["search:m", "search:ma", "search:mat", "search:matr", "search:t"]
    assert "search:xmen" not in lists
    assert "search:xmen" in search_lists(titles, counts)
