"""Erasure of a user: no key, name or count of any stored generation is left, wherever it stops."""

import json

import pytest

from reco_store.contract.digest import Summary
from reco_store.control.inventory import parse_chunk
from reco_store.control.lock import RunLock
from reco_store.errors import LockHeld
from reco_store.publishing import erasure
from reco_store.publishing.erasure import delete_user_keys, settle_generations, stored_users
from reco_store.publishing.generations import list_generations, rollback
from reco_store.publishing.outcome import Verdict
from reco_store.publishing.publisher import publish
from reco_store.publishing.staging import stage, verify
from reco_store.read.reader import Reader

SUFFIXES = ("user:2", "ranked:2", "seen:2")


@pytest.fixture
def lock(client, keys):
    """Hold the lock of a namespace."""
    with RunLock(client, keys, heartbeat=False) as held:
        yield held


@pytest.fixture
def published(client, keys, lock, make_source):
    """Publish four generations: an earlier one, the live one, one rolled back, one refused."""
    sources = [make_source(tag) for tag in range(4)]
    for source in sources[:3]:
        publish(client, keys, source, lock=lock)
    publish(client, keys, sources[3], lock=lock, gate=lambda _: Verdict(passed=False))
    rollback(client, keys, reason="bad")
    return sources


def records(lock):
    """Return the listed generations."""
    return list_generations(lock.client, lock.keys)


def erase(lock, user="2", known=None):
    """Erase one user; return the numbers of keys and of generations."""
    keys = delete_user_keys(lock, {user})
    return keys, settle_generations(lock, {user}, known or {})


def without_user(source):
    """Return the entries of a generation that remain, and their summary."""
    left = [(name, value) for name, value in source.pairs if name not in SUFFIXES]
    summary = Summary()
    summary.update_many(left)
    return left, summary.manifest_fields()


def require_erased(client, keys, source, stored):
    """Require that keys, inventory, manifest and record describe what remains."""
    left, fields = without_user(source)
    prefix = keys.data_prefix(source.generation)
    found = {n.removeprefix(prefix): v for n, v in stored.items() if n.startswith(prefix)}
    assert found == dict(left)
    inventory = keys.inventory(source.generation, 0)
    assert parse_chunk(stored[inventory], inventory) == [name for name, _ in left]
    if manifest := stored.get(keys.manifest(source.generation)):
        assert fields.items() <= json.loads(manifest).items()


def test_every_stored_generation_is_changed(client, keys, lock, published, stored):
    """Ready, withdrawn and refused ones; twice changes nothing more."""
    assert {record.state for record in records(lock)} == {"ready", "quarantined", "refused"}
    assert erase(lock) == (12, 4)
    for source in published:
        require_erased(client, keys, source, stored(client, keys))
    assert stored_users(lock) == {"1", "3"}
    before = stored(client, keys)
    assert erase(lock) == (0, 0)
    assert stored(client, keys) == before


def test_what_a_killed_run_staged_is_changed(client, keys, lock, make_source, stored):
    """It has no manifest yet."""
    source = make_source()
    stage(client, keys, source, lock=lock)
    assert erase(lock) == (3, 1)
    require_erased(client, keys, source, stored(client, keys))


def test_readers_and_rollback_continue(client, keys, lock, published, server):
    """The user gets popular movies; a generation can still be verified, and rolled back to."""
    erase(lock)
    with Reader(server.url, keys.namespace) as reader:
        assert reader.user("2", n=3).items[0].source == "most_rated"
        assert reader.user("1", n=3).items[0].source == "personal"
    live = next(record.id for record in records(lock) if record.live)
    source = next(one for one in published if one.generation == live)
    source.pairs, fields = without_user(source)
    source.manifest |= fields
    verify(client, keys, source, lock=lock)
    publish(client, keys, source, lock=lock)  # restores the live generation: equal to the live one
    generations = [record.id for record in records(lock) if record.state == "ready"]
    rollback(client, keys)
    assert client.get(keys.current).decode() == generations[1]


@pytest.mark.parametrize("step", ["unlink", "apply_change", "write_chunk"])
def test_an_erasure_that_was_killed_is_completed(
    client, keys, lock, published, stored, monkeypatch, step
):
    """At its first, second, ... call of each writing step; a later erasure does the rest."""
    whole = getattr(erasure, step)

    def dying(*arguments, **named):
        if next(left) == 0:
            raise KeyboardInterrupt
        return whole(*arguments, **named)

    monkeypatch.setattr(erasure, step, dying)
    for calls in range(3):
        left = iter(range(calls, -1, -1))
        with pytest.raises(KeyboardInterrupt):
            erase(lock)
    monkeypatch.undo()
    erase(lock)
    for source in published:
        require_erased(client, keys, source, stored(client, keys))


def test_the_artifact_describes_a_generation_that_lost_keys(client, keys, lock, make_source):
    """Otherwise the digest would not be the artifact's, and it could not be restored from it."""
    source = make_source()
    publish(client, keys, source, lock=lock)
    client.delete(keys.data(source.generation, "movie:1"))
    fields = without_user(source)[1]
    erase(lock, known={source.generation: fields})
    assert fields.items() <= json.loads(client.get(keys.manifest(source.generation))).items()


def test_a_generation_that_lost_keys_keeps_its_digest(client, keys, lock, make_source, stored):
    """A digest of the remaining keys would hide the loss."""
    source = make_source()
    publish(client, keys, source, lock=lock)
    before = client.get(keys.manifest(source.generation))
    client.delete(keys.data(source.generation, "movie:1"))
    assert erase(lock) == (3, 1)
    assert client.get(keys.manifest(source.generation)) == before
    assert stored_users(lock) == {"1", "3"}


def test_no_erasure_during_a_run(client, keys, lock):
    """The lock of publishing keeps both apart."""
    with pytest.raises(LockHeld), RunLock(client, keys, heartbeat=False):
        pass
