"""Promise 20: on a cluster a generation is published completely or not at all, whatever fails.

A failover may lose acknowledged writes. A generation that was read back before the failover is not
read back after it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from listed_nights import write_night
from reco_batch.commands.run_commands import republish_command
from reco_batch.settings.all_settings import Settings
from reco_batch.settings.target import Target
from reco_store import Keys
from reco_store.connection.connect import connect
from reco_store.errors import RecoError, StoreUnfit
from small_generations import number_of, small_night
from store_under_fault import KEYS, publish_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from real_servers import Cluster
    from reco_store.connection.client import Client
    from small_generations import Source

USERS = 40
CONTROL = key_slot(KEYS.current.encode())
FROZEN_SECONDS = 0.1
NUMBERS = count()

Moment = tuple[str, int]  # the step, and the number of its report


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Publish in small batches, so that there are many moments."""
    monkeypatch.setattr("reco_store.connection.transfer.MAX_BATCH_COMMANDS", 20)
    monkeypatch.setattr("reco_store.connection.transfer.UNLINK_BATCH_KEYS", 20)


def night(number: int) -> Source:
    """Make a generation with users on every primary."""
    return small_night(number, USERS)


def names_of(source: Source) -> list[str]:
    """Return the names of a generation's data keys."""
    return [KEYS.data(source.generation, suffix) for suffix in source.suffixes()]


def publish(cluster: Cluster, number: int, *, client: Client | None = None, **options):
    """Publish on a new connection, with confirmation by one replica of each primary."""
    with client or connect(cluster.url) as connection:
        return publish_on(connection, night(number), **{"keep": 1, "replicas": 1, **options})


def live(cluster: Cluster) -> int:
    """Require that the live generation is complete to the byte; return its number."""
    with connect(cluster.url) as client:
        source = night(number_of(client.get(KEYS.current).decode()))
        assert client.mget_nonatomic(names_of(source)) == [value for _, value in source.pairs]
    return number_of(source.generation)


def next_night(cluster: Cluster) -> None:
    """Publish after a dead run's lease has expired, and require that nothing else is left."""
    number = next(NUMBERS)
    with connect(cluster.url) as client:
        client.delete(KEYS.lock)
    assert publish(cluster, number).outcome == "live"
    assert live(cluster) == number
    source = night(number)
    expected = {KEYS.current, KEYS.generations, KEYS.fence, *names_of(source)}
    expected |= {KEYS.manifest(source.generation), KEYS.inventory(source.generation, 0)}
    primaries = [cluster.nodes[index] for index in cluster.primaries()]
    assert {name.decode() for node in primaries for name in node.scan_iter()} == expected


def publish_amid(cluster: Cluster, number: int, events: dict[Moment, Callable[[], object]]) -> str:
    """Publish while actions run at given moments; run the remaining ones at the end.

    The previous or this generation is live afterwards; this one if publishing returned.

    Returns:
        How it ended.
    """
    before = live(cluster)
    seen: Counter[str] = Counter()

    def progress(word: str, _: int) -> None:
        moment = word, seen[word]
        seen[word] += 1
        events.pop(moment, int)()

    try:
        gate = partial(progress, "gate")
        end = publish(cluster, number, progress=progress, gate=lambda _: gate(0)).outcome
    except RecoError as error:
        end = type(error).__name__
    for event in events.values():
        event()
    cluster.fail_over()
    assert live(cluster) in ((number,) if end == "live" else (before, number))
    return end


def moments_of(cluster: Cluster) -> list[Moment]:
    """Publish two generations, and return the moments at which actions can disturb the third."""
    publish(cluster, next(NUMBERS))
    moments: list[Moment] = []
    words: Counter[str] = Counter()

    def progress(word: str, _: int) -> None:
        moments.append((word, words[word]))
        words[word] += 1

    publish(cluster, next(NUMBERS), progress=progress, gate=lambda _: progress("gate", 0))
    return moments


def test_20_a_primary_dies(cluster, draw, many):
    """A primary killed at any moment gives an error or a complete generation, then a good run."""
    moments = moments_of(cluster)
    ends: Counter[str] = Counter()
    for trial in range(many(2, 20)):
        draws = draw(trial)
        victim, waits = draws.choice(cluster.primaries()), trial % 2 == 0

        def die(victim=victim, waits=waits) -> None:
            cluster.kill(victim)
            if waits:  # else the run continues before the replica has taken over
                cluster.fail_over()

        ends[publish_amid(cluster, next(NUMBERS), {draws.choice(moments): die})] += 1
        cluster.revive()
        next_night(cluster)
    assert sum(ends[end] for end in ends if end != "live") > 0


def test_20_slots_move(cluster, draw, many):
    """A slot that migrates during publishing gives an error or a complete generation."""
    moments = moments_of(cluster)
    for trial in range(many(9, 100)):
        draws = draw(trial)
        number = next(NUMBERS)
        slot = key_slot(draws.choice(names_of(night(number))).encode()) if trial % 3 else CONTROL
        source = cluster.owners()[slot]
        to = draws.choice([index for index in cluster.primaries() if index != source])
        first, last = sorted(draws.sample(range(len(moments)), 2))
        events = {
            moments[first]: partial(cluster.begin_to_move, slot, source, to),
            moments[last]: partial(cluster.finish_move, slot, source, to),
        }
        publish_amid(cluster, number, events)
        next_night(cluster)


def test_20_each_primary_has_its_replica(cluster, monkeypatch):
    """One frozen replica, whichever it is, prevents publishing and is named in the error."""
    next_night(cluster)
    before = live(cluster)
    monkeypatch.setattr("reco_store.publishing.replicas.WAIT_MILLISECONDS", 20)
    for primary in cluster.primaries():
        replica = cluster.processes[cluster.replica_of(primary)]
        client = connect(cluster.url, timeout_seconds=0.3)
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnfit, match=rf"0 replicas of \S+:{cluster.ports[primary]}"):
                publish(cluster, next(NUMBERS), client=client)
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        assert live(cluster) == before
    next_night(cluster)


def test_20_the_command_waits_for_replicas(cluster, tmp_path, monkeypatch):
    """`batch republish --replicas N` refuses a cluster with fewer replicas, early and late."""
    lists = {"1": [1, 2], "2": [2, 3]}
    named = {"parameters": {"namespace": "replicated", "k": 2, "ranked_k": 2}, "data": {}}
    artifact = write_night(tmp_path / "artifacts", 0, lists, [1, 2, 3], **named)
    target = Target(cluster.url, "replicated", tmp_path)
    monkeypatch.setattr("reco_store.publishing.replicas.WAIT_MILLISECONDS", 200)

    def republish(replicas: int) -> str:
        settings = Settings(quiet=True, replicas=replicas)
        return republish_command(settings, target, artifact.generation, force="handmade").outcome

    with pytest.raises(StoreUnfit, match=r"1 replicas of \S+ confirm writes, expected 2"):
        republish(2)
    assert published_under(cluster, "replicated") == []

    monkeypatch.setattr("reco_batch.night.publish_stage.require_replicas", lambda *_: None)
    with pytest.raises(StoreUnfit, match=r"1 replicas of \S+ confirm writes, expected 2"):
        republish(2)  # as if replicas were lost after the first check
    assert Keys("replicated").current not in published_under(cluster, "replicated")

    assert republish(1) == "live"
    assert Keys("replicated").current in published_under(cluster, "replicated")
    remove_namespace(cluster, "replicated")


def published_under(cluster: Cluster, namespace: str) -> list[str]:
    """Return the keys of a namespace, its lock and fence aside."""
    keys = Keys(namespace)
    primaries = [cluster.nodes[index] for index in cluster.primaries()]
    found = [name.decode() for node in primaries for name in node.scan_iter(f"*{namespace}*")]
    return sorted(set(found) - {keys.lock, keys.fence})


def remove_namespace(cluster: Cluster, namespace: str) -> None:
    """Delete the keys of a namespace: later tests compare all keys of the cluster."""
    with connect(cluster.url) as client:
        for name in (*published_under(cluster, namespace), Keys(namespace).fence):
            client.delete(name)


class ReplicaReader(threading.Thread):
    """Thread that reads whole generations from replicas only, by the replica's own pointer."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.stopped = threading.Event()
        self.reads = 0
        self.bad: list[object] = []
        self.owners = cluster.owners()
        self.replicas = {
            primary: cluster.replica_reading(primary) for primary in cluster.primaries()
        }

    def run(self) -> None:
        """Read until stopped."""
        while not self.stopped.is_set():
            (pointer,) = self.read([KEYS.current])
            source = night(number_of(pointer.decode()))
            if self.read(names_of(source)) != [value for _, value in source.pairs]:
                self.bad.append(pointer)
            self.reads += 1

    def read(self, names: list[str]) -> list[bytes | None]:
        """Read each key from the replica that holds it."""
        found: dict[str, bytes | None] = {}
        for primary, replica in self.replicas.items():
            mine = [name for name in names if self.owners[key_slot(name.encode())] == primary]
            with replica.pipeline(transaction=False) as pipeline:
                for name in mine:
                    pipeline.get(name)
                found |= dict(zip(mine, pipeline.execute(), strict=True))
        return [found[name] for name in names]


def test_20_replicas_are_never_incomplete(cluster, draw, many):
    """With replicas frozen for a moment during publishing, every pointer leads to complete data."""
    cluster.settle()
    publish(cluster, next(NUMBERS), keep=3)
    reader = ReplicaReader(cluster)
    reader.start()
    for trial in range(many(20, 300)):
        primary = draw(trial).choice(cluster.primaries())
        replica = cluster.processes[cluster.replica_of(primary)].pid
        thaw = threading.Timer(FROZEN_SECONDS, os.kill, (replica, signal.SIGCONT))

        def freeze(word: str, _: int, replica=replica, thaw=thaw) -> None:
            if word == "stage" and thaw.ident is None:
                os.kill(replica, signal.SIGSTOP)
                thaw.start()

        publish(cluster, next(NUMBERS), keep=3, progress=freeze)
        thaw.join()
    reader.stopped.set()
    reader.join(timeout=30)
    assert reader.bad == []
    assert reader.reads > 10
