"""Promise 1: a run killed at any instant leaves exactly one complete generation to readers."""

from __future__ import annotations

import signal

from store_under_fault import Watcher


def test_01_kill_at_any_instant(make_store, nights, draw, many):
    """Runs killed at random bytes never show readers a mix of two generations.

    Every sixth run may finish: it deletes all keys that the killed ones left.
    """
    store = make_store()
    first = nights.start(store.writer_url, 0)
    assert first.wait() == 0
    sends = first.sends + 20  # later runs need something to delete
    live = trial = flipped = kills = 0
    with Watcher(store) as watcher:
        while kills < many(40, 1000):
            trial += 1
            if trial % 6 == 0:
                assert nights.start(store.writer_url, trial).wait() == 0
                live = trial
                store.require_only(live)
                continue
            draws = draw(trial)
            instant = (draws.randint(1, sends), draws.choice((0.0, 1.0, draws.random())), "SIGKILL")
            code = nights.start(store.writer_url, trial, instant=instant).wait()
            assert code in (-signal.SIGKILL, 0)
            kills += code != 0
            assert store.live() in (live, trial), instant
            flipped += store.live() == trial
            live = store.live()
            store.end_lease()
    assert watcher.bad == []
    assert min(watcher.reads) > 0
    assert 0 < flipped < kills
