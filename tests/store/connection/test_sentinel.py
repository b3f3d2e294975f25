"""Sentinel: each new connection finds the primary, and a failover splits no generation."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from real_servers import BINARIES, free_ports, replica_is_online, wait_until
from reco_store.connection.client import store_errors
from reco_store.connection.connect import connect
from reco_store.control.lock import RunLock
from reco_store.control.rights import require_rights
from reco_store.errors import StoreError, StoreUnreachable
from reco_store.publishing.publisher import publish
from reco_store.read.async_reader import AsyncReader
from reco_store.read.reader import Reader

SECRET = "canary-7f3a"  # noqa: S105  a canary, to be found wherever it leaks


class Watched:
    """Primary and replica on the loopback, and a Sentinel with a password."""

    def __init__(self, make_server, folder) -> None:
        first, second, self.sentinel_port = free_ports(3)
        self.ports = (first, second)
        local = ("--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
        self.servers = [make_server("--port", str(port), *local) for port in self.ports]
        self.nodes = [Redis(port=port, retry=Retry(NoBackoff(), 0)) for port in self.ports]
        self.nodes[1].execute_command("REPLICAOF", "127.0.0.1", str(first))
        wait_until(lambda: replica_is_online(self.nodes[0]))
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {self.sentinel_port}\nbind 127.0.0.1\nrequirepass {SECRET}\ndir {folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {first} 1\n"
            "sentinel down-after-milliseconds mymaster 1000\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        self.process = subprocess.Popen(
            [BINARIES["valkey"], settings, "--sentinel"], stdout=subprocess.DEVNULL
        )
        self.sentinel = Redis(port=self.sentinel_port, password=SECRET, retry=Retry(NoBackoff(), 0))
        wait_until(self._knows_replica)

    @property
    def url(self) -> str:
        """Address of the Sentinels, the first of which is down."""
        hosts = f"127.0.0.1:1,127.0.0.1:{self.sentinel_port}"
        return f"redis-sentinel://{hosts}/mymaster/0?sentinel_password={SECRET}"

    def _knows_replica(self) -> bool:
        with suppress(RedisError):
            return bool(self.sentinel.sentinel_slaves("mymaster"))
        return False

    def _names_replica_as_primary(self) -> bool:
        primary = self.sentinel.sentinel_master("mymaster")
        # A busy machine can answer a Sentinel late: the new primary is "down" to it until then.
        return primary["port"] == self.ports[1] and not primary["is_sdown"]

    def fail_over(self) -> None:
        """Kill the primary, and wait for the failover."""
        self.servers[0].kill()
        wait_until(self._names_replica_as_primary)
        wait_until(lambda: self.nodes[1].role()[0] == b"master")

    def end(self) -> None:
        """Stop the Sentinel; the servers end with the test."""
        self.process.kill()
        self.process.wait()
        for node in (*self.nodes, self.sentinel):
            node.close()


@pytest.fixture
def watched(make_server, tmp_path):
    """Start a primary, its replica and a Sentinel."""
    found = Watched(make_server, tmp_path)
    yield found
    found.end()


async def test_failover(watched, keys, make_source):
    """A run during a failover publishes all or nothing, and readers follow the primary."""
    first, second = make_source(), make_source()
    with connect(watched.url) as client, RunLock(client, keys, heartbeat=False) as lock:
        require_rights(client, keys)
        assert publish(client, keys, first, lock=lock, replicas=1).outcome == "live"
    async with AsyncReader(watched.url, keys.namespace) as later:
        assert (await later.status()).generation == first.generation
        with connect(watched.url) as client, Reader(watched.url, keys.namespace) as reader:
            assert reader.status().generation == first.generation
            with RunLock(client, keys, heartbeat=False) as lock, pytest.raises(StoreError):
                publish(
                    client,
                    keys,
                    second,
                    lock=lock,
                    progress=lambda step, _: step == "verify" and watched.fail_over(),
                )
            assert reader.status().generation == first.generation
            assert reader.user("1", n=1).items
        assert (await later.status()).generation == first.generation
    with connect(watched.url) as client:
        client.delete(keys.lock)
        with RunLock(client, keys, heartbeat=False) as lock:
            assert publish(client, keys, second, lock=lock).outcome == "live"


def test_name_or_password_that_sentinels_do_not_take(watched):
    """An unknown primary is reported with a next step, without the password."""
    for url in (
        watched.url.replace("mymaster", "other"),
        watched.url.replace(SECRET, "wrong"),
        watched.url.partition("?")[0],
    ):
        with (
            connect(url) as client,
            pytest.raises(StoreUnreachable, match="no Sentinel there has a primary") as refused,
            store_errors(client),
        ):
            client.get("x")
        assert SECRET not in str(refused.value)
        assert f"127.0.0.1:{watched.sentinel_port}" in str(refused.value)
