"""Filters at query time: genre, years, the set of available movies, the hide list, the chain.

With the blocking reader on every server; that both readers drive the same requests is tested in
test_reader.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.control.hide_list import hidden, hide, unhide
from reco_store.control.lock import RunLock
from reco_store.errors import ContractMismatch, UsageError
from reco_store.publishing.publisher import publish
from reco_store.read.reader import Reader
from reco_store.read.requests import Requests
from round_trips import steps

GENRES = ("Comedy", "Drama", "War")


def catalogue(rng: random.Random, movies: int = 40) -> dict[str, MovieRecord]:
    """Return movies of up to two genres, some without a year."""
    return {
        str(movie): MovieRecord(
            f"Film {movie}",
            rng.choice([None, *range(1990, 2000)]),
            tuple(rng.sample(GENRES, rng.randint(0, 2))),
            rng.randint(0, 300),
            None,
        )
        for movie in range(1, movies + 1)
    }


MOVIES = catalogue(random.Random(7))
ORDER = random.Random(8).sample(sorted(MOVIES), len(MOVIES))
OWN, SEEN = ORDER[:15], ORDER[15:20]
POPULAR = sorted(MOVIES, key=lambda movie: -MOVIES[movie].rating_count)


def popular(genre: str | None = None, length: int = 20) -> list[str]:
    """Return a popular list, which is shorter than the catalogue."""
    return [m for m in POPULAR if genre is None or genre in MOVIES[m].genres][:length]


def rows(movies: list[str]) -> bytes:
    """Encode a list whose scores are rating counts."""
    return encode_list(movies, [MOVIES[m].rating_count for m in movies], numeric_ids=True)


ENTRIES = [
    ("user:1", rows(OWN)),
    ("ranked:1", rows(OWN[::-1])),
    ("similar:1", rows(OWN)),
    *((f"next:{movie}", rows([m for m in POPULAR if m != movie])) for movie in OWN[:2]),
    ("seen:1", encode_ids(SEEN, numeric_ids=True)),
    ("popular:most_rated", rows(popular())),
    ("popular:highest_rated", rows(popular()[::-1])),
    *((f"popular:most_rated:genre:{genre}", rows(popular(genre, 12))) for genre in GENRES),
    *((f"movie:{movie_id}", encode_movie(movie)) for movie_id, movie in MOVIES.items()),
]


@pytest.fixture
def reader(server, client, keys, make_source):
    """Return a reader of a generation of forty movies."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(entries=ENTRIES), lock=lock)
    with Reader(server.url, keys.namespace) as opened:
        yield opened


def shown(answer) -> list[tuple[str, str]]:
    """Return the movie ids and sources of an answer."""
    return [(item.movie_id, item.source) for item in answer.items]


def expected(admits, *, n: int, genres=(), own=OWN, seen=SEEN) -> list[tuple[str, str]]:
    """Return the answer by definition, implemented differently from the reader."""
    chain = [(movie, "personal") for movie in own]
    of_genres = {movie for genre in genres for movie in popular(genre, 12)} - set(seen)
    chain += [(m, "most_rated_in_genre") for m in POPULAR if m in of_genres]
    chain += [(m, "most_rated") for m in popular() if m not in seen]
    first: dict[str, str] = {}
    for movie, source in chain:
        if admits(movie):
            first.setdefault(movie, source)
    return list(first.items())[:n]


def sorted_ties(pairs):
    """Sort movies of equal counts, whose order popular lists leave open."""
    return [(source, MOVIES[movie].rating_count) for movie, source in pairs]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    n=st.integers(1, 45),
    genres=st.lists(st.sampled_from([*GENRES, "No such"]), unique=True),
    years=st.tuples(st.integers(1988, 1995), st.integers(1995, 2001)) | st.just((None, None)),
    out=st.sets(st.sampled_from(sorted(MOVIES)), max_size=10),
    away=st.sets(st.sampled_from(sorted(MOVIES)), max_size=10),
    there=st.none() | st.sets(st.sampled_from(sorted(MOVIES)), min_size=1, max_size=30),
)
def test_every_filter_at_once(reader, client, keys, n, genres, years, out, away, there):
    """For all filters the answer equals its definition, with sources."""
    client.delete(keys.hidden, keys.available())
    if away:
        client.sadd(keys.hidden, *away)
    if there:
        client.sadd(keys.available(), *there)

    def admits(movie: str) -> bool:
        record = MOVIES[movie]
        low, high = years
        return (
            movie not in out | away
            and (not there or movie in there)
            and (not genres or bool(set(genres) & set(record.genres)))
            and (low is None or (record.year is not None and low <= record.year <= high))
        )

    answer = reader.user(
        "1", n=n, genres=genres, year_from=years[0], year_to=years[1], exclude=out, available=True
    )
    wanted = expected(admits, n=n, genres=genres)
    assert sorted_ties(shown(answer)) == sorted_ties(wanted)
    assert {movie for movie, source in shown(answer) if source == "personal"} == {
        movie for movie, source in wanted if source == "personal"
    }
    assert all(admits(item.movie_id) and item.movie_id not in SEEN for item in answer.items)
    assert len({item.movie_id for item in answer.items}) == len(answer.items)


@pytest.mark.parametrize("verb", ["ranked", "similar"])
def test_other_lists_take_the_same_filters(reader, verb):
    """Ranked and similar lists are filtered and filled; similar lists depend on no user."""
    answer = getattr(reader, verb)("1", n=40, genres=["War"])
    own = OWN[::-1] if verb == "ranked" else [m for m in OWN if m != "1"]
    war = [movie for movie in own if "War" in MOVIES[movie].genres]
    assert [m for m, source in shown(answer) if source == verb] == war
    rest = {m for m, source in shown(answer) if source != verb}
    seen = set(SEEN) if verb == "ranked" else {"1"}
    assert rest == set(popular("War", 12)) - set(war) - seen
    assert {source for _, source in shown(answer)} == {verb, "most_rated_in_genre"}


def test_popular_lists_are_filtered_and_not_filled(reader):
    """The popular list of a genre is filtered by year."""
    answer = reader.popular("most_rated", "Drama", n=40, year_from=1995)
    assert [movie for movie, _ in shown(answer)] == [
        m for m in popular("Drama", 12) if MOVIES[m].year and MOVIES[m].year >= 1995
    ]


def test_nothing_passes(reader):
    """A filter that no movie passes gives an empty answer."""
    assert reader.user("1", year_from=2050).items == ()
    assert reader.user("unknown", genres=["No such"]).items == ()


def test_seen_movies_do_not_come_back(reader):
    """Rated movies are left out of answers of any length."""
    everything = reader.user("1", n=1000, year_from=1900)
    assert not {item.movie_id for item in everything.items} & set(SEEN)


def test_set_that_does_not_exist_restricts_nothing(reader, client, keys):
    """Without a set of available movies all are shown; a named set is used."""
    unfiltered = shown(reader.user("1", n=5))
    assert shown(reader.user("1", n=5, available=True)) == unfiltered
    client.sadd(keys.available("de"), OWN[3], "not in the catalogue")
    assert shown(reader.user("1", n=5, available="de")) == [(OWN[3], "personal")]
    assert shown(reader.user("1", n=5, available="fr")) == unfiltered


def test_hide_list_acts_at_once(reader, client, keys):
    """A warm reader shows no hidden movie, from the next request on, in no list."""
    before = shown(reader.user("1", n=3))
    assert before == [(movie, "personal") for movie in OWN[:3]]
    assert hide(client, keys, OWN[:2]) == 2
    for _ in range(2):
        assert shown(reader.user("1", n=3)) == [(movie, "personal") for movie in OWN[2:5]]
    assert not {m for m, _ in shown(reader.popular(n=40))} & set(OWN[:2])
    assert not {m for m, _ in shown(reader.similar("40", n=40))} & set(OWN[:2])
    assert hidden(client, keys) == tuple(sorted(OWN[:2]))
    assert reader.status().hidden == 2
    assert unhide(client, keys, [OWN[0], "77"]) == 1
    assert shown(reader.user("1", n=1)) == before[:1]


def test_hidden_movies_are_made_up_for(reader, client, keys):
    """Answers have n movies as long as enough are not hidden."""
    hide(client, keys, OWN)
    answer = reader.user("1", n=10)
    assert len(answer.items) == 10
    assert {item.source for item in answer.items} == {"most_rated"}


def test_round_trips(client, keys, reader):
    """A warm filtered answer takes one round trip, or two with a set or new labels."""
    requests = Requests(keys)
    assert steps(client, requests.user("1", n=1)) == 3  # pointer, list and manifest, label
    assert steps(client, requests.user("1", n=9, genres=["War"])) == 2
    assert steps(client, requests.user("1", n=9, genres=["War"])) == 1
    client.sadd(keys.available(), *MOVIES)
    assert steps(client, requests.user("1", n=9, genres=["War"], available=True)) == 2
    hide(client, keys, ["1"])
    assert steps(client, requests.user("1", n=9)) == 3  # finds that something is hidden
    assert steps(client, requests.user("1", n=9)) == 2
    assert steps(client, requests.user("unknown", n=9, genres=["War"])) == 2
    assert steps(client, requests.user("1", n=40)) == 2


def test_cold_start_answer_takes_two_round_trips(client, keys, reader):
    """A cold-start answer takes two round trips, three for a new reader."""
    requests, ratings = Requests(keys), dict.fromkeys(OWN[:2], 4.0)
    assert steps(client, requests.for_ratings(ratings, n=3)) == 3
    assert steps(client, requests.for_ratings(ratings, n=3)) == 1
    assert steps(client, requests.for_ratings(ratings, n=9, genres=["War"])) == 1
    client.sadd(keys.available(), *MOVIES)
    assert steps(client, requests.for_ratings(ratings, n=3, available=True)) == 2
    unknown = dict.fromkeys([*OWN[:2], "nothing"], 4.0)
    assert (
        steps(client, requests.for_ratings(unknown, n=3)) == 2
    )  # makes sure that there is no list


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"genres": "Comedy"}, r"genres 'Comedy': expected several"),
        ({"exclude": "12"}, r"exclude '12': expected several"),
        ({"year_from": 2000, "year_to": 1990}, "the earlier one first"),
        ({"available": "a b"}, "expected the name of a set"),
        ({"available": ""}, "expected the name of a set"),
    ],
)
def test_choices_that_cannot_be(reader, choice, message):
    """Invalid or ambiguous filters are refused with the expected form."""
    with pytest.raises(UsageError, match=message):
        reader.user("1", **choice)


def test_hide_list_of_another_type(reader, client, keys):
    """A hide list with the wrong type of key is an error that contains the key."""
    client.set(keys.hidden, "1")
    with pytest.raises(ContractMismatch, match="another type"):
        reader.user("1")


@pytest.mark.parametrize("movies", [[], [""], ["1", ""]])
def test_hiding_nothing_is_refused(client, keys, movies):
    """An empty id cannot be hidden."""
    for change in (hide, unhide):
        with pytest.raises(UsageError, match="one id or more"):
            change(client, keys, movies)
