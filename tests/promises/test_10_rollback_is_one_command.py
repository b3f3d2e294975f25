"""Promise 10: a rollback is one command of constant size, even on a full server.

benchmarks/serving.py measures its server time in milliseconds.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from reco_store.connection.connect import connect
from reco_store.errors import UnknownGeneration, UsageError
from reco_store.publishing.generations import release, rollback
from small_generations import small_night
from store_under_fault import KEYS

BATCH = [sys.executable, "-c", "import reco_batch; reco_batch.main()"]


def calls(store) -> dict[str, int]:
    """Return the calls of each command, including those made by scripts."""
    found = store.admin.info("commandstats")
    ours = ("mget", "eval", "get", "set", "del", "scan", "unlink")
    return {name: found.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ours}


def test_10_rollback_is_one_command(make_store, many):
    """On a full server, each rollback from a bad generation leads to a good one or to none."""
    store = make_store(make_night=lambda number: small_night(number, users=40 * number + 1))
    last = many(5, 40)
    for number in range(last + 1):
        store.publish(number, keep=last + 1)
    store.admin.config_set("maxmemory", 1)

    environment = {"REDIS_URL": store.writer_url, "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [*BATCH, "rollback", "--reason", "odd"], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert store.live() == last - 1

    costs = []
    with connect(store.writer_url) as client:
        for number in range(last - 2, -1, -1):
            store.admin.config_resetstat()
            assert rollback(client, KEYS) == store.night(number).generation
            costs.append(calls(store))
            assert store.live() == number
        with pytest.raises(UnknownGeneration, match="does not exist"):
            rollback(client, KEYS)
        for bad in range(1, last + 1):
            with pytest.raises(UnknownGeneration, match="quarantined"):
                rollback(client, KEYS, to=store.night(bad).generation)
        store.admin.config_set("maxmemory", 0)
        release(client, KEYS)
        with pytest.raises(UsageError, match="rolled back"):
            store.publish(last)
    assert store.live() == 0
    assert all(cost == costs[0] for cost in costs)
    assert sum(costs[0].values()) < 10
