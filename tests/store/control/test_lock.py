"""Run lock: one run at a time, and no way back for a run that lost it."""

from __future__ import annotations

import pytest
from redis import Redis

from reco_store.control.lock import RunLock
from reco_store.errors import Fenced, LockHeld, UsageError


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the time that the test set."""
        return self.seconds


def quiet(client, keys, **options):
    """Make a lock without a heartbeat."""
    return RunLock(client, keys, heartbeat=False, **options)


def test_second_run_is_told_who_holds_the_lock(client, keys):
    """A held lock is refused at once, with its holder and the time left."""
    with quiet(client, keys, lease_seconds=50) as first:
        with pytest.raises(LockHeld) as refused, quiet(client, keys):
            pass
        assert refused.value.holder == first.token
        assert 0 < refused.value.seconds_left <= 50
        first.check()


def test_refused_run_changes_nothing(client, keys, stored):
    """The refused run leaves neither the lock nor the fence changed."""
    with quiet(client, keys):
        before = stored(client, keys)
        with pytest.raises(LockHeld), quiet(client, keys):
            pass
        assert stored(client, keys) == before


def test_lock_is_given_back(client, keys):
    """After a run, the next one starts at once."""
    with quiet(client, keys):
        pass
    assert client.get(keys.lock) is None
    with quiet(client, keys):
        pass


def test_lock_is_given_back_after_an_error(client, keys):
    """A run that fails does not keep the next one out."""
    with pytest.raises(ZeroDivisionError), quiet(client, keys):
        _ = 1 / 0
    assert client.get(keys.lock) is None


def test_taking_it_twice_is_taking_it_once(client, keys):
    """A repeated acquire, as after a lost reply, succeeds with the same token and a full lease."""
    lock = quiet(client, keys, lease_seconds=60)
    with lock:
        client.pexpire(keys.lock, 1_000)
        with lock:
            assert client.get(keys.lock).decode() == lock.token
            assert client.pttl(keys.lock) > 1_000


def test_lease_ends_by_itself(client, keys):
    """A killed run keeps others out for its lease only."""
    lock = quiet(client, keys, lease_seconds=20)
    with lock:
        assert 0 < client.pttl(keys.lock) <= 20_000


def test_expired_lock_is_taken_again_if_nobody_came(client, keys):
    """A pause beyond the lease does no harm while no other run started."""
    with quiet(client, keys) as lock:
        client.delete(keys.lock)
        lock.renew()
        assert client.get(keys.lock).decode() == lock.token


def test_run_is_fenced_by_another_at_work(client, keys):
    """A paused run learns that another holds the lock now."""
    with quiet(client, keys) as paused:
        client.delete(keys.lock)
        with quiet(client, keys) as other:
            with pytest.raises(Fenced) as fenced:
                paused.check()
            assert fenced.value.holder == other.token


def test_run_is_fenced_by_another_that_finished(client, keys):
    """A paused run learns that another came and went, though the lock is free."""
    with quiet(client, keys) as paused:
        client.delete(keys.lock)
        with quiet(client, keys):
            pass
        assert client.get(keys.lock) is None
        with pytest.raises(Fenced):
            paused.check()
        assert client.get(keys.lock) is None


def test_fenced_run_does_not_unlock_another(client, keys):
    """Leaving the block gives back one's own lock only."""
    with quiet(client, keys) as paused:
        client.delete(keys.lock)
        other = quiet(client, keys)
        other.__enter__()
        del paused
    assert client.get(keys.lock).decode() == other.token


def test_lock_survives_a_server_that_lost_everything(client, keys):
    """An emptied server has no other run either, so the night may go on and refill it."""
    with quiet(client, keys) as lock:
        client.delete(keys.lock, keys.fence)
        lock.renew()
        assert client.get(keys.fence).decode() == lock.token


def test_tick_asks_only_when_part_of_the_lease_is_over(client, keys):
    """A tick costs nothing until a third of the lease has passed."""
    clock = Clock()
    with quiet(client, keys, lease_seconds=60, clock=clock) as lock:
        client.set(keys.fence, "another run")
        clock.seconds = 19
        lock.tick()
        clock.seconds = 21
        with pytest.raises(Fenced):
            lock.tick()


def test_heartbeat_renews_in_the_background(client, keys):
    """While something computes for long, the lease does not end."""
    with RunLock(client, keys, lease_seconds=0.6) as lock:
        client.pexpire(keys.lock, 100_000)
        while client.pttl(keys.lock) > 1_000:
            lock._stop.wait(0.01)
        assert client.get(keys.lock).decode() == lock.token


def test_heartbeat_notices_that_another_took_over(client, keys):
    """A run that was fenced while it computed learns it at its next tick, without asking."""
    with RunLock(client, keys, lease_seconds=0.3) as lock:
        client.set(keys.fence, "another run")
        lock._thread.join(timeout=10)
        with pytest.raises(Fenced, match="another run"):
            lock.tick()


def test_namespaces_do_not_lock_each_other(client, keys):
    """Two models side by side publish at the same time."""
    other = type(keys)(f"{keys.namespace}-b")
    with quiet(client, keys), quiet(client, other):
        pass


def test_decoding_client_is_refused(server, keys):
    """Values are bytes; a client that decodes them would compare wrongly."""
    client = Redis(unix_socket_path=str(server.socket), decode_responses=True)
    with client, pytest.raises(UsageError):
        RunLock(client, keys)
