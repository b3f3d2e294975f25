"""Publishing: readers see one complete generation before, during and after."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from reco_store.contract.keys import Keys
from reco_store.control import generation_registry, inventory
from reco_store.control.generation_registry import read_control
from reco_store.control.lock import RunLock
from reco_store.errors import (
    ContractMismatch,
    Fenced,
    StoreUnfit,
    UnknownGeneration,
    UsageError,
    VerifyFailed,
)
from reco_store.publishing import staging
from reco_store.publishing.generations import list_generations, release, rollback
from reco_store.publishing.outcome import Verdict
from reco_store.publishing.publisher import flip, publish
from reco_store.publishing.staging import stage, verify

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def lock(client, keys):
    """Held lock of the test's namespace."""
    with RunLock(client, keys, heartbeat=False) as held:
        yield held


def states(client, keys) -> dict[str, str]:
    """Return the state of every generation."""
    return {record.id: record.state for record in list_generations(client, keys)}


def test_stored_keys_are_the_computed_ones(client, keys, lock, make_source, stored):
    """After publishing, exactly the entries exist, with pointer, manifest and inventory."""
    source = make_source()
    result = publish(client, keys, source, lock=lock)
    found = stored(client, keys)

    prefix = keys.data_prefix(source.generation)
    data = {name.removeprefix(prefix): v for name, v in found.items() if name.startswith(prefix)}
    control = {name for name in found if not name.startswith(prefix)}
    inventory = keys.inventory(source.generation, 0)
    assert data == dict(source.pairs)
    assert control == {
        keys.current,
        keys.generations,
        keys.lock,
        keys.fence,
        inventory,
        keys.manifest(source.generation),
    }
    assert result.outcome == "live"
    assert result.previous is None
    assert found[keys.current].decode() == source.generation
    assert json.loads(found[keys.manifest(source.generation)]) == source.manifest
    assert json.loads(zlib.decompress(found[inventory])) == list(source.suffixes())


def test_no_data_key_has_a_ttl(client, keys, lock, make_source, stored):
    """Staged keys never expire, so no policy can drop a part of a generation."""
    publish(client, keys, make_source(), lock=lock)

    assert {client.ttl(name) for name in stored(client, keys) if name != keys.lock} == {-1}


def test_inventory_is_written_before_data(client, keys, lock, make_source, monkeypatch):
    """At the first data key, registry and inventory already list all keys."""
    source = make_source()
    seen = {}

    def write_batch(connection, prefix, batch):
        if prefix == keys.data_prefix(source.generation) and not seen:
            seen["inventory"] = client.exists(keys.inventory(source.generation, 0))
            seen["state"] = states(client, keys)
        real(connection, prefix, batch)

    real = staging.write_batch
    monkeypatch.setattr(staging, "write_batch", write_batch)
    publish(client, keys, source, lock=lock)

    assert seen == {"inventory": 1, "state": {source.generation: "staging"}}


def test_inventory_in_chunks(client, keys, lock, make_source, monkeypatch, stored):
    """A large generation has several inventory chunks, all of which are used to delete it."""
    monkeypatch.setattr(inventory, "INVENTORY_CHUNK", 7)
    first = make_source()
    publish(client, keys, first, lock=lock, keep=1)
    chunks = -(-len(first.pairs) // 7)
    assert read_control(client, keys).record_of(first.generation).chunks == chunks
    assert all(client.exists(keys.inventory(first.generation, c)) for c in range(chunks))

    publish(client, keys, make_source(), lock=lock, keep=1)

    assert not [name for name in stored(client, keys) if first.generation in name]


def test_only_kept_generations_stay(client, keys, lock, make_source, stored):
    """The live generation and the given number before it stay; all others are deleted."""
    sources = [make_source(tag) for tag in range(5)]
    results = [publish(client, keys, source, lock=lock, keep=3) for source in sources]

    kept = {source.generation for source in sources[-3:]}
    found = stored(client, keys)
    assert {name.split(":")[1] for name in found if name.startswith(f"{keys.namespace}:")} == kept
    assert [result.retired for result in results[3:]] == [
        (sources[0].generation,),
        (sources[1].generation,),
    ]
    assert {g: s for g, s in states(client, keys).items() if g not in kept} == {
        source.generation: "retired" for source in sources[:2]
    }


def test_retention_touches_only_its_own(client, keys, lock, make_source, stored):
    """Keys of other programs and namespaces stay unchanged."""
    first = make_source()
    publish(client, keys, first, lock=lock, keep=1)
    longer = Keys(f"{keys.namespace}-x")
    foreign = {
        f"{keys.namespace}:{first.generation}x:user:1": b"a",
        f"{keys.namespace}:{first.generation}:user:none of ours": b"b",
        longer.data(first.generation, "user:1"): b"c",
        f"{keys.namespace}*": b"d",
    }
    client.mset(foreign)
    publish(client, keys, make_source(), lock=lock, keep=1)

    assert client.mget(list(foreign)) == list(foreign.values())
    client.delete(*foreign)


@pytest.mark.parametrize(
    "user_id",
    ["a:b", "{x}", "*", "user:1", " ", "", "é\0\n", "c3e0c6f4-91b6-4c8e-8d0a-2f1a5b0f7d11"],
)
def test_hostile_ids_are_published_and_deleted(client, keys, lock, make_source, stored, user_id):
    """An id may contain any character that is special in keys, patterns or slots."""
    hostile = make_source(entries=[(f"user:{user_id}", b'{"i":[1],"s":[1.0]}'), ("user:z", b"{}")])
    publish(client, keys, hostile, lock=lock, keep=1)
    assert client.get(keys.data(hostile.generation, f"user:{user_id}")) == hostile.pairs[0][1]

    publish(client, keys, make_source(), lock=lock, keep=1)
    assert not [name for name in stored(client, keys) if hostile.generation in name]


def test_empty_generation(client, keys, lock, make_source):
    """An empty generation can be published."""
    source = make_source(entries=[])

    assert publish(client, keys, source, lock=lock).outcome == "live"


@pytest.mark.parametrize("damage", ["lost", "changed", "swapped"])
def test_difference_in_one_key_is_found(client, keys, lock, make_source, damage):
    """A key that differs from its computed value fails the read-back, which names it."""
    source = make_source()
    stage(client, keys, source, lock=lock)
    prefix = keys.data_prefix(source.generation)
    if damage == "lost":
        client.delete(prefix + "ranked:2")
    elif damage == "changed":
        value = bytearray(client.get(prefix + "ranked:2"))
        value[5] ^= 1
        client.set(prefix + "ranked:2", bytes(value))
    else:
        client.rename(prefix + "seen:2", prefix + "x")
        client.rename(prefix + "ranked:2", prefix + "seen:2")
        client.rename(prefix + "x", prefix + "ranked:2")

    with pytest.raises(VerifyFailed) as failure:
        verify(client, keys, source, lock=lock)
    assert failure.value.suffix == "ranked:2"


def test_failed_read_back_leaves_no_trace(client, keys, lock, make_source, stored, monkeypatch):
    """A run whose read-back fails does not switch, and leaves no staged key."""
    good, bad = make_source(1), make_source(2)
    publish(client, keys, good, lock=lock)
    before = stored(client, keys)
    bad.manifest["digest"] = "sha256:0"
    with pytest.raises(VerifyFailed, match="artifact"):
        publish(client, keys, bad, lock=lock)

    after = stored(client, keys)
    assert after.pop(keys.generations) != before.pop(keys.generations)
    assert after == before
    assert states(client, keys)[bad.generation] == "retired"


def test_suffixes_that_do_not_match_the_manifest(client, keys, lock, make_source, stored):
    """An artifact that lost entries is refused before its first data key."""
    source = make_source()
    source.manifest["entries"] += 1
    with pytest.raises(ContractMismatch, match="suffixes"):
        publish(client, keys, source, lock=lock)
    assert not [n for n in stored(client, keys) if n.startswith(f"{keys.namespace}:")]


@pytest.mark.parametrize(("field", "value"), [("schema", 2), ("generation", "other")])
def test_wrong_manifest_is_refused(client, keys, lock, make_source, field, value):
    """A manifest of another schema or generation is refused before anything is written."""
    source = make_source()
    source.manifest[field] = value
    with pytest.raises(ContractMismatch):
        publish(client, keys, source, lock=lock)
    assert client.get(keys.generations) is None


def test_gate_reads_both_generations(client, keys, lock, make_source):
    """The gate compares the staged generation with the live one, manifests and values."""
    first, second = make_source(1), make_source(2)
    seen = []

    def gate(view):
        seen.append((view.live, view.live_manifest, view.manifest["generation"]))
        read = [dict(view.read(g, ["user:1"])) for g in (view.live, view.generation) if g]
        seen.append(read)
        return Verdict(passed=True, report={"passed": True})

    publish(client, keys, first, lock=lock, gate=gate)
    publish(client, keys, second, lock=lock, gate=gate)

    assert seen[0] == (None, None, first.generation)
    live, live_manifest, staged = seen[2]
    assert (live, staged) == (first.generation, second.generation)
    assert live_manifest["gate"] == {"passed": True}
    assert seen[3] == [{"user:1": dict(s.pairs)["user:1"]} for s in (first, second)]


def test_gate_can_refuse(client, keys, lock, make_source, stored):
    """A refused generation does not go live; the next run deletes it."""
    good, bad, next_ = make_source(1), make_source(2), make_source(3)
    publish(client, keys, good, lock=lock)
    verdict = Verdict(passed=False, report={"churn": 0.95}, reason="churn 0.95 above 0.8")
    result = publish(client, keys, bad, lock=lock, gate=lambda _: verdict)

    assert (result.outcome, result.verdict) == ("refused", verdict)
    assert client.get(keys.current).decode() == good.generation
    assert json.loads(client.get(keys.manifest(bad.generation)))["gate"] == {"churn": 0.95}
    record = list_generations(client, keys)[0]
    assert (record.state, record.note) == ("refused", verdict.reason)
    with pytest.raises(UnknownGeneration, match="refused"):
        flip(bad.generation, lock=lock)

    publish(client, keys, next_, lock=lock)
    assert not [name for name in stored(client, keys) if bad.generation in name]


def test_gate_that_raises_switches_nothing(client, keys, lock, make_source, stored):
    """An error in the gate is not a pass."""
    source = make_source()
    with pytest.raises(ZeroDivisionError):
        publish(client, keys, source, lock=lock, gate=lambda _: 1 / 0)
    assert client.get(keys.current) is None
    assert not [n for n in stored(client, keys) if n.startswith(f"{keys.namespace}:")]


def test_orphans_of_a_killed_run_are_collected(client, keys, make_source, stored):
    """The next run deletes the keys of a run killed while staging."""
    dead, next_ = make_source(1), make_source(2)
    with RunLock(client, keys, heartbeat=False) as lock:
        stage(client, keys, dead, lock=lock)
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, next_, lock=lock)

    assert not [name for name in stored(client, keys) if dead.generation in name]
    assert states(client, keys) == {dead.generation: "retired", next_.generation: "ready"}


def test_half_deleted_generation_is_deleted_by_the_next_run(
    client, keys, lock, make_source, stored, monkeypatch
):
    """The next run completes the deletion that a killed run began."""
    old = make_source(1)
    publish(client, keys, old, lock=lock, keep=1)
    monkeypatch.setattr("reco_store.control.collector.unlink_paced", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(client, keys, make_source(2), lock=lock, keep=1)
    monkeypatch.undo()
    assert [name for name in stored(client, keys) if old.generation in name]

    publish(client, keys, make_source(3), lock=lock, keep=1)
    assert not [name for name in stored(client, keys) if old.generation in name]


def test_same_generation_again_heals_it(client, keys, lock, make_source, stored):
    """Publishing the live generation again restores lost keys, and changes nothing else."""
    source = make_source()
    publish(client, keys, source, lock=lock, now=lambda: NOON)
    before = stored(client, keys)
    client.delete(keys.data(source.generation, "user:2"), keys.manifest(source.generation))
    assert publish(client, keys, source, lock=lock, now=lambda: NOON).outcome == "live"

    assert stored(client, keys) == before


def test_live_generation_cannot_become_another(client, keys, lock, make_source):
    """Other content under the live generation's name is refused: readers would see a mix."""
    source = make_source(1)
    publish(client, keys, source, lock=lock)
    changed = make_source(2, generation=source.generation)
    with pytest.raises(UsageError, match="other content"):
        publish(client, keys, changed, lock=lock)
    value = client.get(keys.data(source.generation, "user:1"))
    assert value == dict(source.pairs)["user:1"]


def test_emptied_store_is_refilled(client, keys, make_source, stored):
    """A store that lost everything accepts the same artifact again."""
    source = make_source()
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, source, lock=lock)
    client.delete(*stored(client, keys))
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, source, lock=lock)
    assert client.get(keys.current).decode() == source.generation


def test_older_generation_can_be_published_again(client, keys, lock, make_source):
    """An artifact of an earlier run can go live, even while it is still stored."""
    old, new = make_source(1), make_source(2)
    publish(client, keys, old, lock=lock)
    publish(client, keys, new, lock=lock)
    assert publish(client, keys, old, lock=lock).outcome == "live"
    assert client.get(keys.current).decode() == old.generation
    assert client.get(keys.data(old.generation, "user:1")) == dict(old.pairs)["user:1"]


def test_quarantined_generation_is_never_published_again(client, keys, lock, make_source):
    """Publishing the artifact of a quarantined generation is refused."""
    old, bad = make_source(1), make_source(2)
    publish(client, keys, old, lock=lock)
    publish(client, keys, bad, lock=lock)
    rollback(client, keys)
    with pytest.raises(UsageError, match="rolled back"):
        publish(client, keys, bad, lock=lock)


def quarantined(client, keys, lock, make_source):
    """Publish two generations and roll back from the second one; return the second."""
    old, bad = make_source(1), make_source(2)
    publish(client, keys, old, lock=lock)
    publish(client, keys, bad, lock=lock)
    rollback(client, keys, reason="odd")
    return bad


def record_of(client, keys, source):
    """Return the record of a generation."""
    return next(r for r in list_generations(client, keys) if r.id == source.generation)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_overruled_quarantine_is_in_force_until_the_generation_is_live(
    client, keys, lock, make_source, monkeypatch, error
):
    """A run that fails while publishing a quarantined generation leaves it in quarantine."""
    bad = quarantined(client, keys, lock, make_source)
    release(client, keys)
    note = record_of(client, keys, bad).note

    def fail(*_):
        raise error

    monkeypatch.setattr("reco_store.publishing.staging.write_batch", fail)
    with pytest.raises(error):
        publish(client, keys, bad, lock=lock, overrule=True)
    monkeypatch.undo()

    assert record_of(client, keys, bad).state == "quarantined"
    with pytest.raises(UsageError, match=r"withdrawn by a rollback .*: odd"):
        publish(client, keys, bad, lock=lock)
    publish(client, keys, make_source(3), lock=lock)
    assert record_of(client, keys, bad).note == note
    with pytest.raises(UsageError, match=r"withdrawn by a rollback .*: odd"):
        publish(client, keys, bad, lock=lock)

    assert publish(client, keys, bad, lock=lock, overrule=True).outcome == "live"
    record = record_of(client, keys, bad)
    assert (record.state, record.live, record.note) == ("ready", True, "")
    assert publish(client, keys, bad, lock=lock).outcome == "live"


def test_an_overruled_generation_that_is_held_stays_in_quarantine(client, keys, lock, make_source):
    """It is complete in the store, so the rollback can be undone at once."""
    bad = quarantined(client, keys, lock, make_source)

    ended = publish(client, keys, bad, lock=lock, overrule=True)

    assert ended.outcome == "held"
    assert f"`batch republish {bad.generation} --force REASON`" in str(ended.held)
    record = record_of(client, keys, bad)
    assert (record.state, record.stored) == ("quarantined", True)
    assert record.note.endswith(": odd")
    assert rollback(client, keys, to=bad.generation, force="it is good") == bad.generation


def test_repeated_switch_changes_nothing(client, keys, lock, make_source, stored):
    """A repeated switch, as after a lost reply, succeeds and changes nothing."""
    source = make_source()
    publish(client, keys, source, lock=lock)
    before = stored(client, keys)
    flip(source.generation, lock=lock)
    assert stored(client, keys) == before


def test_flip_to_a_ready_generation(client, keys, lock, make_source):
    """Any ready generation can go live."""
    old, new = make_source(1), make_source(2)
    publish(client, keys, old, lock=lock)
    publish(client, keys, new, lock=lock)
    flip(old.generation, lock=lock)
    assert client.get(keys.current).decode() == old.generation


@pytest.mark.parametrize("state", ["unknown", "staging"])
def test_flip_to_a_generation_that_is_not_ready(client, keys, lock, make_source, state):
    """A generation that is unknown or not verified never goes live."""
    source = make_source()
    if state == "staging":
        stage(client, keys, source, lock=lock)
    with pytest.raises(UnknownGeneration, match=state):
        flip(source.generation, lock=lock)
    assert client.get(keys.current) is None


@pytest.mark.parametrize("moment", ["stage", "verify"])
@pytest.mark.parametrize("other_finished", [True, False])
def test_paused_run_is_fenced(client, keys, make_source, stored, moment, other_finished):
    """A run that lost its lock while paused changes nothing, and leaves no key."""
    mine, theirs = make_source(1), make_source(2)
    others = []

    def pause(step, count):
        if step != moment or others:
            return
        client.delete(keys.lock)  # the lease ended
        lock._renewed_at = -1e9  # the paused run sees an expired lease when it continues
        other = RunLock(client, keys, heartbeat=False)
        others.append(other)
        other.__enter__()
        publish(client, keys, theirs, lock=other)
        if other_finished:
            other.__exit__(None, None, None)

    with RunLock(client, keys, heartbeat=False) as lock, pytest.raises(Fenced):
        publish(client, keys, mine, lock=lock, progress=pause)

    assert client.get(keys.current).decode() == theirs.generation
    assert not [name for name in stored(client, keys) if mine.generation in name]


def test_run_that_notices_late_takes_all_back(client, keys, make_source, stored, monkeypatch):
    """Between two renewals the lock is not checked, so many batches may be written meanwhile."""
    monkeypatch.setattr("reco_store.connection.transfer.MAX_BATCH_COMMANDS", 2)
    mine, theirs = make_source(1), make_source(2)
    batches = []

    def lose(step, count):
        batches.append(step)
        if step == "stage" and len(batches) == 2:
            client.delete(keys.lock)  # evicted, which no clock of this run notices
            with RunLock(client, keys, heartbeat=False) as other:
                publish(client, keys, theirs, lock=other)

    with RunLock(client, keys, heartbeat=False) as lock, pytest.raises(Fenced):
        publish(client, keys, mine, lock=lock, progress=lose)

    assert batches.count("stage") > 3
    assert client.get(keys.current).decode() == theirs.generation
    assert not [name for name in stored(client, keys) if mine.generation in name]


def test_fence_is_checked_by_the_flip_itself(client, keys, make_source):
    """A run that has just checked its lock cannot switch after another run took it."""
    mine, theirs = make_source(1), make_source(2)
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, theirs, lock=lock)
        publish(client, keys, mine, lock=lock)
        flip(theirs.generation, lock=lock)
        client.delete(keys.lock)
        with RunLock(client, keys, heartbeat=False), pytest.raises(Fenced):
            flip(mine.generation, lock=lock)
    assert client.get(keys.current).decode() == theirs.generation


def test_hold_stages_but_does_not_flip(client, keys, lock, make_source):
    """After a rollback the next generation is complete in the store, but held for 24 hours."""
    sources = [make_source(tag) for tag in range(4)]
    for source in sources[:2]:
        publish(client, keys, source, lock=lock)
    rollback(client, keys, reason="odd lists", now=lambda: NOON)
    result = publish(
        client, keys, sources[2], lock=lock, now=lambda: NOON + timedelta(hours=23, minutes=59)
    )

    assert result.outcome == "held"
    assert "odd lists" in str(result.held)
    assert client.get(keys.current).decode() == sources[0].generation
    assert states(client, keys)[sources[2].generation] == "ready"
    assert client.get(keys.data(sources[2].generation, "user:1"))

    late = NOON + timedelta(hours=24, seconds=1)
    assert publish(client, keys, sources[3], lock=lock, now=lambda: late).outcome == "live"
    assert client.get(keys.hold) is None


def test_held_generations_do_not_displace_earlier_ones(client, keys, lock, make_source):
    """During a hold, the generations before the live one stay, however long it lasts."""
    sources = [make_source(tag) for tag in range(7)]
    for source in sources[:3]:
        publish(client, keys, source, lock=lock, keep=3)
    rollback(client, keys, now=lambda: NOON)
    for source in sources[3:]:
        publish(client, keys, source, lock=lock, keep=3, now=lambda: NOON)

    ready = [r.id for r in list_generations(client, keys) if r.state == "ready" and r.stored]
    assert ready == [sources[6].generation, sources[1].generation, sources[0].generation]


def test_progress_counts_every_key(client, keys, lock, make_source):
    """The progress of each step adds up to the number of keys."""
    counts: dict[str, int] = {}

    def progress(step, count):
        counts[step] = counts.get(step, 0) + count

    source = make_source()
    publish(client, keys, source, lock=lock, progress=progress, keep=1)
    publish(client, keys, make_source(), lock=lock, progress=progress, keep=1)
    assert counts == {
        "stage": 2 * len(source.pairs),
        "verify": 2 * len(source.pairs),
        "retire": len(source.pairs),
    }


def test_keep_below_one_is_refused(client, keys, lock, make_source):
    """A number of generations to keep below 1 is refused."""
    with pytest.raises(UsageError, match="keep 0"):
        publish(client, keys, make_source(), lock=lock, keep=0)


def test_replicas_that_are_not_there(client, keys, lock, make_source, monkeypatch):
    """If a replica does not confirm, the run fails and does not switch."""
    monkeypatch.setattr("reco_store.publishing.replicas.WAIT_MILLISECONDS", 10)
    with pytest.raises(StoreUnfit, match="0 replicas"):
        publish(client, keys, make_source(), lock=lock, replicas=1)
    assert client.get(keys.current) is None


def test_damaged_registry_is_a_clear_error(client, keys, lock, make_source):
    """A registry of another program is never overwritten."""
    client.set(keys.generations, "[]")
    with pytest.raises(ContractMismatch, match="registry"):
        publish(client, keys, make_source(), lock=lock)
    assert client.get(keys.generations) == b"[]"


def test_fields_of_a_later_version_are_kept(client, keys, lock, make_source):
    """Fields that a newer version added to the registry are kept."""
    source = make_source()
    publish(client, keys, source, lock=lock)
    content = json.loads(client.get(keys.generations))
    content["generations"][0]["colour"] = "blue"
    client.set(keys.generations, json.dumps(content))
    publish(client, keys, make_source(), lock=lock)
    assert read_control(client, keys).record_of(source.generation).more == {"colour": "blue"}


def test_registry_does_not_grow_for_ever(client, keys, lock, make_source, monkeypatch):
    """Only the newest deleted generations are listed."""
    monkeypatch.setattr(generation_registry, "MAX_GONE", 2)
    for tag in range(5):
        publish(client, keys, make_source(tag), lock=lock, keep=1)
    assert len(list_generations(client, keys)) == 3
