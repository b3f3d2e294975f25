"""Explanations of a user's list, read with the list in the same round trips.

Every reader, on every server; the hide list and the round trips with the blocking one.
"""

from __future__ import annotations

import asyncio

import pytest

from reco_store.contract.codec import encode_ids, encode_reasons
from reco_store.control.hide_list import hide, unhide
from reco_store.control.lock import RunLock
from reco_store.publishing.publisher import publish
from reco_store.read.answer_types import Reason
from reco_store.read.async_reader import AsyncReader
from reco_store.read.reader import Reader
from reco_store.read.requests import Requests
from round_trips import steps
from small_generations import small_entries

REASONS = ["2", None, "4"]  # of user 1, whose list is 3, 5, 1
AMELIE, HEAT = Reason("2", "Amélie (2001)"), Reason("4", "Heat (1986)")


def entries(tag: float = 0.0, reasons: list[str | None] = REASONS) -> list[tuple[str, bytes]]:
    """Return entries of six movies, with explanations for one user."""
    return [*small_entries(tag), ("because:1", encode_reasons(reasons, numeric_ids=True))]


@pytest.fixture
def put(client, keys, make_source):
    """Publish a generation of given entries."""

    def publish_one(content, tag=0.0):
        with RunLock(client, keys, heartbeat=False) as lock:
            publish(client, keys, make_source(tag, entries=content), lock=lock)

    return publish_one


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request, server, keys):
    """Return a function that requests a user's list from one reader."""
    if request.param == "blocking":
        with Reader(server.url, keys.namespace) as reader:
            yield reader.user
        return
    loop, reader = asyncio.new_event_loop(), AsyncReader(server.url, keys.namespace)
    yield lambda *args, **options: loop.run_until_complete(reader.user(*args, **options))
    loop.run_until_complete(reader.close())
    loop.close()


def reasons(answer) -> list[tuple[str, Reason | None]]:
    """Return the movie ids of an answer with their explanations."""
    return [(item.movie_id, item.because) for item in answer.items]


def test_own_list_items_have_explanations_and_fallbacks_none(ask, put):
    """Items of the own list have explanations, fallbacks have none, warm and cold."""
    put(entries())
    own = [("3", AMELIE), ("5", None), ("1", HEAT)]
    for _ in range(2):
        assert reasons(ask("1", n=9, why=True)) == [*own, ("6", None)]
        assert reasons(ask("1", n=2, why=True)) == own[:2]
    assert ask("1", n=1, why=True).to_dict()["items"][0]["because"] == AMELIE._asdict()


def test_without_why_there_are_no_explanations(ask, put):
    """Without `why` there are no explanations."""
    put(entries())
    for _ in range(2):
        assert {because for _, because in reasons(ask("1", n=3))} == {None}


def test_a_reason_goes_with_its_movie(ask, put):
    """Explanations belong to their movies after filters."""
    put(entries())
    for _ in range(2):
        assert reasons(ask("1", n=2, exclude=["3"], why=True)) == [("5", None), ("1", HEAT)]
        assert reasons(ask("1", n=1, genres=["Comedy"], why=True)) == [("1", HEAT)]


def test_a_night_without_reasons(ask, put):
    """A generation without explanations gives none, and the next one gives some again."""
    for tag, content in enumerate((small_entries(), entries(1.0), small_entries(2.0))):
        put(content, float(tag))
        for _ in range(2):
            found = [because for _, because in reasons(ask("1", n=3, why=True))]
            assert found == ([AMELIE, None, HEAT] if tag == 1 else [None] * 3)


def test_unknown_user_gets_no_explanations(ask, put):
    """Fallbacks have no explanations."""
    put(entries())
    assert {because for _, because in reasons(ask("unknown", n=9, why=True))} == {None}


def test_a_reason_without_a_label(ask, put):
    """An explanation without a label is shown by its id."""
    put(entries(reasons=["77", None, None]))
    assert reasons(ask("1", n=1, why=True)) == [("3", Reason("77", "77"))]


@pytest.fixture
def reader(server, keys):
    """Return a blocking reader."""
    with Reader(server.url, keys.namespace) as opened:
        yield opened


def test_a_hidden_movie_is_no_reason(reader, client, keys, put):
    """A hidden movie is no explanation; the explained movie stays."""
    put(entries())
    reader.user("1", why=True)
    hide(client, keys, ["2"])
    for _ in range(2):
        found = reasons(reader.user("1", n=3, why=True))
        assert found == [("3", None), ("5", None), ("1", HEAT)]


def test_a_reason_need_not_be_available(reader, client, keys, put):
    """An explanation may be a movie that is not available."""
    put(entries())
    client.sadd(keys.available(), "1", "3", "2")
    hide(client, keys, ["2"])
    found = reasons(reader.user("1", n=2, available=True, why=True))
    assert found == [("3", None), ("1", HEAT)]


@pytest.mark.parametrize("content", [entries(), small_entries()], ids=["reasons", "none"])
def test_it_takes_no_round_trip_more(client, keys, put, content):
    """Explanations take no further round trips: cold, warm, filtered, unknown, hidden."""
    put(content)

    def counted(*, why: bool) -> list[int]:
        requests = Requests(keys)
        wishes = [("1", {}), ("1", {}), ("1", {"genres": ["Crime"]}), ("unknown", {})]
        counts = [steps(client, requests.user(user, n=3, why=why, **c)) for user, c in wishes]
        hide(client, keys, ["6"])
        counts += [
            steps(client, requests.user("1", n=3, why=why, **c)) for c in ({}, {}, wishes[2][1])
        ]
        unhide(client, keys, ["6"])
        return counts

    assert counted(why=True) == counted(why=False) == [3, 1, 2, 3, 3, 2, 2]


def test_a_label_that_is_not_known_yet(client, keys, put):
    """A warm reader without the labels of explanations takes one more round trip."""
    put(entries())
    requests = Requests(keys)
    steps(client, requests.user("1", n=3))

    assert steps(client, requests.user("1", n=3, why=True)) == 3
    assert steps(client, requests.user("1", n=3, why=True)) == 1


def test_nothing_left_to_explain(reader, put):
    """A user with an empty list who has rated all popular movies gets no movies."""
    everything = encode_ids(["1", "2", "3", "4", "5", "6"], numeric_ids=True)
    nothing = [("user:1", b'{"i":[],"s":[]}'), ("because:1", b'{"i":[]}'), ("seen:1", everything)]
    put(list({**dict(small_entries()), **dict(nothing)}.items()))
    assert reader.user("1", n=2, why=True).items == ()
