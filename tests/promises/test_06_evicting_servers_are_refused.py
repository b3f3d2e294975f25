"""Promise 6: evicting servers are refused, and a missing key is detected all the same."""

from __future__ import annotations

import pytest

from reco_store.connection.connect import connect
from reco_store.control.lock import RunLock
from reco_store.errors import RecoError, StoreUnfit, VerifyFailed
from reco_store.publishing.staging import stage, verify
from store_under_fault import KEYS

POLICIES = [f"allkeys-{by}" for by in ("lru", "lfu", "random")]


def test_06_evicting_servers_are_refused(make_store, draw, many):
    """Both ends refuse policies that evict keys without a TTL; errors name a missing key."""
    store = make_store()
    store.publish(0)
    for policy in POLICIES:
        store.admin.config_set("maxmemory-policy", policy)
        with pytest.raises(StoreUnfit, match=f"{policy}.*noeviction"):
            store.publish(1)
        store.require_only(0)
    store.admin.config_set("maxmemory-policy", "noeviction")

    source = store.night(1)
    with connect(store.writer_url) as client, RunLock(client, KEYS, heartbeat=False) as lock:
        stage(client, KEYS, source, lock=lock)
        for suffix, value in draw().sample(source.pairs, many(12, len(source.pairs))):
            name = KEYS.data(source.generation, suffix)
            store.admin.delete(name)
            with pytest.raises(VerifyFailed, match="missing") as failed:
                verify(client, KEYS, source, lock=lock)
            assert failed.value.suffix == suffix
            store.admin.set(name, value)
        verify(client, KEYS, source, lock=lock)

    def begin_to_evict(*_) -> None:
        store.admin.config_set("maxmemory-policy", "allkeys-random")

    with pytest.raises(StoreUnfit, match="allkeys-random"):
        store.publish(2, gate=begin_to_evict)
    store.require_only(0)
    store.admin.config_set("maxmemory-policy", "noeviction")

    def evict(*_) -> None:
        begin_to_evict()
        store.admin.config_set("maxmemory", 1)

    for seed in range(many(2, 10)):
        store.admin.flushall()
        with pytest.raises(RecoError):
            store.publish(3 + seed, progress=evict)
        assert store.live() is None
        store.admin.config_set("maxmemory", 0)
        store.admin.config_set("maxmemory-policy", "noeviction")
