"""Cold start: lists for new users, combined from the lists of the movies that they rated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_store.contract.codec import MovieRecord, encode_list, encode_movie
from reco_store.control.hide_list import hide
from reco_store.control.lock import RunLock
from reco_store.errors import UsageError
from reco_store.publishing.publisher import publish
from reco_store.read.answer_types import Reason
from reco_store.read.cold_start import blended, star_weights, votes_of
from reco_store.read.reader import Reader

COUNTS = {"1": 50, "2": 50, "3": 50, "4": 50, "5": 50, "6": 400, "7": 10}
ENTRIES = [
    ("next:1", encode_list(["3", "4", "2"], [2.5, 1.5, -0.5], numeric_ids=True)),
    ("next:2", encode_list(["5", "4", "1"], [2.5, 1.5, -0.5], numeric_ids=True)),
    ("next:7", encode_list(["6"], [0.5], numeric_ids=True)),
    ("popular:most_rated", encode_list(["6", "1", "2", "3"], [400, 50, 50, 50], numeric_ids=True)),
    *(
        (f"movie:{i}", encode_movie(MovieRecord(f"Film {i}", 1990 + int(i), ("Drama",), n, 3.0)))
        for i, n in COUNTS.items()
    ),
]


@pytest.fixture
def reader(server, client, keys, make_source):
    """Return a reader of a generation of seven movies."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(entries=ENTRIES), lock=lock)
    with Reader(server.url, keys.namespace) as opened:
        yield opened


def ids(answer) -> list[str]:
    """Return the movie ids of an answer."""
    return [item.movie_id for item in answer.items]


def test_stars_weigh(reader):
    """Both lists are summed, weighted by the ratings, and rated movies are left out."""
    answer = reader.for_ratings({"1": 5, "2": 2}, n=3)
    assert [(item.movie_id, item.score) for item in answer.items] == [
        ("3", 1.0),
        ("4", pytest.approx((2 + 2 / 3) / 3)),  # of 3, 2 from either list, one of them by a third
        ("5", pytest.approx(1 / 3)),
    ]
    assert [item.source for item in answer.items] == ["for_ratings"] * 3
    assert [item.because for item in answer.items] == [
        Reason("1", "Film 1"),
        Reason("1", "Film 1"),
        None,  # only movie 2 votes for it, which was rated lower than the other
    ]
    assert ids(reader.for_ratings({"1": 2, "2": 5}, n=1)) == ["5"]
    assert answer.to_dict()["items"][0]["because"] == {"movie_id": "1", "title": "Film 1"}


def test_what_two_lists_have_comes_before_what_one_has(reader):
    """A movie in both lists is first, although it is first in neither."""
    assert ids(reader.for_ratings({"1": 4, "2": 4}, n=3)) == ["4", "3", "5"]


def test_the_last_of_a_list_is_in_the_answer(reader):
    """The last movie of a list has a score of 0, even if it is the only one."""
    (item,) = reader.for_ratings({"7": 5}, n=1).items
    assert (item.movie_id, item.score, item.source) == ("6", 0.0, "for_ratings")
    assert item.because == Reason("7", "Film 7")


def test_the_chain_fills_up(reader):
    """After the last vote the most rated movies follow, without rated ones."""
    answer = reader.for_ratings({"1": 5}, n=9)
    assert [(item.movie_id, item.source) for item in answer.items] == [
        ("3", "for_ratings"),
        ("4", "for_ratings"),
        ("2", "for_ratings"),
        ("6", "most_rated"),
    ]
    assert answer.items[-1].because is None


def test_unknown_movies_and_lowest_ratings_give_most_rated_movies(reader):
    """Unknown movies and the lowest ratings give the most rated movies."""
    for ratings in ({"nothing": 5}, {"1": 0.5}):
        answer = reader.for_ratings(ratings, n=3)
        assert {item.source for item in answer.items} == {"most_rated"}
        assert not set(ids(answer)) & set(ratings)


def test_filters_and_hidden_movies(reader, client, keys):
    """The filters of every list and the hide list apply."""
    assert ids(reader.for_ratings({"1": 5}, year_from=1994, n=2)) == ["4", "6"]
    assert ids(reader.for_ratings({"1": 5}, exclude=["3"], n=1)) == ["4"]
    hide(client, keys, ["3"])
    assert ids(reader.for_ratings({"1": 5}, n=1)) == ["4"]


def test_a_hidden_movie_is_not_named_as_a_reason(reader, client, keys):
    """A hidden rated movie still votes, but is no explanation."""
    hide(client, keys, ["1"])
    assert [(item.movie_id, item.because) for item in reader.for_ratings({"1": 5}, n=2).items] == [
        ("3", None),
        ("4", None),
    ]
    both = reader.for_ratings({"1": 5, "2": 5}, n=3).items
    assert {item.movie_id: item.because for item in both} == {
        "4": None,  # both votes are equal: the first is the explanation, or neither
        "3": None,
        "5": Reason("2", "Film 2"),
    }


def test_too_many_ratings_are_refused_before_anything_is_read(keys):
    """Ratings are refused before the store is read."""
    nowhere = Reader("redis://127.0.0.1:1", keys.namespace)
    with nowhere, pytest.raises(UsageError, match="expected 1 to 50"):
        nowhere.for_ratings({str(n): 5 for n in range(51)})


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ({}, "expected 1 to 50"),
        ({str(n): 5 for n in range(51)}, "expected 1 to 50"),
        ({"1": 6}, "6 stars of '1': expected 0.5 to 5"),
        ({"1": 0}, "expected 0.5 to 5"),
        ({"1": float("nan")}, "expected a finite number"),
    ],
)
def test_ratings_that_cannot_be(reader, ratings, message):
    """No rating, too many ratings, and ratings off the scale are refused."""
    with pytest.raises(UsageError, match=message):
        reader.for_ratings(ratings)


movies = st.sampled_from([str(n) for n in range(12)])
lists = st.dictionaries(
    movies,
    st.lists(st.tuples(movies, st.floats(-1, 1)), unique_by=lambda pair: pair[0]).map(
        lambda pairs: ([p[0] for p in pairs], sorted((p[1] for p in pairs), reverse=True))
    ),
)


@given(st.dictionaries(movies, st.floats(0.5, 5), min_size=1), lists)
def test_votes_are_sums(ratings, lists):
    """A vote is the sum of all contributions, explained by the largest one of a liked movie."""
    weights = star_weights(ratings, (0.5, 5))
    mean = sum(weights.values()) / len(weights)
    votes = votes_of(weights, lists)
    parts: dict[str, dict[str, float]] = {}
    for rated, weight in weights.items():
        ids, scores = lists.get(rated, ([], []))
        for movie, score in zip(ids, scores, strict=True):
            if movie not in ratings and weight > 0:
                parts.setdefault(movie, {})[rated] = weight * (score - scores[-1])
    assert votes.keys() == parts.keys()
    for movie, vote in votes.items():
        assert vote.weight == pytest.approx(sum(parts[movie].values()))
        liked = {m: part for m, part in parts[movie].items() if weights[m] >= mean - 1e-9}
        assert liked.get(vote.because) == max(liked.values(), default=None)
    order, scores = blended(votes)
    assert scores == sorted(scores, reverse=True)
    assert set(order) == set(votes)
    assert scores[:1] in ([], [0.0], [1.0])
