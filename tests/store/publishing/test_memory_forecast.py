"""Memory forecast: within 5 % of the use of real servers."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_store.connection.connect import connect
from reco_store.connection.servers import look_at_servers
from reco_store.contract.codec import MovieRecord, encode_list, encode_movie
from reco_store.contract.keys import Keys
from reco_store.control.lock import RunLock
from reco_store.publishing.capacity import needed_bytes
from reco_store.publishing.memory_forecast import Sizes, forecast_bytes, sizes_of
from reco_store.publishing.publisher import publish

SYSTEM_REDIS = Path("/usr/bin/redis-server")
SHAPES = {
    "lists": (8000, 100, 0),
    "long lists": (1500, 1000, 0),
    "labels": (0, 0, 12_000),
    "a real mixture": (3000, 100, 9000),
}


def entries_of(users: int, length: int, movies: int) -> list[tuple[str, bytes]]:
    """Return entries of a shape: lists of a length, and cards."""
    draw = random.Random(7)
    entries = []
    for user in range(users):
        ids = [str(n) for n in draw.sample(range(1, 170_000), length)]
        scores = [draw.random() * 5 for _ in ids]
        entries.append((f"user:{user}", encode_list(ids, scores, numeric_ids=True)))
    for movie in range(movies):
        title = "x" * draw.randrange(3, 60)
        record = MovieRecord(title, 1990, ("Comedy", "Drama")[: movie % 3], movie, 3.5)
        entries.append((f"movie:{movie}", encode_movie(record)))
        entries.append((f"title:{title}{movie}", b'{"i":[%d]}' % movie))
    return entries


@pytest.mark.parametrize(("shape", "before"), [*((s, 0) for s in SHAPES), ("lists", 20_000)])
@pytest.mark.parametrize("binary", [None, SYSTEM_REDIS], ids=["valkey", "redis"])
@pytest.mark.slow
def test_forecast(make_server, make_source, shape, before, binary):
    """The forecast for a generation matches the memory that it uses."""
    if binary is not None and not binary.exists():
        pytest.skip(f"{binary} is not installed")
    server = make_server(binary=binary)
    source = make_source(entries=entries_of(*SHAPES[shape]))
    keys = Keys("memory")
    with connect(server.url) as client:
        for start in range(0, before, 1000):
            client.mset({f"foreign:{n}": "x" for n in range(start, start + 1000)})
        settle(client)
        (node,) = look_at_servers(client).nodes
        forecast = needed_bytes(keys, source.manifest, node, 1)
        with RunLock(client, keys, heartbeat=False) as lock:
            publish(client, keys, source, lock=lock)
        settle(client)
        taken = look_at_servers(client).nodes[0].used_bytes - node.used_bytes

    assert forecast == pytest.approx(taken, rel=0.05)


def settle(client) -> None:
    """Wait until buffers are freed and hash tables have their size."""
    used = [0, client.info("memory")["used_memory"]]
    while abs(used[-1] - used[-2]) > 5_000 and len(used) < 6:
        time.sleep(0.2)
        used.append(client.info("memory")["used_memory"])


@given(st.dictionaries(st.integers(1, 300), st.integers(1, 50), min_size=1))
def test_more_needs_more(values):
    """A forecast grows with every entry, under either allocator."""
    sizes = Sizes(values, values)
    double = Sizes(values, {size: 2 * count for size, count in values.items()})
    for allocator in ("jemalloc-5.3.0", "libc"):
        for cluster in (True, False):
            options = {"prefix_bytes": 27, "allocator": allocator, "keys_before": 0}
            small = forecast_bytes(sizes, **options, cluster=cluster)
            assert small >= sum(size * count for size, count in values.items())
            assert forecast_bytes(double, **options, cluster=cluster) > small


def test_manifest_without_histograms():
    """An older manifest, with totals only, is forecast from their mean."""
    sizes = sizes_of({"entries": 10, "bytes": 12_000})
    assert sizes.entries == 10
    assert sizes.values == {1200: 10}
    assert sizes_of({"entries": 0, "bytes": 0}).entries == 0
