"""Title search: words and prefixes, folded, best match first, without hidden movies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.contract.keys import loose_title_suffixes, search_suffix, title_suffixes
from reco_store.contract.titles import beginnings, fold_title, loose_forms, title_words
from reco_store.control.hide_list import hide
from reco_store.control.lock import RunLock
from reco_store.errors import UsageError
from reco_store.publishing.publisher import publish
from reco_store.read.answer_types import Movie
from reco_store.read.reader import Reader
from reco_store.read.title_match import best_matches, candidates, question_of

TITLES = {
    "1": ("Toy Story (1995)", 215),
    "2": ("Toy Story 2 (1999)", 97),
    "3": ("Toys (1992)", 20),
    "4": ("Fabuleux destin d'Amélie Poulain, Le (Amélie) (2001)", 120),
    "5": ("Story of Us, The (1999)", 8),
    "6": ("Straight Story, The (1999)", 300),
    "7": ("X-Men (2000)", 90),
    "8": ("Schindler's List (1993)", 220),
    "9": ("WALL·E (2008)", 104),
    "10": ("千と千尋の神隠し (2001)", 87),
    "11": ("300 (2007)", 80),
    "12": ("Forrest Gump (1994)", 341),
    "13": ("Spiderman Returns", 4),
    "14": ("Fast & Furious (2009)", 5),
    "15": ("Seven (a.k.a. Se7en) (1995)", 203),
    "16": ("Heat, The (2013)", 7),
}


def entries():
    """Return labels, and the most rated movies for each prefix."""
    lists: dict[str, list[str]] = {}
    for movie_id, (title, _) in sorted(TITLES.items(), key=lambda item: -item[1][1]):
        words = title_words(title)
        starts = (search_suffix(start) for word in words for start in beginnings(word))
        loose = loose_title_suffixes(title)
        for suffix in dict.fromkeys((*starts, *title_suffixes(title), *loose)):
            lists.setdefault(suffix, []).append(movie_id)
    yield "popular:most_rated", encode_list(["1"], [215], numeric_ids=True)
    for movie_id, (title, count) in TITLES.items():
        yield f"movie:{movie_id}", encode_movie(MovieRecord(title, None, (), count, None))
    for suffix, ids in lists.items():
        yield suffix, encode_ids(list(dict.fromkeys(ids)), numeric_ids=True)


@pytest.fixture
def reader(server, client, keys, make_source):
    """Return a reader of six titles."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(entries=list(entries())), lock=lock)
    with Reader(server.url, keys.namespace) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("story", ["6", "1", "2", "5"]),
        ("toy", ["1", "2", "3"]),
        ("STORY toy", ["1", "2"]),
        ("stor 1999", ["6", "2", "5"]),
        ("toy story 2", ["2", "1"][:1]),
        ("amelie", ["4"]),
        ("AMÉ", ["4"]),
        ("the straight story", ["6"]),
        ("x-men", ["7"]),
        ("xmen", ["7"]),
        ("x men", ["7"]),
        ("schindlers", ["8"]),
        ("schindler\u2019s list", ["8"]),
        ("wall-e", ["9"]),
        ("walle", ["9"]),
        ("千と千尋", ["10"]),
        ("神隠し", ["10"]),
        ("300", ["11"]),
        ("fast and furious", ["14"]),
        ("spider-man", ["13"]),
        ("returns spider-man", ["13"]),
        ("the", ["6", "5", "16"]),
        ("poulain fabuleux", ["4"]),
        ("storyteller", []),
        ("zebra", []),
        ("toy zebra", []),
    ],
)
def test_words_and_beginnings(reader, text, ids):
    """All words must match; whole words come before prefixes, then the most rated."""
    assert [movie.movie_id for movie in reader.search(text)] == ids


def test_some_of_the_words(reader):
    """With `partial` some words are enough: most words first, then the rarer ones."""
    assert reader.search("forest gump") == ()
    found = reader.search("forest gump story", partial=True)
    assert [movie.movie_id for movie in found][:2] == ["12", "6"]
    assert [m.movie_id for m in reader.search("toy zebra", partial=True)] == ["1", "2", "3"]
    assert reader.search("zebra", partial=True) == ()


@pytest.mark.parametrize(
    ("title", "ids"),
    [
        ("The Straight Story", ["6"]),
        ("straight story", ["6"]),
        ("straight story (1999)", ["6"]),
        ("straight story (2000)", []),
        ("Schindlers List", ["8"]),
        ("xmen", ["7"]),
        ("wall-e", ["9"]),
        ("amelie", ["4"]),
        ("Le Fabuleux destin d'Amélie Poulain", ["4"]),
        ("Se7en", ["15"]),
        ("千と千尋の神隠し", ["10"]),
        ("story", []),
    ],
)
def test_titles_as_people_type_them(reader, title, ids):
    """Articles, hyphens, apostrophes and alternative titles are matched loosely."""
    assert [movie.movie_id for movie in reader.find_title(title)] == ids


@pytest.mark.parametrize(
    ("title", "forms"),
    [
        ("Matrix, The (1999)", ("the matrix", "matrix")),
        ("The Matrix", ("the matrix", "matrix")),
        ("Avventura, L' (1960)", ("lavventura", "avventura")),
        ("Welle, Die (2008)", ("die welle",)),
        ("Die Hard (1988)", ("die hard",)),
        ("M*A*S*H (1970)", ("m a s h", "mash")),
        ("(1995)", ()),
        ("The", ("the",)),
    ],
)
def test_loose_forms(title, forms):
    """Loose forms of a title are with and without its article, closest form first."""
    assert loose_forms(title) == forms


@settings(max_examples=300)
@given(st.text(max_size=30))
def test_any_title_is_found_by_its_own_words(title):
    """Every title is found by its words."""
    words = title_words(title)
    assert fold_title(fold_title(title)) == fold_title(title)
    if words:
        question = question_of(title)
        movie = Movie("1", title, None, (), 0, None)
        lists = {suffix: ["1"] for suffix in question.suffixes if suffix.startswith("search:")}
        found = candidates(question, lists, 10)
        assert best_matches([movie], question, found, 10) == (movie,)


def test_hidden_movies_are_not_found(reader, client, keys):
    """Hidden movies are not found."""
    hide(client, keys, ["1"])
    assert [movie.movie_id for movie in reader.search("toy", n=1)] == ["2"]


@pytest.mark.parametrize("text", ["", "  ", "?!", "_"])
def test_a_question_without_words(reader, text):
    """A query without words is refused."""
    with pytest.raises(UsageError, match="expected words"):
        reader.search(text)
    with pytest.raises(UsageError, match="1 or more"):
        reader.search("toy", n=0)


def test_a_generation_without_words(server, client, keys, make_source):
    """A generation without search keys finds nothing."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(), lock=lock)
    with Reader(server.url, keys.namespace) as opened:
        assert opened.search("toy") == ()
