"""Faults, each injected into a real server: the pointer always names a complete generation.

Short forms; every one uses servers of its own, which it may kill, fill or freeze.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError

from reco_store.connection.connect import connect
from reco_store.contract.codec import encode_list
from reco_store.contract.keys import Keys
from reco_store.control.lock import RunLock
from reco_store.errors import Fenced, StoreUnfit, StoreUnreachable, VerifyFailed
from reco_store.publishing import staging
from reco_store.publishing.generations import collect, list_generations, release, rollback
from reco_store.publishing.outcome import Verdict
from reco_store.publishing.publisher import publish
from reco_store.publishing.replicas import Confirmation
from reco_store.publishing.staging import stage, verify
from reco_store.read.reader import Reader

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEYS = Keys("faults")
REDIS = Path("/usr/bin/redis-server")
BINARIES = [
    None,
    pytest.param(REDIS, marks=pytest.mark.skipif(not REDIS.exists(), reason="no redis-server")),
]


@pytest.fixture(params=BINARIES, ids=["valkey", "redis"])
def binary(request):
    """Binary of the server under test; None is the embedded one."""
    return request.param


def large(make_source, users: int, tag: float = 0.0):
    """Return a generation of about 1.2 kB per user."""
    ids = [str(n) for n in range(1000, 1100)]
    value = encode_list(ids, [5.0 + tag, *[1.125 + n for n in range(99)]], numeric_ids=True)
    entries = [(f"user:{user}", value) for user in range(users)]
    return make_source(entries=[*entries, ("popular:most_rated", value)])


def run(client, source, **options):
    """Publish as one run does."""
    with RunLock(client, KEYS, heartbeat=False) as lock:
        return publish(client, KEYS, source, lock=lock, **options)


class Proxy:
    """Proxy between a client and a server that drops the reply to one request."""

    def __init__(self, target: Path, path: Path, drop: int) -> None:
        self.target = target
        self.requests = 0
        self.drop = drop
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        """Serve one connection after the other, because the publisher uses one at a time."""
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            with near, socket.socket(socket.AF_UNIX) as far:
                far.connect(str(self.target))
                self.relay(near, far)

    def relay(self, near: socket.socket, far: socket.socket) -> None:
        """Forward requests and replies until one side closes, or until the reply to drop."""
        while request := near.recv(1 << 24):
            far.sendall(request)
            self.requests += 1
            reply = far.recv(1 << 24)
            if self.requests == self.drop:
                return
            near.sendall(reply)

    def close(self) -> None:
        """Stop; an open connection ends with its client."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(timeout=10)


@pytest.mark.slow
def test_lost_reply_at_any_command_changes_nothing(make_server, make_source, stored, tmp_path):
    """Whichever reply is lost, the run ends with the same keys as a run without faults."""
    server = make_server()
    nights = [make_source(tag) for tag in range(4)]
    outcomes = []
    requests = drop = 0
    while drop <= requests:
        proxy = Proxy(server.socket, Path(server.folder, f"p{drop}"), drop)
        with connect(server.url) as direct:
            direct.flushall()
            with connect(f"unix://{server.folder}/p{drop}") as client:
                run(client, nights[0], keep=2, now=lambda: NOON)
                run(client, nights[1], keep=2, now=lambda: NOON)
                rollback(client, KEYS, now=lambda: NOON)
                held = run(client, nights[2], keep=2, now=lambda: NOON)
                release(client, KEYS)
                run(client, nights[3], keep=1, now=lambda: NOON)
            found = stored(direct, KEYS)
        proxy.close()
        requests = max(requests, proxy.requests)
        found.pop(KEYS.fence)  # the token of the last run: drawn anew
        outcomes.append((drop, held.outcome, found))
        drop += 1

    assert requests > 100
    assert outcomes[0][1] == "held"
    assert [drop for drop, *rest in outcomes if rest != list(outcomes[0][1:])] == []


def test_restart_while_staging_publishes_no_hole(binary, make_server, make_source):
    """A server that restarts and loses data between two writes is noticed."""
    server = make_server(binary=binary)
    source = large(make_source, 2000)

    def restart(step, count):
        if step == "stage" and server.process.pid == first:
            server.kill()
            server.start()

    first = server.process.pid
    with connect(server.url) as client:
        with pytest.raises((VerifyFailed, StoreUnreachable)):
            run(client, source, progress=restart)
        assert client.get(KEYS.current) is None
        assert run(client, source).outcome == "live"


@pytest.mark.parametrize("moment", ["after reading", "after looking"])
def test_restart_before_the_flip_publishes_no_hole(
    binary, make_server, make_source, monkeypatch, moment
):
    """A server that restarts after the read-back, even after the last check, is noticed."""
    server = make_server("--appendonly", "yes", "--appendfsync", "always", binary=binary)
    source = make_source()

    def restart():
        server.kill()
        server.start()

    real = staging.look_at_servers
    if moment == "after looking":
        monkeypatch.setattr(
            "reco_store.publishing.publisher.require_same", lambda *args: (real(args[0]), restart())
        )
    with connect(server.url) as client:
        with pytest.raises(VerifyFailed, match="restarted"):
            run(client, source, gate=lambda _: restart() if moment != "after looking" else None)
        assert client.get(KEYS.current) is None
        monkeypatch.undo()
        assert run(client, source).outcome == "live"


def test_restart_while_reading_back(make_server, make_source):
    """A read-back from a server that restarted since staging is refused."""
    server = make_server("--appendonly", "yes", "--appendfsync", "always")
    source = make_source()
    with connect(server.url) as client, RunLock(client, KEYS, heartbeat=False) as lock:
        servers = stage(client, KEYS, source, lock=lock)
        server.kill()
        server.start()
        verify(client, KEYS, source, lock=lock)
        with pytest.raises(VerifyFailed, match="restarted"):
            verify(client, KEYS, source, lock=lock, servers=servers)


POLICIES = ["allkeys-lru", "allkeys-lfu", "allkeys-random"]
#: These drop nothing but keys with a TTL, of which the run lock is the only one of ours.
SPARING_POLICIES = ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"]


@pytest.mark.parametrize("policy", POLICIES)
def test_evicting_policies_are_refused(binary, make_server, make_source, policy):
    """A server that may evict keys is refused; the error names the policy and the remedy."""
    server = make_server("--maxmemory", "100mb", "--maxmemory-policy", policy, binary=binary)
    with connect(server.url) as client:
        with pytest.raises(StoreUnfit, match=f"{policy}.*noeviction"):
            run(client, make_source())
        assert client.dbsize() <= 1  # the fence


@pytest.mark.parametrize("policy", SPARING_POLICIES)
def test_sparing_policies_evict_the_lock_alone(binary, make_server, make_source, policy):
    """A run whose evicted lock another run took is fenced; otherwise it acquires the lock again."""
    server = make_server("--maxmemory-policy", policy, binary=binary)
    first, second = make_source(), make_source()
    with connect(server.url) as client, connect(server.url) as other:
        assert run(client, first).outcome == "live"
        kept = sorted(client.keys())
        assert [key for key in kept if client.ttl(key) != -1] == []

        def fill(*_) -> Verdict:
            client.set("filler", "x", px=3_600_000)
            client.config_set("maxmemory", 1)
            with pytest.raises(OutOfMemoryError):
                client.set("another", "x")
            client.config_set("maxmemory", 0)
            assert client.get(KEYS.lock) is None
            return Verdict(passed=True)

        assert run(client, second, gate=fill).outcome == "live"
        assert set(kept) <= set(client.keys())

        def fill_and_take_over(*_) -> Verdict:
            fill()
            with RunLock(other, KEYS, heartbeat=False):
                return Verdict(passed=True)

        with pytest.raises(Fenced):
            run(client, make_source(), gate=fill_and_take_over)
        assert client.get(KEYS.current).decode() == second.generation


def test_generation_that_does_not_fit_is_refused_before_it_is_written(
    binary, make_server, make_source
):
    """The memory forecast refuses in time, the error gives the shortage, the live one stays."""
    server = make_server("--maxmemory", "12mb", binary=binary)
    first, second = large(make_source, 3000), large(make_source, 9000)
    with connect(server.url) as client:
        run(client, first)
        with pytest.raises(StoreUnfit, match="Raise maxmemory by") as refused:
            run(client, second)
        assert refused.value.needed_bytes > refused.value.free_bytes > 0
        assert not list(client.scan_iter(f"{KEYS.namespace}:{second.generation}:*"))
        assert client.get(KEYS.current).decode() == first.generation


def test_old_generations_make_room(binary, make_server, make_source):
    """If only two generations fit, the oldest is deleted early, but never the live one."""
    server = make_server("--maxmemory", "16mb", binary=binary)
    sources = [large(make_source, 3000, tag) for tag in range(4)]
    with connect(server.url) as client:
        for source in sources:
            assert run(client, source).outcome == "live"
        notes = {r.id: r.note for r in list_generations(client, KEYS) if not r.stored}
    assert "make room" in notes[sources[0].generation]


@pytest.mark.parametrize("megabytes", [5, 7, 9])
def test_full_server_keeps_the_live_generation(
    binary, make_server, make_source, stored, monkeypatch, megabytes
):
    """If memory runs out while staging, the old keys stay and no new key is left."""
    monkeypatch.setattr(
        "reco_store.publishing.capacity.needed_bytes", lambda *_: 0
    )  # a forecast that is wrong
    monkeypatch.setattr("reco_store.publishing.capacity.TRANSIENT_BYTES", 0)
    server = make_server(binary=binary)
    first, second = large(make_source, 1500), large(make_source, 9000)
    with connect(server.url) as client:
        run(client, first)
        before = stored(client, KEYS)
        client.config_set("maxmemory", f"{megabytes}mb")
        with pytest.raises(StoreUnfit, match="full"):
            run(client, second)
        after = stored(client, KEYS)
    for name in (KEYS.generations, KEYS.fence):
        before.pop(name)
        after.pop(name)
    assert after == before


def test_rollback_on_a_full_server(binary, make_server, make_source):
    """When every SET fails, an operator can still roll back, release and collect."""
    server = make_server(binary=binary)
    with connect(server.url) as client:
        for tag in range(3):
            run(client, large(make_source, 500, tag))
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnfit, match="does not fit"):
            run(client, make_source())
        assert rollback(client, KEYS) == list_generations(client, KEYS)[1].id
        release(client, KEYS)
        with RunLock(client, KEYS, heartbeat=False) as lock:
            assert len(collect(lock=lock, keep=1)) == 2
        assert client.dbsize() == 501 + 5


NIGHT = """
import sys
from datetime import UTC, datetime
from reco_store import Keys, RunLock, Summary, connect, new_generation_id, publish
from reco_terminal.console import guard

url, tag, lease = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

class Source:
    generation = new_generation_id(datetime(2026, 11, 24, 3, tag, tzinfo=UTC))
    def entries(self):
        for user in range(3000):
            yield f"user:{user}", b'{"i":[1],"s":[%d]}' % tag
        yield "popular:most_rated", b'{"i":[1],"s":[%d]}' % tag
    def suffixes(self):
        return (suffix for suffix, _ in self.entries())

source = Source()
summary = Summary()
summary.update_many(source.entries())
source.manifest = {"schema": 1, "generation": source.generation, "ids": "integer",
    "created": datetime.now(UTC).isoformat(), **summary.manifest_fields()}
def progress(step, count):
    print(step, flush=True)

print("ready", flush=True)
sys.stdin.readline()
with guard(), connect(url) as client, RunLock(client, Keys("faults"), lease_seconds=lease) as lock:
    print("locked", flush=True)
    sys.stdin.readline()
    publish(client, lock.keys, source, lock=lock, keep=1, progress=progress)
print("done", flush=True)
"""


def start_night(url: str, tag: int, lease: float = 1.0, go: str = "\n\n") -> subprocess.Popen[str]:
    """Start a run in a process of its own, which prints its steps.

    It waits for a line before it takes the lock, and for another before it goes on.
    """
    night = subprocess.Popen(
        [sys.executable, "-c", NIGHT, url, str(tag), str(lease)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    send_line(night, go)
    return night


def send_line(night: subprocess.Popen[str], lines: str) -> None:
    """Let a run continue."""
    night.stdin.write(lines)
    night.stdin.flush()


def end(night: subprocess.Popen[str]) -> int:
    """Wait for a run to end, and return its exit code."""
    night.stdin.close()
    night.stdout.read()
    night.stdout.close()
    return night.wait(timeout=60)


def wait_for(process: subprocess.Popen[str], word: str, times: int) -> None:
    """Read the output of a run until a word has appeared often enough, or the run ends."""
    for line in process.stdout:
        times -= line.strip() == word
        if times <= 0:
            return


@pytest.mark.parametrize(
    ("word", "times"),
    [
        ("locked", 1),
        ("stage", 1),
        ("stage", 4),
        ("verify", 2),
        ("verify", 9),
        ("retire", 1),
        ("retire", 9),
        ("done", 1),
    ],
)
def test_killed_run(binary, make_server, stored, word, times):
    """A run killed at any step leaves one complete generation, and the next one cleans up."""
    server = make_server(binary=binary)
    with connect(server.url) as client, Reader(client=client, namespace="faults") as reader:
        assert end(start_night(server.url, 1)) == 0

        night = start_night(server.url, 2)
        wait_for(night, word, times)
        night.kill()
        end(night)
        scores = {reader.user(str(user), n=1).items[0].score for user in range(0, 3000, 7)}
        assert len(scores) == 1
        assert all(reader.user(str(u), n=1).source == "personal" for u in (0, 1500, 2999))

        client.delete(KEYS.lock)  # the lease ends
        assert end(start_night(server.url, 3)) == 0
        names = stored(client, KEYS)

    live = names[KEYS.current].decode()
    data = [name for name in names if name.startswith("faults:")]
    assert len(data) == 3001
    assert all(name.startswith(f"faults:{live}:") for name in data)
    assert set(names) - set(data) == {
        KEYS.current,
        KEYS.generations,
        KEYS.fence,
        KEYS.manifest(live),
        KEYS.inventory(live, 0),
    }


@pytest.mark.parametrize("word", ["stage", "verify"])
def test_stopped_run_is_fenced(binary, make_server, word):
    """A run stopped past its lease gives up if another run has published since."""
    server = make_server(binary=binary)
    with connect(server.url) as client:
        night = start_night(server.url, 1, lease=0.3)
        wait_for(night, word, 1)
        os.kill(night.pid, signal.SIGSTOP)
        while client.exists(KEYS.lock):
            time.sleep(0.02)
        assert end(start_night(server.url, 2, lease=30)) == 0
        live = client.get(KEYS.current)
        os.kill(night.pid, signal.SIGCONT)

        assert end(night) == 75
        assert client.get(KEYS.current) == live
        assert client.dbsize() == 3001 + 5


def test_overlapping_runs(binary, make_server):
    """If many runs start together, one publishes, and the others change nothing."""
    server = make_server(binary=binary)
    nights = [start_night(server.url, tag, lease=30, go="") for tag in range(5)]
    for night in nights:
        wait_for(night, "ready", 1)
    for night in nights:
        send_line(night, "\n")
    words = [night.stdout.readline().strip() for night in nights]
    winner = words.index("locked")
    codes = {tag: end(night) for tag, night in enumerate(nights) if tag != winner}
    send_line(nights[winner], "\n")
    codes[winner] = end(nights[winner])

    assert words.count("locked") == 1
    assert codes == {tag: 0 if tag == winner else 75 for tag in range(5)}
    with connect(server.url) as client:
        assert client.dbsize() == 3001 + 5
        assert len(list_generations(client, KEYS)) == 1


def test_frozen_replica_prevents_the_switch(binary, make_server, make_source, monkeypatch):
    """A run does not switch while a frozen replica has not confirmed."""
    primary = make_server("--repl-diskless-sync-delay", "0", binary=binary)
    replica = make_server("--replicaof", "127.0.0.1 1", binary=binary)
    with connect(primary.url) as client, connect(replica.url) as follower:
        client.config_set("port", port := free_port())
        follower.replicaof("127.0.0.1", port)
        while follower.info("replication")["master_link_status"] != "up":
            time.sleep(0.02)
        while client.info("replication").get("slave0", {}).get("state") != "online":
            time.sleep(0.02)  # only then the primary counts what the replica acknowledges
        first = make_source()
        monkeypatch.setattr("reco_store.publishing.replicas.WAIT_EVERY_BYTES", 100)
        assert run(client, first, replicas=1).outcome == "live"
        assert follower.get(KEYS.data(first.generation, "user:1"))

        monkeypatch.setattr("reco_store.publishing.replicas.WAIT_MILLISECONDS", 50)
        os.kill(replica.process.pid, signal.SIGSTOP)
        with pytest.raises(StoreUnfit, match="0 replicas"):
            run(client, make_source(), replicas=1)
        os.kill(replica.process.pid, signal.SIGCONT)
        assert client.get(KEYS.current).decode() == first.generation
        confirmation = Confirmation(client, "x:", 0)
        confirmation.wrote([("y", b"z")])
        confirmation.require_all()


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
