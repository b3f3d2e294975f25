"""Waiting for a server that is not ready: readers for seconds, writers for a minute."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.exceptions import MasterDownError

from reco_store.connection import waiting
from reco_store.connection.connect import connect
from reco_store.connection.scripts import with_retries
from reco_store.control.lock import RunLock
from reco_store.errors import StoreNotReady, StoreUnreachable
from reco_store.publishing.publisher import publish
from reco_store.read.async_reader import AsyncReader
from reco_store.read.reader import Reader

SECONDS = 0.6


@pytest.fixture
def published(make_server, binary, keys, make_source):
    """Start a server with a generation."""
    server = make_server(binary=binary)
    with connect(server.url) as client, RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(), lock=lock)
    return server


@contextmanager
def stale(server, seconds: float):
    """Turn a server into a replica without a primary for a while."""
    with connect(server.url) as admin:
        admin.config_set("replica-serve-stale-data", "no")
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        timer = threading.Timer(seconds, admin.execute_command, ("REPLICAOF", "NO", "ONE"))
        timer.start()
        try:
            yield
        finally:
            timer.join()


def test_reader_waits_for_a_moment(published, keys):
    """A blocking reader waits for the end of a short failover."""
    with Reader(published.url, keys.namespace) as reader, stale(published, SECONDS):
        assert reader.user("1", n=1).items


async def test_asyncio_reader_waits_for_a_moment(published, keys):
    """The asyncio reader waits without blocking the loop."""
    async with AsyncReader(published.url, keys.namespace) as reader:
        with stale(published, SECONDS):
            assert (await reader.user("1", n=1)).items


async def test_readers_do_not_wait_for_long(published, keys, monkeypatch):
    """After the limit a reader raises StoreNotReady, so that requests do not pile up."""
    for place in ("reader", "async_reader"):
        monkeypatch.setattr(f"reco_store.read.{place}.READER_SECONDS", 0.2)
    with stale(published, 2.5):
        began = time.monotonic()
        with (
            Reader(published.url, keys.namespace) as reader,
            pytest.raises(StoreNotReady, match=r"lost its primary.*Try again"),
        ):
            reader.user("1")
        async with AsyncReader(published.url, keys.namespace) as reader:
            with pytest.raises(StoreNotReady, match=r"lost its primary.*Try again"):
                await reader.user("1")
        assert time.monotonic() - began < 2


def test_writer_waits_for_longer(published, keys):
    """A writer waits longer than a reader, unless its patience is 0."""
    with connect(published.url) as client, stale(published, SECONDS):
        with pytest.raises(MasterDownError):
            with_retries(lambda: client.get(keys.current), 0)
        assert with_retries(lambda: client.get(keys.current))


def test_loading_is_waited_for(published, keys):
    """Readers and writers wait for a server that loads its data."""
    with connect(published.url) as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(3000):
            pipeline.set(f"filler:{number}", "x" * 20)
        pipeline.execute()
        client.save()
    published.kill()
    published.options = (
        "--key-load-delay",
        "300",
        "--loading-process-events-interval-bytes",
        "1024",
    )
    thread = threading.Thread(target=published.start)
    thread.start()
    deadline = time.monotonic() + 20
    with connect(published.url) as client:
        while time.monotonic() < deadline:
            try:
                found = with_retries(lambda: client.get(keys.current))
                break
            except Exception:  # noqa: BLE001  it does not listen yet
                time.sleep(0.01)
        assert found
    thread.join()


def test_waiting_ends():
    """Pauses grow within the limit, for passing errors only."""
    now = [0.0]
    patience = waiting.Waiting(10, clock=lambda: now[0])
    pauses = []
    while (pause := patience.pause(StoreNotReady("x", "y"))) is not None:
        pauses.append(pause)
        now[0] += pause
    assert sum(pauses) == pytest.approx(10)
    assert max(pauses) == 1
    assert waiting.Waiting(10).pause(StoreUnreachable("x", "y")) is None


@pytest.mark.parametrize(
    "words", [("reco", "get-user", "1"), ("batch", "generations")], ids=" ".join
)
@pytest.mark.slow
def test_commands_report_a_wait_in_one_line(published, keys, tmp_path, words):
    """A wait is reported in one line, then the answer follows."""
    program = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    environment = {**os.environ, "REDIS_URL": published.url, "RECO_NAMESPACE": keys.namespace}
    with stale(published, 6):
        done = subprocess.run(
            program,
            env={**environment, "RECO_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("waiting for up to 60 s") == 1
    assert "lost its primary" in done.stderr
