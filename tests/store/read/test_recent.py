"""Lists in a session: the lists of recent movies are added to the user's list."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_store.contract.codec import (
    MovieRecord,
    encode_ids,
    encode_list,
    encode_movie,
    encode_reasons,
)
from reco_store.control.hide_list import hide, unhide
from reco_store.control.lock import RunLock
from reco_store.errors import UsageError
from reco_store.publishing.publisher import publish
from reco_store.read.answer_types import Reason
from reco_store.read.async_reader import AsyncReader
from reco_store.read.list_query import ListQuery, check_filters
from reco_store.read.pinning import flattened, queue
from reco_store.read.reader import Reader
from reco_store.read.recent import MAX_RECENT, RECENT_WEIGHT, followed, reasons_of, reorder, votes
from reco_store.read.requests import Requests
from round_trips import steps

MOVIES = [str(number) for number in range(1, 31)]
#: User 42 has rated 9; movies 11 to 25 have lists that begin with movie 30.
ENTRIES = [
    ("user:42", encode_list(["1", "2", "3", "4"], [4.0, 3.0, 2.0, 0.0], numeric_ids=True)),
    ("because:42", encode_reasons(["9", None, "9", None], numeric_ids=True)),
    ("seen:42", encode_ids(["9"], numeric_ids=True)),
    ("next:5", encode_list(["6", "3", "9", "7"], [10.0, 8.0, 7.0, 0.0], numeric_ids=True)),
    ("next:6", encode_list(["8", "3", "5"], [1.0, 0.5, 0.0], numeric_ids=True)),
    *((f"next:{i}", encode_list(["30", "4"], [1.0, 0.0], numeric_ids=True)) for i in range(11, 26)),
    ("popular:most_rated", encode_list(["8", "1", "9", "2"], [50, 40, 20, 0], numeric_ids=True)),
    *(
        (f"movie:{i}", encode_movie(MovieRecord(f"Film {i}", 1990 + int(i), ("Drama",), 9, 3.0)))
        for i in MOVIES
    ),
]

#: A later generation, in which every list has another order.
OTHERS = [
    ("user:42", encode_list(["4", "3", "2", "1"], [4.0, 2.0, 1.0, 0.0], numeric_ids=True)),
    ("seen:42", encode_ids(["9"], numeric_ids=True)),
    ("next:5", encode_list(["22", "1", "21"], [9.0, 0.0, 0.0], numeric_ids=True)),
    ("popular:most_rated", encode_list(["1"], [50], numeric_ids=True)),
    *((f"movie:{i}", encode_movie(MovieRecord(f"Other {i}", 1990, (), 9, 3.0))) for i in MOVIES),
]


@pytest.fixture
def put(client, keys, make_source):
    """Publish a generation."""

    def publish_one(entries=ENTRIES, tag=0.0):
        with RunLock(client, keys, heartbeat=False) as lock:
            publish(client, keys, make_source(tag, entries=entries), lock=lock)

    return publish_one


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request, server, keys, put):
    """Return a function that requests a user's list from one reader of a published generation."""
    put()
    if request.param == "blocking":
        with Reader(server.url, keys.namespace) as reader:
            yield reader.user
        return
    loop, reader = asyncio.new_event_loop(), AsyncReader(server.url, keys.namespace)
    yield lambda *args, **options: loop.run_until_complete(reader.user(*args, **options))
    loop.run_until_complete(reader.close())
    loop.close()


@pytest.fixture
def user(server, keys, put):
    """Return a function that requests a user's list of a published generation."""
    put()
    with Reader(server.url, keys.namespace) as reader:
        yield reader.user


def shown(answer) -> list[tuple[str, float, str]]:
    """Return id, score and source of each item."""
    return [(item.movie_id, item.score, item.source) for item in answer.items]


def ids(answer) -> list[str]:
    """Return the movie ids of an answer."""
    return [item.movie_id for item in answer.items]


def test_a_recent_movie_adds_its_list(ask):
    """Votes add up; the source is the list that adds more, and seen movies are not added."""
    assert shown(ask("42", n=6, recent={"5": 5.0})) == [
        ("1", 1.0, "personal"),
        ("3", pytest.approx(0.5 + 0.8 * RECENT_WEIGHT), "personal"),
        ("2", 0.75, "personal"),
        ("6", RECENT_WEIGHT, "next"),
        ("4", 0.0, "personal"),
        ("7", 0.0, "next"),
    ]


def test_recent_movies_are_left_out(ask):
    """Recent movies are in no answer: neither from the own list nor from a list or a fallback."""
    answer = ask("42", n=9, recent={"5": None, "6": None, "1": None, "8": None})
    assert not {"1", "5", "6", "8", "9"} & set(ids(answer))
    assert ids(answer) == ["3", "2", "4", "7"]


def test_two_recent_movies_outweigh_the_own_list(ask):
    """A movie of both lists comes from them, if together they add more."""
    (first, *_) = ask("42", n=9, recent={"6": None, "5": None}).items
    assert (first.movie_id, first.source) == ("3", "next")
    assert first.score == pytest.approx(0.5 + (0.8 + 0.5) * RECENT_WEIGHT)


def test_without_recent_movies_nothing_changes(ask):
    """An empty session is the list alone."""
    alone = ask("42", n=9)
    assert shown(ask("42", n=9, recent={})) == shown(alone)
    assert shown(alone)[0] == ("1", 4.0, "personal")


def test_low_stars_only_leave_out(ask):
    """Stars below the middle of the scale, and dislikes, add no list."""
    alone = ask("42", n=4)
    for stars in (2.5, 0.5, -1.0):
        assert shown(ask("42", n=4, recent={"5": stars})) == shown(alone)
    assert ids(ask("42", n=4, recent={"1": 1.0})) == ["2", "3", "4", "8"]
    assert ids(ask("42", n=4, recent={"5": 3.0})) == ["1", "3", "2", "6"]


def test_unknown_recent_movies_are_ignored(ask):
    """A movie without a list adds nothing."""
    alone = ask("42", n=9)
    assert shown(ask("42", n=9, recent={"nothing": 5.0, 999: None})) == shown(alone)
    expected = ids(ask("42", n=9, recent={"5": None}))
    assert ids(ask("42", n=9, recent={"nothing": None, "5": None})) == expected


def test_a_rated_movie_is_not_shown_in_place_of_a_lost_list(ask, client, keys):
    """The popular list takes its place, without what the user has rated."""
    client.delete(keys.data(client.get(keys.current).decode(), "user:42"))

    assert "9" not in ids(ask("42", n=9))
    assert shown(ask("42", n=9, recent={"5": None}))[:4] == [
        ("8", 1.0, "most_rated"),
        ("1", 0.8, "most_rated"),
        ("6", RECENT_WEIGHT, "next"),
        ("3", pytest.approx(0.8 * RECENT_WEIGHT), "next"),
    ]
    assert "9" not in ids(ask("42", n=9, recent={"5": None}))


def test_an_unknown_user_starts_from_the_popular_list(ask):
    """The popular list takes the place of the user's list; its movies keep its source."""
    assert shown(ask("absent", n=4, recent={"5": None})) == [
        ("8", 1.0, "most_rated"),
        ("1", 0.8, "most_rated"),
        ("9", pytest.approx(0.4 + 0.7 * RECENT_WEIGHT), "most_rated"),
        ("6", RECENT_WEIGHT, "next"),
    ]
    assert shown(ask("absent", n=2, recent={"8": -1})) == [
        ("1", 40.0, "most_rated"),
        ("9", 20.0, "most_rated"),
    ]


def test_only_the_newest_ten_add(ask):
    """The eleventh recent movie adds nothing, but is left out too."""
    ten = {str(number): None for number in range(11, 11 + MAX_RECENT)}
    assert ids(ask("42", n=2, recent={"5": None, **ten}))[0] == "30"
    eleven = {**ten, "5": None, "2": None}
    answer = ask("42", n=9, recent=eleven)
    assert "6" not in ids(answer)
    assert "2" not in ids(answer)


def test_reasons(ask):
    """A movie from a recent movie's list names it; the others keep their explanation."""
    answer = ask("42", n=6, recent={"5": None}, why=True)
    film5, film9 = Reason("5", "Film 5"), Reason("9", "Film 9")
    assert [(item.movie_id, item.because) for item in answer.items] == [
        ("1", film9),
        ("3", film9),
        ("2", None),
        ("6", film5),
        ("4", None),
        ("7", film5),
    ]
    (first, *_) = ask("42", recent={"6": None, "5": None}, why=True).items
    assert (first.movie_id, first.because) == ("3", film5)  # 5 adds 0.4 to it, 6 adds 0.25
    new = ask("absent", n=5, recent={"5": None}, why=True).items
    assert [item.because for item in new] == [None, None, None, film5, film5]
    assert {item.because for item in ask("42", n=6, recent={"5": None}).items} == {None}


def test_filters_and_the_hide_list_apply(user, client, keys):
    """Excluded, filtered and hidden movies are not shown, nor is a hidden movie a reason."""
    assert ids(user("42", n=3, recent={"5": None}, exclude=["3"])) == ["1", "2", "6"]
    assert ids(user("42", n=9, recent={"5": None}, year_from=1996)) == ["6", "7", "8"]
    hide(client, keys, ["3", "5"])
    answer = user("42", n=3, recent={"5": None}, why=True)
    assert ids(answer) == ["1", "2", "6"]
    assert answer.items[2].because is None
    unhide(client, keys, ["3", "5"])


def test_round_trips(client, keys, put):
    """The lists of recent movies come with the user's list: two steps cold, one step warm."""
    put()
    for recent in ({"5": None}, {}):
        requests = Requests(keys)
        assert steps(client, requests.user("42", n=3, recent=recent)) == 3  # pointer, lists, cards
        assert steps(client, requests.user("42", n=3, recent=recent)) == 1


def test_ten_lists_are_read(keys):
    """However many movies are recent, the lists of ten are read; all are left out."""
    recent = {str(number): None for number in range(50)}
    query = ListQuery("user:42", "personal", check_filters(keys), "seen:42", recent=recent)
    read = [suffix for suffix in query.suffixes if suffix.startswith("next:")]
    assert read == [f"next:{number}" for number in range(MAX_RECENT)]
    assert query.excluded == set(recent)


def driven(client, request, before):
    """Drive a request to its answer, and change the store before the steps of given numbers."""
    step, number = next(request), 1
    while True:
        before.get(number, lambda: None)()
        pipeline = client.pipeline(transaction=False)
        queue(pipeline, step, clustered=False)
        replies = flattened(pipeline.execute(), step, clustered=False)
        try:
            step, number = request.send(replies), number + 1
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_no_mix_of_generations(client, keys, put, moved):
    """Wherever the pointer moves within a request, lists and cards are of one generation."""
    put()
    answer = driven(
        client,
        Requests(keys).user("42", n=6, recent={"5": None}),
        before={moved: lambda: put(OTHERS, tag=1.0)},
    )
    found = [(item.movie_id, item.title) for item in answer.items]
    old = [(movie_id, f"Film {movie_id}") for movie_id in ("1", "3", "2", "6", "4", "7")]
    new = [(movie_id, f"Other {movie_id}") for movie_id in ("4", "3", "22", "2", "1", "21")]
    assert found == (old if moved == 3 else new)


@pytest.mark.parametrize(
    ("recent", "message"),
    [
        (["5"], "recent ['5'] (list): expected stars or None by movie id"),
        ({"5": "high"}, "stars 'high' of movie '5': expected a finite number"),
        ({"5": 1, 5: 2}, "recent: movie '5' is named twice; expected it once"),
        ({"5": 9.0}, "9 stars of '5': expected at most 5"),
        ({5.5: 1}, "recent: movie 5.5 (float): expected an id"),
    ],
)
def test_arguments_that_cannot_be(user, recent, message):
    """The error has the argument and the expected form."""
    with pytest.raises(UsageError) as caught:
        user("42", recent=recent)
    assert message in str(caught.value)


def test_without_a_scale_a_dislike_is_below_zero():
    """With implicit feedback anything from 0 on adds."""
    assert followed({"1": 0.0, "2": -0.5, "3": 900.0, "4": None}, None) == ("1", "3", "4")
    assert followed({"1": 5.5, "2": 5.0, "3": None}, (1, 10)) == ("1", "3")


def test_votes_keep_the_order_of_a_list():
    """A movie that a rule placed before better ones has the vote of its predecessor."""
    assert votes([4.0, 2.0, 3.0, 0.0]) == [1.0, 0.5, 0.5, 0.0]
    assert votes([7.0, 7.0]) == [0.0, 0.0]
    assert votes([]) == []


LISTS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6).flatmap(
    lambda ids: st.tuples(
        st.just(ids), st.lists(st.floats(-9, 9), min_size=len(ids), max_size=len(ids))
    )
)


@given(own=LISTS, lists=st.dictionaries(st.sampled_from("xyz"), LISTS), seen=st.sets(st.just("a")))
def test_formula(own, lists, seen):
    """Scores are those of the formula, in descending order, and every movie has one source."""
    found = reorder(own, "personal", lists.values(), "next", seen)
    columns = list(zip(found.ids, found.scores, found.sources, strict=True))
    reasons = reasons_of(own, lists)
    for movie_id, score, source in columns:
        parts = {
            recent: RECENT_WEIGHT * dict(zip(names, votes(scores), strict=True))[movie_id]
            for recent, (names, scores) in lists.items()
            if movie_id in names
        }
        base = dict(zip(own[0], votes(own[1]), strict=True)).get(movie_id)
        assert score == pytest.approx((base or 0.0) + sum(parts.values()))
        if base is None or source == "next":
            assert source == "next"
            assert parts[reasons[movie_id]] == max(parts.values())
        else:
            assert sum(parts.values()) <= base
            assert movie_id not in reasons
    scores = [score for _, score, _ in columns]
    assert scores == sorted(scores, reverse=True)
    expected = {*own[0], *(i for names, _ in lists.values() for i in names if i not in seen)}
    assert set(found.ids) == expected
