"""Readers: each answer is from one generation, and each item contains its source.

Every test runs with the blocking reader and with the asyncio one, on every server.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime

import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from reco_store.contract.codec import encode_list
from reco_store.contract.experiment import Experiment
from reco_store.control.experiments import begin_experiment
from reco_store.control.hide_list import hidden, hide, unhide
from reco_store.control.lock import RunLock
from reco_store.errors import (
    ContractMismatch,
    DataLost,
    NothingPublished,
    StoreUnfit,
    StoreUnreachable,
    UsageError,
)
from reco_store.publishing.generations import rollback
from reco_store.publishing.publisher import flip, publish
from reco_store.read.answer_types import Item
from reco_store.read.async_reader import AsyncReader
from reco_store.read.pinning import flattened, queue
from reco_store.read.reader import Reader
from reco_store.read.requests import Requests


class Awaiting:
    """Asyncio reader with blocking methods, so that tests cover both readers."""

    def __init__(self, *args, **options) -> None:
        self.loop = asyncio.new_event_loop()
        self.reader = AsyncReader(*args, **options)

    def __getattr__(self, name):
        verb = getattr(self.reader, name)
        return lambda *args, **options: self.loop.run_until_complete(verb(*args, **options))

    def end(self) -> None:
        """Close the reader and its loop."""
        self.loop.run_until_complete(self.reader.close())
        self.loop.close()


@pytest.fixture(params=["blocking", "asyncio"])
def make_reader(request, server, keys):
    """Return a function that makes readers of the test's namespace."""
    readers = []

    def make(url=None, **options):
        kind = Reader if request.param == "blocking" else Awaiting
        reader = kind(url or server.url, keys.namespace, **options)
        readers.append(reader)
        return reader

    yield make
    for reader in readers:
        (reader.close if request.param == "blocking" else reader.end)()


@pytest.fixture
def reader(make_reader):
    """Return a reader of the test's namespace."""
    return make_reader()


@pytest.fixture
def put(client, keys, make_source):
    """Publish a generation."""

    def publish_one(tag=0.0, **options):
        source = make_source(tag, **options)
        with RunLock(client, keys, heartbeat=False) as lock:
            publish(client, keys, source, lock=lock)
        return source

    return publish_one


def shown(answer):
    """Return the movie ids and sources of an answer."""
    return [(item.movie_id, item.source) for item in answer.items]


def test_personal_list(reader, put):
    """A known user gets the list of the model, with labels, and its generation."""
    source = put()
    answer = reader.user("1", n=3)

    assert answer.generation == source.generation
    assert answer.source == "personal"
    assert answer.items == (
        Item("3", 5.0, "personal", "Heat (1995)", 1995, ("Crime",)),
        Item("5", 4.0, "personal", "Alien (1979)", 1979, ("Horror",)),
        Item("1", 3.0, "personal", "Toy Story (1995)", 1995, ("Animation", "Comedy")),
    )


def test_age(make_reader, put):
    """An answer contains the age of its data, at least 0 if the clock is behind."""
    source = put()
    created = datetime.fromisoformat(source.manifest["created"]).timestamp()

    assert make_reader(clock=lambda: created + 90).user("1").age_seconds == 90
    assert make_reader(clock=lambda: created - 90).user("1").age_seconds == 0


def test_ranked_list(reader, put):
    """A ranked list is a separate list with its own source."""
    put()
    assert shown(reader.ranked("2", n=2)) == [("5", "ranked"), ("3", "ranked")]


def test_similar_list(reader, put):
    """Similar movies have the source `similar`."""
    put()
    assert shown(reader.similar("1", n=2)) == [("2", "similar"), ("5", "similar")]


def test_short_list_is_filled_up(reader, put):
    """After the personal list, most rated movies follow that the user has not rated."""
    put()
    personal = [("3", "personal"), ("5", "personal"), ("1", "personal")]
    assert shown(reader.user("1", n=10)) == [*personal, ("6", "most_rated")]
    assert shown(reader.user("1", n=4)) == [*personal, ("6", "most_rated")]
    assert shown(reader.user("1", n=3)) == personal


def test_excluded_movies_are_not_shown(reader, put):
    """Excluded movies are left out and replaced by others."""
    put()
    assert shown(reader.user("1", n=3, exclude=["3", "6"])) == [
        ("5", "personal"),
        ("1", "personal"),
    ]
    assert shown(reader.user("1", n=2, exclude={"3"})) == [("5", "personal"), ("1", "personal")]
    assert shown(reader.similar("1", n=2, exclude=["2"]))[0] == ("5", "similar")
    assert "1" not in {movie for movie, _ in shown(reader.popular(n=9, exclude=["1"]))}


def test_ids_as_integers(reader, client, keys, put):
    """Integer ids are accepted for their text."""
    put()
    assert shown(reader.user(1, n=2, exclude=[3, 6])) == shown(
        reader.user("1", n=2, exclude=["3", "6"])
    )
    assert shown(reader.ranked(1, n=1)) == [("5", "ranked")]
    assert "1" not in {movie for movie, _ in shown(reader.similar(1, n=9))}
    assert "5" not in {movie for movie, _ in shown(reader.for_ratings({5: 5.0}, n=9))}
    assert reader.movie(2) == reader.movie("2")
    assert reader.seen(1) == ("2", "4")
    begin_experiment(client, keys, Experiment("split", (("a", 1.0), ("b", 1.0))))
    assert [reader.assign(user) for user in range(9)] == [reader.assign(str(u)) for u in range(9)]
    assert hide(client, keys, [3]) == 1
    assert hidden(client, keys) == ("3",)
    assert unhide(client, keys, (3, "3")) == 1


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda reader: reader.user(1.0), r"user 1.0 \(float\): expected an id"),
        (lambda reader: reader.ranked(None), "user None"),
        (lambda reader: reader.similar(np.True_), "movie"),
        (lambda reader: reader.movie(b"1"), "movie b'1'"),
        (lambda reader: reader.seen(["1"]), "user"),
        (lambda reader: reader.assign(1.0), "user 1.0"),
        (lambda reader: reader.user("\ud800"), "UTF-8"),
        (lambda reader: reader.user("1", exclude=[3.0]), "exclude 3.0"),
        (lambda reader: reader.user("1", exclude="12"), "exclude '12': expected several ids"),
        (lambda reader: reader.user("1", genre="Comedy"), "option 'genre': expected one of"),
        (lambda reader: reader.user("1", genres=[1]), "genres 1"),
        (lambda reader: reader.user("1", available=1.5), "available 1.5"),
        (lambda reader: reader.user("1", available_missing="some"), "expected 'all' or 'none'"),
        (lambda reader: reader.popular(genre=["Comedy"]), "genre"),
        (lambda reader: reader.for_ratings({"1": "5"}), "expected a finite number"),
        (lambda reader: reader.for_ratings([("1", 5)]), "expected stars by movie id"),
        (lambda reader: reader.find_title(300), "title 300"),
        (lambda reader: reader.search(300), "search 300"),
        (lambda reader: reader.search("heat", n="5"), "n '5'"),
        (lambda reader: reader.user("1", n=2**63), "n 9223372036854775808"),
        (lambda reader: reader.user("1", n=2.0), "n 2.0"),
        (lambda reader: reader.user("1", year_from="1990"), "year_from '1990'"),
        (lambda reader: reader.user("1", year_to=10**20), "year_to 10"),
    ],
)
def test_arguments_that_cannot_be(reader, put, ask, message):
    """Invalid arguments are refused with the expected form."""
    put()
    with pytest.raises(UsageError, match=message):
        ask(reader)


def test_unknown_user(reader, put):
    """A user without a list gets the most rated movies, marked by their source."""
    put()
    answer = reader.user("unknown", n=3)
    assert answer.source == "most_rated"
    assert shown(answer) == [("1", "most_rated"), ("5", "most_rated"), ("2", "most_rated")]


def test_known_user_without_a_list(reader, put):
    """The fallback leaves out rated movies."""
    value = encode_list(["1", "2", "3"], [3, 2, 1], numeric_ids=True)
    entries = [("seen:7", b'{"i":[1,2]}'), ("popular:most_rated", value)]
    put(entries=entries)
    assert shown(reader.user("7")) == [("3", "most_rated")]
    assert shown(reader.ranked("7")) == [("3", "most_rated")]


@pytest.mark.parametrize("own", [[], ["user:7", "ranked:7"]])
def test_user_who_rated_everything(reader, put, own):
    """No answer contains a rated movie; the notes contain the reason of a short answer."""
    value = encode_list(["1", "2"], [2, 1], numeric_ids=True)
    empty = [(suffix, b'{"i":[],"s":[]}') for suffix in own]
    put(entries=[*empty, ("seen:7", b'{"i":[1,2]}'), ("popular:most_rated", value)])
    for answer in (reader.user("7"), reader.ranked("7")):
        assert (answer.items, answer.source) == ((), None)
        assert answer.notes == ("used_up", "all_seen")
    assert reader.user("7", exclude=["1"]).notes == ("used_up",)
    assert reader.user("8", n=2).notes == ()


def test_paging_to_the_end(reader, put):
    """Excluding all shown movies page by page ends, and never shows a rated movie."""
    put()
    pages: list[str] = []
    while items := reader.user("1", n=2, exclude=pages).items:
        pages += [item.movie_id for item in items]
    assert pages == ["3", "5", "1", "6"]
    assert not set(pages) & set(reader.seen("1"))


def test_unknown_movie(reader, put):
    """A movie without a list gets the most rated movies, never itself."""
    put()
    assert shown(reader.similar("nothing", n=2)) == [("1", "most_rated"), ("5", "most_rated")]
    assert "5" not in {movie for movie, _ in shown(reader.similar("5", n=9))}


def test_popular(reader, put):
    """Both popular lists exist overall and by genre; an unknown genre gets the overall list."""
    put()
    assert shown(reader.popular("highest_rated", n=2)) == [
        ("2", "highest_rated"),
        ("5", "highest_rated"),
    ]
    assert shown(reader.popular("most_rated", "Comedy", n=9)) == [
        ("1", "most_rated"),
        ("2", "most_rated"),
    ]
    assert shown(reader.popular("highest_rated", "No such", n=1)) == [("1", "most_rated")]
    assert shown(reader.popular("highest_rated", n=9))[-1] == ("3", "highest_rated")


def test_movie_without_a_label(reader, put):
    """A movie that has no label is shown by its id."""
    put(entries=[("user:1", b'{"i":[99],"s":[1.0]}'), ("popular:most_rated", b'{"i":[],"s":[]}')])
    assert reader.user("1", n=1).items == (Item("99", 1.0, "personal", "99", None, ()),)


def test_movie(reader, put):
    """A movie's label is returned; None for an unknown movie."""
    put()
    movie = reader.movie("2")
    assert movie == ("2", "Amélie (2001)", 2001, ("Comedy", "Romance"), 120, 4.183)
    assert reader.movie("6").mean_rating is None
    assert reader.movie("nothing") is None


@pytest.mark.parametrize(
    ("title", "ids"),
    [
        ("heat", ["3", "4"]),
        ("HEAT (1986)", ["4"]),
        ("amelie", ["2"]),
        ("Amélie  (2001)", ["2"]),
        ("nothing", []),
        ("", []),
    ],
)
def test_find_title(reader, put, title, ids):
    """A title is found with or without its year; one that two movies share finds both."""
    put()
    assert [movie.movie_id for movie in reader.find_title(title)] == ids


def test_seen(reader, put):
    """The rated movies of a user are returned; none for an unknown user."""
    put()
    assert reader.seen("1") == ("2", "4")
    assert reader.seen("unknown") == ()


def test_status(reader, client, keys, put):
    """The status contains the live generation, its age and the hold."""
    put()
    source = put(1)
    status = reader.status()
    assert (status.namespace, status.generation) == (keys.namespace, source.generation)
    assert status.entries == len(source.pairs)
    assert status.size_bytes == sum(len(value) for _, value in source.pairs)
    assert status.counts["user"] == 3
    assert status.manifest["metrics"] == {"rmse": 0.88}
    assert status.held_until is None
    json.dumps(status.to_dict())

    rollback(client, keys, reason="odd")
    status = reader.status()
    assert status.generation != source.generation
    assert status.held_until is not None
    assert "odd" in status.held_reason


def test_hold_that_is_over_is_not_shown(client, keys, make_reader, put):
    """After its end a hold is no longer in the status."""
    put()
    put(1)
    rollback(client, keys)
    assert make_reader(clock=lambda: 4e9).status().held_until is None


def test_answer_as_json(reader, put):
    """An answer can be written as JSON, with plain names."""
    put()
    content = json.loads(json.dumps(reader.user("1", n=1).to_dict()))
    assert content["source"] == "personal"
    assert content["items"] == [
        {
            "movie_id": "3",
            "score": 5.0,
            "source": "personal",
            "title": "Heat (1995)",
            "year": 1995,
            "genres": ["Crime"],
            "because": None,
        }
    ]


def test_warm_reader_follows_the_pointer(reader, put):
    """A warm reader answers from a new generation at once."""
    old = put(0.0)
    assert reader.user("1", n=1).items[0].score == 5.0
    new = put(0.5)
    answer = reader.user("1", n=1)
    assert (answer.generation, answer.items[0].score) == (new.generation, 5.5)
    assert old.generation != new.generation


def test_nothing_published(reader, keys, server):
    """An empty namespace is an error with the store and the next step."""
    expected = rf"the namespace '{keys.namespace}' at {re.escape(server.url)}\. .*batch run"
    for ask in (lambda: reader.user("1"), lambda: reader.movie("1"), reader.status):
        with pytest.raises(NothingPublished, match=expected):
            ask()


def test_store_that_was_emptied_under_a_warm_reader(reader, client, keys, put, stored):
    """A reader does not answer from its cache if the store lost everything."""
    put()
    reader.user("1")
    client.delete(*stored(client, keys))
    with pytest.raises(NothingPublished):
        reader.user("1")


def test_lost_manifest(reader, client, keys, put):
    """A live generation without a manifest is an error with a next step."""
    source = put()
    client.delete(keys.manifest(source.generation))
    with pytest.raises(DataLost, match=f"{source.generation}.*batch republish latest"):
        reader.user("1")


def test_lost_data(reader, client, keys, put):
    """A generation whose keys are gone is an error for every request."""
    source = put()
    reader.user("1")
    client.delete(*(keys.data(source.generation, suffix) for suffix in source.suffixes()))
    for ask in (
        lambda: reader.user("1"),
        lambda: reader.user("unknown", genres=["Comedy"]),
        lambda: reader.ranked("1"),
        lambda: reader.similar("1"),
        lambda: reader.popular("highest_rated", "Comedy"),
        lambda: reader.for_ratings({"1": 5.0}),
        lambda: reader.movie("1"),
        lambda: reader.seen("1"),
        lambda: reader.find_title("heat"),
        lambda: reader.search("heat"),
    ):
        with pytest.raises(DataLost, match="batch republish latest"):
            ask()
    status = reader.status()
    assert (status.generation, status.missing) == (source.generation, status.sampled)
    assert status.missing


def test_data_lost_in_part(reader, client, keys, put):
    """After a partial loss the rest is shown with a note, and the status counts missing keys."""
    source = put()
    assert (reader.status().sampled, reader.status().missing) == (7, 0)
    lost = ("popular:most_rated", "movie:1")
    client.delete(*(keys.data(source.generation, suffix) for suffix in lost))
    answer = reader.user("1", n=9)
    assert shown(answer) == [("3", "personal"), ("5", "personal"), ("1", "personal")]
    assert answer.notes == ("used_up", "data_lost")
    assert reader.status().missing == 1


def test_what_was_never_published_is_not_lost(reader, put):
    """A generation without popular movies, or without counts, is not reported as lost."""
    put(entries=[("user:1", b'{"i":[],"s":[]}')])
    assert reader.user("unknown").items == ()
    assert reader.movie("1") is None
    assert reader.status().sampled == 0


def test_later_schema_is_refused(reader, client, keys, put):
    """An unknown contract is refused."""
    source = put()
    manifest = json.loads(client.get(keys.manifest(source.generation)))
    client.set(keys.manifest(source.generation), json.dumps({**manifest, "schema": 2}))
    with pytest.raises(ContractMismatch, match="Upgrade the reader"):
        reader.user("1")


@pytest.mark.parametrize("n", [0, -1])
def test_n_below_one_is_refused(reader, put, n):
    """A list length of zero is refused."""
    put()
    with pytest.raises(UsageError, match="expected 1 or more"):
        reader.user("1", n=n)


def test_unknown_list_is_refused(reader, put):
    """Another kind of popular list is refused."""
    put()
    with pytest.raises(UsageError, match="highest_rated"):
        reader.popular("best")


def test_string_ids(reader, put):
    """Text ids are read unchanged."""
    value = encode_list(["a:b", '"],"s":['], [2, 1], numeric_ids=False)
    put(entries=[("user:{x} *", value), ("popular:most_rated", value)])
    assert shown(reader.user("{x} *", n=2)) == [("a:b", "personal"), ('"],"s":[', "personal")]


def test_id_that_is_no_text(reader, put):
    """An id with invalid UTF-8 from the command line is unknown, not an error."""
    put()
    assert reader.user("\udcff", n=1).source == "most_rated"


def test_server_that_is_down(make_reader, short_folder):
    """A store that does not answer is reported as unreachable."""
    reader = make_reader(f"unix://{short_folder}/none")
    with pytest.raises(StoreUnreachable, match="none"):
        reader.user("1")


def test_own_client_is_left_open(client, keys, put):
    """A reader does not close the connection of the caller."""
    put()
    with Reader(client=client, namespace=keys.namespace) as reader:
        reader.user("1")
    assert client.ping()


async def test_own_async_client(server, keys, put):
    """The asyncio reader accepts a connection, and tasks may share it."""
    put()
    async with (
        AsyncRedis.from_url(server.url) as client,
        AsyncReader(client=client, namespace=keys.namespace) as reader,
    ):
        answers = await asyncio.gather(*(reader.user(str(u), n=1) for u in (1, 2, 3, "x")))
        assert [a.source for a in answers] == ["personal"] * 3 + ["most_rated"]
        assert await client.ping()


async def test_tasks_connect_once(server, keys, put):
    """Requests that start together share one connection pool."""
    put()
    async with AsyncReader(server.url, keys.namespace) as reader:
        await asyncio.gather(*(reader.user("1") for _ in range(5)))
        assert reader._client is not None


def test_decoding_client_is_refused(server):
    """A client that decodes replies is refused."""
    client = Redis(unix_socket_path=str(server.socket), decode_responses=True)
    with client, pytest.raises(UsageError):
        Reader(client=client)


class Script:
    """Driver of a request that changes the store before given steps."""

    def __init__(self, client, changes) -> None:
        self.client = client
        self.changes = changes
        self.steps = 0

    def run(self, request):
        """Drive a request to its end."""
        try:
            step = next(request)
            while True:
                self.steps += 1
                self.changes.get(self.steps, lambda: None)()
                pipeline = self.client.pipeline(transaction=False)
                queue(pipeline, step, clustered=False)
                step = request.send(flattened(pipeline.execute(), step, clustered=False))
        except StopIteration as end:
            return end.value


@pytest.fixture
def moving(client, keys, put):
    """Publish two generations; return functions that switch to the newer and retire the older."""
    old, new = put(0.0), put(0.5)

    def to(source):
        def move():
            with RunLock(client, keys, heartbeat=False) as lock:
                flip(source.generation, lock=lock)

        return move

    def away():
        to(new)()
        names = [keys.data(old.generation, suffix) for suffix in old.suffixes()]
        client.delete(*names, keys.manifest(old.generation))

    to(old)()
    return old, new, to(new), away


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("ask", ["user", "unknown"])
def test_pointer_that_moves_between_steps(client, keys, moving, step, ask):
    """Wherever the pointer moves within a request, the answer is from one generation."""
    old, new, move, _ = moving
    answer = Script(client, {step: move}).run(Requests(keys).user(ask, n=3))

    first = {old.generation: 5.0, new.generation: 5.5}[answer.generation]
    assert answer.items[0].score == first
    assert len(answer.items) == 3


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("ask", ["user", "1"])
def test_generation_that_vanishes_between_steps(client, keys, moving, step, ask):
    """A generation retired within a request never makes a user unknown."""
    _, _, _, away = moving
    answer = Script(client, {step: away}).run(Requests(keys).user(ask, n=3))

    assert len(answer.items) == 3
    assert all(item.title != item.movie_id for item in answer.items)
    assert answer.source == ("personal" if ask == "1" else "most_rated")


@pytest.mark.parametrize("step", [2, 3])
def test_miss_is_made_sure_of(client, keys, moving, step):
    """A movie is unknown only if the generation is still live."""
    _, _, _, away = moving
    requests = Requests(keys)
    Script(client, {}).run(requests.movie("1"))
    assert Script(client, {step - 1: away}).run(requests.movie("1")).title == "Toy Story (1995)"
    assert Script(client, {}).run(requests.seen("1")) == ("2", "4")
    assert len(Script(client, {}).run(requests.find_title("heat"))) == 2


def test_warm_answer_takes_one_step(client, keys, put):
    """Labels are cached, so a personal list takes one round trip."""
    put()
    requests = Requests(keys)
    script = Script(client, {})
    script.run(requests.user("1", n=3))
    cold = script.steps
    script.run(requests.user("2", n=3))
    script.run(requests.user("1", n=2, exclude=["3"]))
    assert (cold, script.steps) == (3, 5)


def test_labels_are_bounded(client, keys, put, monkeypatch):
    """The cache of labels is bounded."""
    monkeypatch.setattr("reco_store.read.pinning.MAX_LABELS", 2)
    put()
    requests = Requests(keys)
    for n in (3, 6, 3):
        assert len(Script(client, {}).run(requests.popular("most_rated", None, n=n)).items) == n


def test_labels_are_read_again_when_the_cache_is_cleared(client, keys, put, monkeypatch):
    """Another request may clear the cache while this one reads labels."""
    monkeypatch.setattr("reco_store.read.pinning.MAX_LABELS", 2)
    put()
    requests = Requests(keys)
    Script(client, {}).run(requests.popular("most_rated", None, n=2))

    def forget():
        requests._pinning.snapshot.labels = {}

    script = Script(client, {3: forget})
    assert len(script.run(requests.popular("most_rated", None, n=6)).items) == 6


def test_pointer_that_never_stays(keys):
    """A pointer that moves at every attempt is an error."""
    request = Requests(keys).user("1", n=1)
    step = next(request)

    def move_for_ever(step):
        for turn in range(1000):
            counts = [0] * len(step.commands)
            step = request.send([f"g{turn}".encode(), *[None] * (len(step.keys) - 1), *counts])

    with pytest.raises(StoreUnfit, match="moved"):
        move_for_ever(step)
