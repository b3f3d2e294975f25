"""Run lock: one run at a time, and a run that lost the lock cannot publish."""

from __future__ import annotations

import pytest
from redis import Redis

from reco_store.control.lock import RunLock
from reco_store.errors import Fenced, LockHeld, UsageError


class Clock:
    """Monotonic clock, in seconds, that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the time that the test set."""
        return self.seconds


def quiet(client, keys, **options):
    """Return a lock without a heartbeat."""
    return RunLock(client, keys, heartbeat=False, **options)


def test_error_of_a_second_run_names_the_holder(client, keys):
    """A held lock is refused at once; the error names the holder and the time left."""
    with quiet(client, keys, lease_seconds=50) as first:
        with pytest.raises(LockHeld) as refused, quiet(client, keys):
            pass
        assert refused.value.holder == first.token
        assert 0 < refused.value.seconds_left <= 50
        first.check()


def test_refused_run_changes_nothing(client, keys, stored):
    """A refused run changes neither the lock nor the fencing token."""
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
    """A run that fails releases the lock."""
    with pytest.raises(ZeroDivisionError), quiet(client, keys):
        _ = 1 / 0
    assert client.get(keys.lock) is None


def test_repeated_acquire_returns_the_same_token(client, keys):
    """A repeated acquire, as after a lost reply, succeeds with the same token and a full lease."""
    lock = quiet(client, keys, lease_seconds=60)
    with lock:
        client.pexpire(keys.lock, 1_000)
        with lock:
            assert client.get(keys.lock).decode() == lock.token
            assert client.pttl(keys.lock) > 1_000


def test_lease_ends_by_itself(client, keys):
    """The lock of a killed run expires with its lease."""
    lock = quiet(client, keys, lease_seconds=20)
    with lock:
        assert 0 < client.pttl(keys.lock) <= 20_000


def test_expired_lock_is_taken_again_without_another_run(client, keys):
    """A pause longer than the lease does no harm unless another run started."""
    with quiet(client, keys) as lock:
        client.delete(keys.lock)
        lock.renew()
        assert client.get(keys.lock).decode() == lock.token


def test_run_is_fenced_by_another_at_work(client, keys):
    """A paused run is fenced if another run holds the lock."""
    with quiet(client, keys) as paused:
        client.delete(keys.lock)
        with quiet(client, keys) as other:
            with pytest.raises(Fenced) as fenced:
                paused.check()
            assert fenced.value.holder == other.token


def test_run_is_fenced_by_another_that_finished(client, keys):
    """A paused run is fenced if another run has ended, although the lock is free."""
    with quiet(client, keys) as paused:
        client.delete(keys.lock)
        with quiet(client, keys):
            pass
        assert client.get(keys.lock) is None
        with pytest.raises(Fenced):
            paused.check()
        assert client.get(keys.lock) is None


def test_fenced_run_does_not_unlock_another(client, keys):
    """Leaving the block releases the run's own lock only."""
    with quiet(client, keys) as paused:
        client.delete(keys.lock)
        other = quiet(client, keys)
        other.__enter__()
        del paused
    assert client.get(keys.lock).decode() == other.token


def test_lock_survives_a_server_that_lost_everything(client, keys):
    """A run goes on after the server was emptied, because no other run holds the lock."""
    with quiet(client, keys) as lock:
        client.delete(keys.lock, keys.fence)
        lock.renew()
        assert client.get(keys.fence).decode() == lock.token


def test_tick_asks_only_when_part_of_the_lease_is_over(client, keys):
    """A tick sends nothing until a third of the lease has passed."""
    clock = Clock()
    with quiet(client, keys, lease_seconds=60, clock=clock) as lock:
        client.set(keys.fence, "another run")
        clock.seconds = 19
        lock.tick()
        clock.seconds = 21
        with pytest.raises(Fenced):
            lock.tick()


def test_heartbeat_renews_in_the_background(client, keys):
    """The heartbeat renews the lease during a long computation."""
    with RunLock(client, keys, lease_seconds=0.6) as lock:
        client.pexpire(keys.lock, 100_000)
        while client.pttl(keys.lock) > 1_000:
            lock._stop.wait(0.01)
        assert client.get(keys.lock).decode() == lock.token


def test_heartbeat_notices_that_another_took_over(client, keys):
    """A run fenced during a computation raises at its next tick, without a command."""
    with RunLock(client, keys, lease_seconds=0.3) as lock:
        client.set(keys.fence, "another run")
        lock._thread.join(timeout=10)
        with pytest.raises(Fenced, match="another run"):
            lock.tick()


def test_namespaces_do_not_lock_each_other(client, keys):
    """Runs of two namespaces hold their locks at the same time."""
    other = type(keys)(f"{keys.namespace}-b")
    with quiet(client, keys), quiet(client, other):
        pass


def test_decoding_client_is_refused(server, keys):
    """A client that decodes replies is refused, because values are compared as bytes."""
    client = Redis(unix_socket_path=str(server.socket), decode_responses=True)
    with client, pytest.raises(UsageError):
        RunLock(client, keys)
