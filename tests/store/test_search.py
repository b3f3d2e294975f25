"""Reader.search: words and beginnings of words, folded, best match first, nothing hidden."""

from __future__ import annotations

import pytest

from reco_store.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.errors import UsageError
from reco_store.hiding import hide
from reco_store.keys import search_suffix, title_words
from reco_store.lock import RunLock
from reco_store.publisher import publish
from reco_store.reader import Reader

TITLES = {
    "1": ("Toy Story (1995)", 215),
    "2": ("Toy Story 2 (1999)", 97),
    "3": ("Toys (1992)", 20),
    "4": ("Fabuleux destin d'Amélie Poulain, Le (Amélie) (2001)", 120),
    "5": ("Story of Us, The (1999)", 8),
    "6": ("Straight Story, The (1999)", 300),
}


def entries():
    """Write cards, and under each beginning the most rated movies."""
    lists: dict[str, list[str]] = {}
    for movie_id, (title, _) in sorted(TITLES.items(), key=lambda item: -item[1][1]):
        for word in title_words(title):
            for suffix in dict.fromkeys(search_suffix(word[:n]) for n in range(1, 5)):
                lists.setdefault(suffix, []).append(movie_id)
    yield "popular:most_rated", encode_list(["1"], [215], numeric_ids=True)
    for movie_id, (title, count) in TITLES.items():
        yield f"movie:{movie_id}", encode_movie(MovieRecord(title, None, (), count, None))
    for suffix, ids in lists.items():
        yield suffix, encode_ids(list(dict.fromkeys(ids)), numeric_ids=True)


@pytest.fixture
def reader(server, client, keys, make_source):
    """A reader of six titles."""
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
        ("poulain fabuleux", ["4"]),
        ("storyteller", []),
        ("zebra", []),
        ("toy zebra", []),
    ],
)
def test_words_and_beginnings(reader, text, ids):
    """All words must be there; whole words come before beginnings, then the most rated."""
    assert [movie.movie_id for movie in reader.search(text)] == ids


def test_hidden_movies_are_not_found(reader, client, keys):
    """The hide list counts here too."""
    hide(client, keys, ["1"])
    assert [movie.movie_id for movie in reader.search("toy", n=1)] == ["2"]


@pytest.mark.parametrize("text", ["", "  ", "?!", "_"])
def test_a_question_without_words(reader, text):
    """Nothing to look for is a mistake, and says so."""
    with pytest.raises(UsageError, match="expected words"):
        reader.search(text)
    with pytest.raises(UsageError, match="1 or more"):
        reader.search("toy", n=0)


def test_a_generation_without_words(server, client, keys, make_source):
    """One that an older job published has no such keys: nothing is found."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(), lock=lock)
    with Reader(server.url, keys.namespace) as opened:
        assert opened.search("toy") == ()
