"""Promise 2: every prefix of the write stream, as a crash leaves it, is complete."""

from __future__ import annotations

from datetime import UTC, datetime

from reco_store.connection.connect import connect
from reco_store.publishing.generations import release, rollback
from store_under_fault import KEYS

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no")


def boundaries(stream: bytes) -> list[int]:
    """Return the byte offset after each command of an append-only file, starting with 0."""
    ends, at = [0], 0
    while at < len(stream):
        end = stream.index(b"\r\n", at)
        count = int(stream[at + 1 : end])
        at = end + 2
        for _ in range(count):
            end = stream.index(b"\r\n", at)
            at = end + 2 + int(stream[at + 1 : end]) + 2
        ends.append(at)
    return ends


def live_on_it(store) -> None:
    """Perform every kind of write: publish, replace, roll back, hold, release, retire."""
    for number in range(3):
        store.publish(number, keep=2, now=lambda: NOON)
    with connect(store.writer_url) as client:
        assert rollback(client, KEYS, now=lambda: NOON) == store.night(1).generation
        assert store.publish(3, keep=2, now=lambda: NOON).outcome == "held"
        release(client, KEYS)
    store.publish(4, keep=1, now=lambda: NOON)


def test_02_every_prefix_of_the_writes(make_store, draw, many):
    """A file cut at or within a command gives a complete generation, and the next run succeeds."""
    store = make_store(*DURABLE)
    live_on_it(store)
    store.server.kill()
    (log,) = store.server.folder.glob("appendonlydir/*.incr.aof")
    stream = log.read_bytes()
    ends = boundaries(stream)
    cuts = [ends[-1], *draw().sample(ends, many(35, len(ends)))]
    cuts += draw("within").choices(range(len(stream)), k=many(5, 100))
    found = set()
    for cut in cuts:
        log.write_bytes(stream[:cut])
        store.server.start()
        found.add(store.live())
        with connect(store.writer_url) as client:
            release(client, KEYS)
        store.end_lease()
        assert store.publish(5).outcome == "live"
        store.require_only(5)
        store.server.kill()
    assert len(ends) > 200
    assert found >= {None, 1, 4}
