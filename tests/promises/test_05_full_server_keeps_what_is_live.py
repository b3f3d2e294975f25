"""Promise 5: memory exhausted at any point leaves the live generation intact."""

from __future__ import annotations

from functools import partial

import pytest

from reco_store.errors import StoreUnfit
from reco_store.publishing.memory_forecast import TRANSIENT_BYTES
from small_generations import wide_night
from store_under_fault import KEYS

USERS = 3000


def used(store) -> int:
    """Return the server's used memory."""
    return int(store.admin.info("memory")["used_memory"])


def test_05_full_server_keeps_what_is_live(make_store, stored, many, monkeypatch):
    """A generation forecast not to fit is refused with the megabytes it needs.

    With a wrong forecast and any maxmemory, the new keys are removed again.
    """
    store = make_store(make_night=partial(wide_night, users=USERS))
    store.publish(0)
    old = stored(store.admin, KEYS)
    before = used(store)
    store.publish(1, keep=2)
    growth = used(store) - before
    store.admin.flushall()
    store.publish(0)

    steps = many(6, 64)
    for step in range(steps):
        store.admin.config_set("maxmemory", before + 100_000 + growth * step // steps)
        with pytest.raises(StoreUnfit, match=r"needed: .* MB.*Raise maxmemory by") as refused:
            store.publish(1)
        assert refused.value.needed_bytes - TRANSIENT_BYTES == pytest.approx(growth, rel=0.05)
        with monkeypatch.context() as blind:
            blind.setattr("reco_store.publishing.capacity.needed_bytes", lambda *_: 0)
            blind.setattr("reco_store.publishing.capacity.TRANSIENT_BYTES", 0)
            with pytest.raises(StoreUnfit, match="full"):
                store.publish(1)
        now = stored(store.admin, KEYS)
        changed = {name for name in old | now if old.get(name) != now.get(name)}
        assert changed <= {KEYS.generations, KEYS.fence}
    store.admin.config_set("maxmemory", before + growth + 2 * TRANSIENT_BYTES)
    store.publish(1)
    store.require_only(1)
