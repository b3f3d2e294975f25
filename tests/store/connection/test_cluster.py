"""Redis Cluster: the same contract and the same code on three primaries with a replica each.

What happens when its nodes fail or move is for tests/promises.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest
from redis.crc import key_slot

from real_servers import PRIMARIES, wait_until
from reco_store.connection.connect import connect
from reco_store.connection.transfer import write_batch
from reco_store.control.lock import RunLock
from reco_store.errors import DataLost, StoreUnfit, VerifyFailed
from reco_store.publishing import publisher
from reco_store.publishing.generations import list_generations, rollback
from reco_store.publishing.outcome import GateInput
from reco_store.publishing.publisher import publish
from reco_store.publishing.replicas import Confirmation
from reco_store.read.async_reader import AsyncReader
from reco_store.read.reader import Reader


@pytest.fixture
def client(cluster):
    """Return a connection to the cluster."""
    with connect(cluster.url) as connection:
        yield connection


def test_whole_life_of_generations(cluster, client, keys, make_source):
    """All writing commands work on a cluster, and readers see complete generations."""
    sources = [make_source(tag / 2) for tag in range(4)]
    with RunLock(client, keys, heartbeat=False) as lock:
        for source in sources[:3]:
            result = publish(client, keys, source, lock=lock, keep=2, replicas=1)
            assert result.outcome == "live"
        assert result.retired == (sources[0].generation,)
    with Reader(client=client, namespace=keys.namespace) as reader:
        assert reader.user("1", n=1).items[0].score == 6.0
        assert reader.user("unknown", n=1).source == "most_rated"
        assert [movie.movie_id for movie in reader.find_title("heat")] == ["3", "4"]
        assert rollback(client, keys) == sources[1].generation
        assert reader.user("1", n=1).items[0].score == 5.5
        assert reader.status().held_until is not None
    with RunLock(client, keys, heartbeat=False) as lock:
        assert publish(client, keys, sources[3], lock=lock).outcome == "held"
    states = [record.state for record in list_generations(client, keys)]
    assert states == ["ready", "quarantined", "ready", "retired"]
    names = {
        name.decode()
        for node in cluster.nodes[:PRIMARIES]
        for name in node.scan_iter(f"{keys.namespace}:*")
    }
    assert {name.split(":")[1] for name in names} == {sources[1].generation, sources[3].generation}


def test_lost_data(cluster, client, keys, make_source):
    """Lost keys of one node show in status and gate, and loss of all nodes in readers."""
    source = make_source()
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, source, lock=lock)
    given = GateInput(source.generation, {}, source.generation, {}, client, keys)
    assert set(given.sample(source.generation, 1000)) == set(source.suffixes())
    assert 1 < len(given.sample(source.generation, 7)) <= 7
    names = [keys.data(source.generation, suffix) for suffix in source.suffixes()]
    with Reader(client=client, namespace=keys.namespace) as reader:
        assert reader.status().missing == 0
        for name in names:
            client.delete(name)
        assert reader.status().missing == 1
        with pytest.raises(DataLost):
            reader.user("1")
    sample = given.sample(source.generation, 7)
    assert all(value is None for _, value in given.read(source.generation, sample))


async def test_asyncio_reader(cluster, client, keys, make_source):
    """The asyncio reader reads a cluster too."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(), lock=lock)
    async with AsyncReader(cluster.url, keys.namespace) as reader:
        assert (await reader.user("1", n=1)).items[0].title == "Heat (1995)"
        assert (await reader.user("unknown", n=2)).source == "most_rated"


def test_evicting_node_is_refused(cluster, client, keys, make_source):
    """A cluster with one evicting node is refused with the name of the node."""
    node = cluster.nodes[1]
    node.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with (
            RunLock(client, keys, heartbeat=False) as lock,
            pytest.raises(StoreUnfit, match=str(cluster.ports[1])),
        ):
            publish(client, keys, make_source(), lock=lock)
    finally:
        node.config_set("maxmemory-policy", "noeviction")


def promote(cluster, primary: int) -> int:
    """Fail over a primary to its replica; return the number of the new primary."""
    replicas: list[int] = []

    def knows_replica() -> bool:  # a node learns a moment after a failover who follows whom
        with suppress(StopIteration):
            replicas.append(cluster.replica_of(primary))
        return bool(replicas)

    wait_until(knows_replica)
    replica = replicas[0]
    cluster.nodes[replica].execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
    wait_until(lambda: replica in cluster.primaries() and primary not in cluster.primaries())
    cluster.settle()
    return replica


def test_pointer_on_an_unknown_server_is_not_moved(cluster, client, keys, make_source, monkeypatch):
    """A failover just before the flip stops the run."""
    first = make_source()
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, first, lock=lock)
    look = publisher.require_same

    def look_then_promote(*given) -> None:
        look(*given)
        promote(cluster, cluster.owners()[key_slot(keys.current.encode())])
        client.nodes_manager.initialize()

    monkeypatch.setattr(publisher, "require_same", look_then_promote)
    with (
        RunLock(client, keys, heartbeat=False) as lock,
        pytest.raises(VerifyFailed, match="another server has taken over the pointer"),
    ):
        publish(client, keys, make_source(), lock=lock)
    assert client.get(keys.current).decode() == first.generation


def test_confirmation_asks_who_holds_the_keys_by_now(cluster, keys, monkeypatch):
    """After a failover between batches, the replica of the new primary must confirm."""
    monkeypatch.setattr("reco_store.publishing.replicas.WAIT_MILLISECONDS", 20)
    prefix = keys.data_prefix("20261124T031502Z-7f3a")
    with connect(cluster.url, timeout_seconds=0.5) as client:
        confirmation = Confirmation(client, prefix, 1)
        for batch in (
            [(f"user:{n}", b"x") for n in range(9 * part, 9 * part + 9)] for part in (0, 1)
        ):
            write_batch(client, prefix, batch)
            confirmation.wrote(batch)
        confirmation.require_all()
        former = cluster.primaries()[0]
        promoted = promote(cluster, former)
        confirmation.require_all()
        process = cluster.processes[former]
        os.kill(process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnfit, match=rf"0 replicas of \S+:{cluster.ports[promoted]}"):
                confirmation.require_all()
        finally:
            os.kill(process.pid, signal.SIGCONT)
        cluster.settle()
