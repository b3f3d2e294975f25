"""Promise 7: a run paused past its lease cannot publish after another run has."""

from __future__ import annotations

from real_servers import wait_until
from store_under_fault import KEYS

LEASE = 0.2


def test_07_paused_night_cannot_publish(make_store, nights, draw, many):
    """A run stopped at random bytes while another publishes gives up and leaves no key behind."""
    store = make_store()
    first = nights.start(store.writer_url, 0)
    assert first.wait() == 0
    sends = first.sends + 10
    fenced = 0
    for trial in range(1, many(16, 250) + 1):
        draws = draw(trial)
        instant = (draws.randint(1, sends), draws.choice((0.0, 1.0, draws.random())), "SIGSTOP")
        early, late = 2 * trial, 2 * trial + 1
        options = {"lease": LEASE, "heartbeat": trial % 2 == 0, "instant": instant}
        paused = nights.start(store.writer_url, early, **options)
        if not paused.wait_until_stopped():
            continue
        wait_until(lambda: not store.admin.exists(KEYS.lock))
        assert nights.start(store.writer_url, late).wait() == 0
        paused.go_on()
        code = paused.wait()
        assert code in (0, 75), paused.stderr
        if code == 75:
            assert "fenced" in paused.stderr
            fenced += 1
            store.require_only(late)
        elif store.live() == early:  # stopped before it took the lock, so it publishes second
            store.require_only(early, late)
        else:  # stopped after its switch
            store.require_only(late)
    assert fenced > many(4, 100)
