"""Readers of a named generation: staged, kept or live."""

from __future__ import annotations

import pytest

from reco_store.control.lock import RunLock
from reco_store.errors import DataLost, UnknownGeneration, UsageError
from reco_store.publishing.generations import collect
from reco_store.publishing.publisher import publish
from reco_store.read.async_reader import AsyncReader
from reco_store.read.reader import Reader
from reco_store.read.requests import Requests


@pytest.fixture
def three(client, keys, make_source):
    """Generations of which one is kept, one live and one staged; their scores differ."""
    sources = [make_source(tag) for tag in (10.0, 20.0, 30.0)]
    with RunLock(client, keys, heartbeat=False) as lock:
        for source, switch in zip(sources, (True, True, False), strict=True):
            publish(client, keys, source, lock=lock, switch=switch)
    return [source.generation for source in sources]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_verb_reads_the_named_generation(client, keys, three, place):
    """Each answer is from the named generation, warm and cold."""
    reader = Reader(client=client, namespace=keys.namespace, generation=three[place])
    first = 5.0 + 10.0 * (place + 1)
    for _ in range(2):
        answer = reader.user("1", n=3)
        assert (answer.generation, answer.items[0].score) == (three[place], first)
        assert reader.ranked("1", n=2).items[0].score == first
        assert reader.similar("1", n=2).items[0].score == first
        assert reader.popular(n=2, genre="comedy").items[0].score == first
        assert reader.for_ratings({"1": 5}, n=2).generation == three[place]
        assert reader.user("unknown", n=2).items[0].score == first
        assert reader.movie("1").title == "Toy Story (1995)"
        assert [movie.movie_id for movie in reader.find_title("heat 1995")] == []
        assert reader.search("alien")[0].movie_id == "5"
        assert reader.seen("1") == ("2", "4")
        status = reader.status()
        assert (status.generation, status.is_live) == (three[place], place == 1)
        assert status.missing == 0


async def test_async_reader(server, keys, three):
    """The asyncio reader reads the named generation, and lists all."""
    async with AsyncReader(server.url, keys.namespace, generation=three[2]) as reader:
        assert (await reader.user("1", n=1)).items[0].score == 35.0
        stored = await reader.generations()
    assert [(one.generation, one.state) for one in stored] == [
        (three[2], "staged"),
        (three[1], "live"),
        (three[0], "ready"),
    ]
    assert stored[0].live_since == ""
    assert stored[1].live_since
    assert all(one.entries and one.size_bytes for one in stored)


def test_lost_keys_name_the_generation_to_republish(client, keys, three, make_source):
    """`batch republish latest` may pass over the one that the reader names."""
    live = Reader(client=client, namespace=keys.namespace)
    for generation in three:
        for suffix in make_source(0).suffixes():
            client.delete(keys.data(generation, suffix))
        named = Reader(client=client, namespace=keys.namespace, generation=generation)
        with pytest.raises(DataLost, match=f"Run `batch republish {generation}`"):
            named.user("1")
    with pytest.raises(DataLost, match="Run `batch republish latest`"):
        live.user("1")


def test_deleted_generation_is_an_error(client, keys, three):
    """As soon as its manifest is gone, so that no answer is incomplete."""
    reader = Reader(client=client, namespace=keys.namespace, generation=three[0])
    assert reader.user("1", n=3).items
    with RunLock(client, keys, heartbeat=False) as lock:
        collect(lock=lock, keep=1)

    for request in (reader.user, reader.seen, reader.movie):
        with pytest.raises(UnknownGeneration, match=f"{three[0]} is not complete in the store"):
            request("1")
    with pytest.raises(UnknownGeneration):
        reader.status()


def test_deletion_within_a_request_is_an_error(client, keys, three):
    """Never an answer with ids in place of the titles that were just deleted."""
    request = Requests(keys, generation=three[0]).user("1", n=3)
    step = next(request)
    with pytest.raises(UnknownGeneration):  # noqa: PT012  the error comes with some step
        while True:
            if any(b":movie:" in name for name in step.keys if isinstance(name, bytes)):
                with RunLock(client, keys, heartbeat=False) as lock:
                    collect(lock=lock, keep=1)
            replies = [client.execute_command(*command) for command in step.commands]
            step = request.send([*client.mget(step.keys), *replies])


def test_switch_does_not_move_a_named_reader(client, keys, three):
    """The pointer is of no concern to it."""
    reader = Reader(client=client, namespace=keys.namespace, generation=three[0])
    assert reader.user("1", n=1).generation == three[0]
    client.set(keys.current, three[2])
    assert reader.user("1", n=1).generation == three[0]
    client.delete(keys.current)
    assert not reader.status().is_live


def test_name_must_be_that_of_a_generation(client, keys):
    """Other text is refused at once; the name of an unknown generation at the first request."""
    for text in ("latest", "", "20261124T031502Z-7f3a:user"):
        with pytest.raises(UsageError, match="is not a generation"):
            Reader(client=client, namespace=keys.namespace, generation=text)
    with pytest.raises(UnknownGeneration) as error:
        Reader(client=client, namespace=keys.namespace, generation="20200101T000000Z-0000").user(1)
    assert "Ready generations" not in str(error.value)


def test_namespace_without_a_registry_has_none(client, keys):
    """Nothing published is an empty tuple, not an error."""
    assert Reader(client=client, namespace=keys.namespace).generations() == ()


async def test_several_labels_are_one_request(server, client, keys, three):
    """Labels come in the order of the ids; an unknown movie is None."""
    reader = Reader(client=client, namespace=keys.namespace)
    found = reader.movies(["3", "unknown", 1, "3"])
    assert [movie and movie.movie_id for movie in found] == ["3", None, "1", "3"]
    assert found[0] == reader.movie("3")
    assert reader.movies([]) == ()
    assert reader.movies(["unknown"]) == (None,)
    async with AsyncReader(server.url, keys.namespace) as other:
        assert await other.movies(["3", "unknown", 1, "3"]) == found
