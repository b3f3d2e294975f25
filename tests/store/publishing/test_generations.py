"""Generations: list, collect, roll back, release."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from reco_store.contract.hold import Hold
from reco_store.control import collector
from reco_store.control.generation_registry import Control, Record
from reco_store.control.lock import RunLock
from reco_store.errors import ContractMismatch, NothingPublished, UnknownGeneration, UsageError
from reco_store.publishing.generations import collect, list_generations, release, rollback
from reco_store.publishing.publisher import publish

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def lock(client, keys):
    """Held lock of the test's namespace."""
    with RunLock(client, keys, heartbeat=False) as held:
        yield held


@pytest.fixture
def nights(client, keys, lock, make_source):
    """Three published generations, oldest first."""
    sources = [make_source(tag) for tag in range(3)]
    for source in sources:
        publish(client, keys, source, lock=lock)
    return [source.generation for source in sources]


def live(client, keys) -> str:
    """Return the live generation."""
    return client.get(keys.current).decode()


def test_list(client, keys, nights, make_source):
    """All generations are listed, newest first."""
    records = list_generations(client, keys)

    assert [record.id for record in records] == nights[::-1]
    assert [record.live for record in records] == [True, False, False]
    assert {(record.state, record.stored) for record in records} == {("ready", True)}
    assert all(record.entries > 0 and record.size_bytes > 0 for record in records)
    assert records[0].created.startswith("20")
    assert list_generations(client, type(keys)(f"{keys.namespace}-other")) == []


def test_rollback_goes_one_back(client, keys, nights):
    """A rollback returns to the previous generation, quarantines the live one and sets a hold."""
    assert rollback(client, keys, reason="odd", now=lambda: NOON) == nights[1]

    records = {record.id: record for record in list_generations(client, keys)}
    assert live(client, keys) == nights[1]
    assert records[nights[2]].state == "quarantined"
    assert "odd" in records[nights[2]].note
    assert Hold.load(client.get(keys.hold)).until == NOON + timedelta(hours=24)


def test_second_rollback_skips_quarantined_generations(client, keys, nights):
    """A second rollback returns to the third generation; a third one is refused."""
    assert rollback(client, keys) == nights[1]
    assert rollback(client, keys) == nights[0]
    with pytest.raises(UnknownGeneration, match="does not exist"):
        rollback(client, keys)
    assert live(client, keys) == nights[0]
    for bad in nights[1:]:
        with pytest.raises(UnknownGeneration, match="quarantined"):
            rollback(client, keys, to=bad)


def test_rollback_skips_generations_that_were_never_live(client, keys, nights):
    """A generation that was held when it was published is not what readers saw before."""
    registry = json.loads(client.get(keys.generations))
    registry["generations"][1]["since"] = ""
    client.set(keys.generations, json.dumps(registry))

    assert rollback(client, keys) == nights[0]


def test_rollback_ends_the_wait_of_a_generation(client, keys, nights):
    """A note that tells how to serve the generation is gone once it is live."""
    registry = json.loads(client.get(keys.generations))
    registry["generations"][1]["note"] = "staged: `batch promote` serves it; 2 warnings"
    client.set(keys.generations, json.dumps(registry))
    rollback(client, keys)

    stored = json.loads(client.get(keys.generations))["generations"]
    assert next(one["note"] for one in stored if one["id"] == nights[1]) == "2 warnings"


def test_rollback_to_a_given_one(client, keys, nights):
    """Any ready generation that was live may be named."""
    assert rollback(client, keys, to=nights[0]) == nights[0]
    assert live(client, keys) == nights[0]


@pytest.mark.parametrize(("to", "reason"), [("20200101T000000Z-0000", "unknown"), (2, "live")])
def test_impossible_rollback_changes_nothing(client, keys, nights, stored, to, reason):
    """A rollback that is not possible changes nothing; the error lists the ready generations."""
    before = stored(client, keys)
    with pytest.raises(UnknownGeneration, match=reason) as refused:
        rollback(client, keys, to=nights[to] if isinstance(to, int) else to)
    assert refused.value.known == (nights[1], nights[0])
    assert stored(client, keys) == before


def test_rollback_of_nothing(client, keys):
    """Without a live generation there is nothing to roll back."""
    with pytest.raises(NothingPublished, match="at unix://"):
        rollback(client, keys)


def test_rollback_needs_no_lock(client, keys, nights):
    """A run that holds the lock does not keep the operator out."""
    assert client.get(keys.lock) is not None
    assert rollback(client, keys) == nights[1]


def test_rollback_during_a_run_wins(client, keys, lock, nights, make_source):
    """A run that is about to switch after a rollback finds the hold, and undoes nothing."""
    source = make_source(9)

    def judge(view):
        rollback(client, keys, now=lambda: NOON)

    result = publish(client, keys, source, lock=lock, gate=judge, now=lambda: NOON)

    assert result.outcome == "held"
    assert live(client, keys) == nights[1]
    states = {record.id: record.state for record in list_generations(client, keys)}
    assert (states[nights[2]], states[source.generation]) == ("quarantined", "ready")


def test_next_run_deletes_quarantined_data(client, keys, lock, nights, make_source, stored):
    """A quarantined generation is deleted by the next run, but stays listed."""
    rollback(client, keys)
    assert client.get(keys.data(nights[2], "user:1"))
    publish(client, keys, make_source(), lock=lock)

    assert not [name for name in stored(client, keys) if nights[2] in name]
    record = next(r for r in list_generations(client, keys) if r.id == nights[2])
    assert (record.state, record.stored) == ("quarantined", False)


def test_release(client, keys, lock, nights, make_source):
    """After a release the next run goes live."""
    rollback(client, keys)
    assert release(client, keys)
    assert not release(client, keys)
    source = make_source()
    assert publish(client, keys, source, lock=lock).outcome == "live"


def test_collect(client, keys, lock, nights, stored):
    """Collecting keeps the given number of generations, and never deletes the live one."""
    assert collect(lock=lock, keep=2) == (nights[0],)
    assert collect(lock=lock, keep=1) == (nights[1],)
    assert collect(lock=lock, keep=1) == ()
    assert live(client, keys) == nights[2]
    assert client.get(keys.data(nights[2], "user:1"))
    assert not [name for name in stored(client, keys) if nights[0] in name or nights[1] in name]
    with pytest.raises(UsageError):
        collect(lock=lock, keep=0)


@pytest.mark.parametrize("work", ["collect", "publish"])
def test_rollback_between_reading_and_writing_wins(
    client, keys, lock, nights, make_source, monkeypatch, work
):
    """A rollback at the moment of another change is kept: the other change is decided again."""
    source = make_source()
    real = client.eval
    done = []

    def send(*words):
        deletes = words[7] == keys.manifest(nights[0]) and words[-3] == "-"
        if not done and (words[-5] == source.generation or deletes):
            done.append(1)
            rollback(client, keys, to=nights[0], now=lambda: NOON)
        return real(*words)

    monkeypatch.setattr(client, "eval", send)
    if work == "collect":
        collect(lock=lock, keep=1)
    else:
        publish(client, keys, source, lock=lock, now=lambda: NOON)

    assert done
    assert live(client, keys) == nights[0]
    states = {record.id: record.state for record in list_generations(client, keys)}
    assert (states[nights[0]], states[nights[2]]) == ("ready", "quarantined")
    assert client.get(keys.data(nights[0], "user:1"))
    assert client.get(keys.manifest(nights[0]))


def test_manifest_is_deleted_before_the_data(client, keys, lock, nights, monkeypatch):
    """While a generation is being deleted its manifest is already gone."""
    exists = []
    real = client.unlink

    def unlink(*names):
        exists.append(client.exists(keys.manifest(nights[0])))
        return real(*names)

    monkeypatch.setattr(client, "unlink", unlink)
    collect(lock=lock, keep=2)

    assert exists
    assert not any(exists)


def test_damaged_hold_is_a_clear_error():
    """The error for a damaged hold names the command that ends it."""
    for value in (b"x", b"{}", b"[]", b'{"until":"soon"}'):
        with pytest.raises(ContractMismatch, match="release"):
            Hold.load(value)


@pytest.mark.parametrize("damaged", [b"x", zlib.compress(b"5"), zlib.compress(b"[")])
def test_damaged_inventory_does_not_stop_later_runs(
    client, keys, lock, nights, make_source, damaged
):
    """Keys of a damaged inventory stay, the note reports them, and later runs succeed."""
    client.set(keys.inventory(nights[0], 0), damaged)

    assert publish(client, keys, make_source(4), lock=lock, keep=2).retired == tuple(nights[:2])

    notes = {record.id: record.note for record in list_generations(client, keys)}
    assert notes[nights[0]].endswith(
        f"its inventory was damaged: keys {keys.data_prefix(nights[0])}* may be left over"
    )
    assert "damaged" not in notes[nights[1]]
    left = list(client.scan_iter(f"{keys.data_prefix(nights[0])}*"))
    assert left
    assert client.get(keys.inventory(nights[0], 0)) is None
    assert publish(client, keys, make_source(5), lock=lock, keep=2).outcome == "live"


def test_outdated_generations():
    """The live one, the given number before it, and the newest held one are kept."""
    records = tuple(
        Record(str(n), "ready", chunks=1, since="" if n == 4 else "once") for n in range(9, 0, -1)
    )
    control = Control("6", records, "")

    assert [r.id for r in collector.outdated(control, 1)] == ["1", "2", "3", "4", "5", "7", "8"]
    assert [r.id for r in collector.outdated(control, 3)] == ["1", "2", "4", "7", "8"]
    assert [r.id for r in collector.outdated(control._replace(live=None), 7)] == ["1", "2"]


def test_the_run_that_trained_is_kept_before_later_refreshes():
    """Refreshes do not displace it; the run that trained an earlier one counts as any other."""
    trainers = {5: "2", 4: "2", 3: "2", 2: "", 1: "0"}
    records = tuple(
        Record(str(n), "ready", chunks=1, since="once", trained_by=trainer)
        for n, trainer in trainers.items()
    )
    control = Control("5", records, "")

    assert [r.id for r in collector.outdated(control, 3)] == ["1", "3"]
    assert [r.id for r in collector.outdated(control, 2)] == ["1", "3", "4"]
    assert [r.id for r in collector.outdated(control, 1)] == ["1", "2", "3", "4"]
    assert [r.id for r in collector.outdated(control._replace(live="2"), 2)] == ["3", "4"]


def test_a_published_refresh_is_recorded_with_the_run_that_trained(
    client, keys, lock, nights, make_source
):
    """Four refreshes with three generations to keep leave the run, and the newest two."""
    refreshes = [make_source(tag) for tag in range(4, 8)]
    for source in refreshes:
        source.manifest["refresh"] = {"of": "any", "trained_by": nights[2]}
        publish(client, keys, source, lock=lock, keep=3)

    kept = [one.id for one in list_generations(client, keys) if one.stored]
    assert kept == [refreshes[3].generation, refreshes[2].generation, nights[2]]
    assert rollback(client, keys) == refreshes[2].generation
    assert rollback(client, keys) == nights[2]


def test_live_generation_is_never_a_leftover():
    """The live generation is not deleted, whatever its state."""
    records = tuple(Record(str(n), "staging", chunks=1) for n in (3, 2, 1))

    assert [r.id for r in collector.leftovers(Control("2", records, ""))] == ["1", "3"]


def test_hold_round_trip():
    """A hold contains its end and its reason, in any language."""
    hold = Hold(NOON, "é")
    assert Hold.load(hold.dump()) == hold
    assert json.loads(hold.dump())["until"] == NOON.timestamp()
