"""Generations that are staged without a switch, and their promotion."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reco_store.control.lock import RunLock
from reco_store.errors import Held, UnknownGeneration, UsageError, VerifyFailed
from reco_store.publishing import publisher
from reco_store.publishing.generations import collect, list_generations, release, rollback
from reco_store.publishing.outcome import Verdict
from reco_store.publishing.promotion import promote
from reco_store.publishing.publisher import publish
from reco_store.read.reader import Reader

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def lock(client, keys):
    """Held lock of the test's namespace."""
    with RunLock(client, keys, heartbeat=False) as held:
        yield held


@pytest.fixture
def served(client, keys, lock, make_source) -> str:
    """Generation that is live."""
    source = make_source(0)
    publish(client, keys, source, lock=lock)
    return source.generation


@pytest.fixture
def stage(client, keys, lock, make_source):
    """Stage a generation without a switch, and return it."""

    def make(tag: float = 1.0, **options):
        source = make_source(tag)
        result = publish(client, keys, source, lock=lock, switch=False, **options)
        assert (result.outcome, result.held) == ("staged", None)
        return source.generation

    return make


def live(client, keys) -> str:
    """Return the live generation."""
    return client.get(keys.current).decode()


def states(client, keys) -> dict[str, str]:
    """Return the state of each generation that is complete in the store."""
    found = Reader(client=client, namespace=keys.namespace).generations()
    return {one.generation: one.state for one in found}


def test_staging_changes_nothing_that_readers_see(client, keys, served, stage, stored):
    """The pointer, and every key of the live generation, stay; the new one is complete."""
    before = {name: value for name, value in stored(client, keys).items() if served in name}
    staged = stage()

    after = stored(client, keys)
    assert live(client, keys) == served
    assert {name: value for name, value in after.items() if served in name} == before
    assert keys.manifest(staged) in after
    assert states(client, keys) == {staged: "staged", served: "live"}
    (record, _) = list_generations(client, keys)
    assert (record.state, record.live, record.live_since) == ("ready", False, "")
    assert "batch promote" in record.note


def test_promotion_serves_it(client, keys, lock, served, stage):
    """The pointer moves, the previous generation stays ready, and the note is gone."""
    staged = stage()
    result = promote(staged, lock=lock, now=lambda: NOON)

    assert (result.outcome, result.generation, result.previous) == ("live", staged, served)
    assert live(client, keys) == staged
    record = list_generations(client, keys)[0]
    assert (record.live, record.live_since, record.note) == (True, NOON.isoformat(), "")
    assert b"batch promote" not in client.get(keys.generations)
    assert states(client, keys) == {staged: "live", served: "ready"}
    assert rollback(client, keys) == served


def test_promotion_may_be_repeated(client, keys, lock, served, stage, stored):
    """Promoting the live generation succeeds and changes nothing."""
    staged = stage()
    promote(staged, lock=lock)
    before = stored(client, keys)

    assert promote(staged, lock=lock).outcome == "live"
    assert stored(client, keys) == before


def test_first_generation_can_be_staged(client, keys, lock, stage):
    """Without a live generation, too, nothing is served before the promotion."""
    staged = stage()
    assert client.get(keys.current) is None
    assert Reader(client=client, namespace=keys.namespace, generation=staged).user("1").items

    assert promote(staged, lock=lock).previous is None
    assert live(client, keys) == staged


def test_collection_spares_the_staged_one(client, keys, lock, served, stage, make_source):
    """Deletion of old generations, and runs that fail, leave it; the smallest keep does, too."""
    staged = stage()
    collect(lock=lock, keep=1)
    refused = Verdict(passed=False, reason="weak")
    publish(client, keys, make_source(2), lock=lock, keep=1, gate=lambda _: refused)

    assert staged in states(client, keys)
    assert promote(staged, lock=lock).outcome == "live"


def test_at_most_one_is_staged(client, keys, lock, served, stage):
    """A newer staged generation replaces the earlier one, which can no longer be promoted."""
    first, second = stage(), stage(2)

    assert states(client, keys) == {second: "staged", served: "live"}
    with pytest.raises(UnknownGeneration, match="is retired"):
        promote(first, lock=lock)


def test_a_run_that_goes_live_replaces_it(client, keys, lock, served, stage, make_source):
    """A newer live generation makes the staged one obsolete."""
    staged = stage()
    newer = make_source(2)
    publish(client, keys, newer, lock=lock, keep=3)

    assert states(client, keys) == {newer.generation: "live", served: "ready"}
    with pytest.raises(UnknownGeneration, match="is retired"):
        promote(staged, lock=lock)


def test_older_than_the_live_one_is_refused(client, keys, lock, served, stage):
    """Also if the deletion of the staged generation has not happened yet."""
    staged, newer = stage(), "29990101T000000Z-0000"
    client.set(keys.current, newer)

    with pytest.raises(UsageError, match=f"older than {newer}, which is live"):
        promote(staged, lock=lock)
    assert live(client, keys) == newer


def test_older_than_a_waiting_one_is_refused(client, keys, lock, served, stage, monkeypatch):
    """Also if a run died before it deleted the generation that it replaced."""
    first = stage()
    with monkeypatch.context() as patched:
        patched.setattr(publisher, "outdated", lambda *_: ())
        second = stage(2)

    with pytest.raises(UsageError, match=f"was replaced by {second}"):
        promote(first, lock=lock)
    assert promote(second, lock=lock).outcome == "live"


def test_one_that_was_live_is_for_rollback(client, keys, lock, served, stage):
    """A generation that was live before is refused, with the command that returns to it."""
    promote(stage(), lock=lock)
    with pytest.raises(UsageError, match=f"batch rollback {served}"):
        promote(served, lock=lock)


def test_one_that_waits_is_not_for_rollback(client, keys, lock, served, stage, stored):
    """A rollback checks nothing, so it refuses a generation that was never live."""
    staged = stage()
    before = stored(client, keys)
    with pytest.raises(UsageError, match=f"never live.*`batch promote {staged}` serves it"):
        rollback(client, keys, to=staged)
    assert stored(client, keys) == before


def test_one_that_was_passed_over_is_not_for_rollback(client, keys, served, stage):
    """An older one that was never live can no longer be promoted, so it is judged again."""
    staged, newer = stage(), "29990101T000000Z-0000"
    client.set(keys.current, newer)
    with pytest.raises(UsageError, match=f"never live.*`batch republish {staged}`"):
        rollback(client, keys, to=staged)
    assert live(client, keys) == newer


def test_refused_and_unknown_ones(client, keys, lock, served, make_source):
    """The gate's refusal counts, and a name that the store does not know."""
    refused, verdict = make_source(1), Verdict(passed=False, reason="weak")
    publish(client, keys, refused, lock=lock, switch=False, gate=lambda _: verdict)

    assert states(client, keys)[refused.generation] == "refused"
    with pytest.raises(UnknownGeneration, match="is refused; `batch republish"):
        promote(refused.generation, lock=lock)
    with pytest.raises(UnknownGeneration, match="is unknown"):
        promote("20200101T000000Z-0000", lock=lock)
    assert live(client, keys) == served


def test_hold_is_respected(client, keys, lock, served, stage, make_source):
    """During a hold the generation stays staged; after its end it goes live."""
    promote(stage(), lock=lock)
    rollback(client, keys)
    staged = stage(3)
    with pytest.raises(Held):
        promote(staged, lock=lock)
    assert (live(client, keys), states(client, keys)[staged]) == (served, "staged")

    release(client, keys)
    assert promote(staged, lock=lock).outcome == "live"


def test_held_generation_can_be_promoted(client, keys, lock, served, stage, make_source):
    """A run that a hold stopped leaves the same kind of generation; its note ends."""
    promote(stage(), lock=lock)
    rollback(client, keys)
    source = make_source(3)
    assert publish(client, keys, source, lock=lock).outcome == "held"
    release(client, keys)

    assert promote(source.generation, lock=lock).outcome == "live"
    assert list_generations(client, keys)[0].note == ""


@pytest.mark.parametrize("damage", ["missing", "changed", "inventory", "manifest"])
def test_every_key_is_read_back(client, keys, lock, served, stage, damage):
    """A key that was lost or changed since staging stops the switch."""
    staged = stage()
    key = keys.data(staged, "user:2")
    match damage:
        case "missing":
            client.delete(key)
        case "changed":
            client.set(key, client.get(keys.data(served, "user:2")))
        case "inventory":
            client.delete(keys.inventory(staged, 0))
        case _:
            client.delete(keys.manifest(staged))

    with pytest.raises(VerifyFailed, match=f"generation {staged}"):
        promote(staged, lock=lock)
    assert live(client, keys) == served


def test_requirement_is_checked_at_the_switch_again(client, keys, lock, served, stage):
    """The requirement gets manifest and live generation, and sees a rollback in between."""
    first = stage()
    promote(first, lock=lock)
    staged, asked = stage(2), []

    def require(manifest, now_live):
        asked.append((manifest["generation"], now_live))
        if now_live != first:
            raise UsageError("compared with another one")

    def progress(phase, _):
        if phase == "verify" and live(client, keys) == first:
            rollback(client, keys)
            release(client, keys)

    with pytest.raises(UsageError, match="compared with another one"):
        promote(staged, lock=lock, require=require, progress=progress)
    assert asked == [(staged, first), (staged, served)]
    assert live(client, keys) == served


def test_keep_applies_after_a_promotion(client, keys, lock, served, stage):
    """Old generations are deleted as after a run."""
    staged = stage()
    assert promote(staged, lock=lock, keep=1).retired == (served,)
    assert states(client, keys) == {staged: "live"}
    with pytest.raises(UsageError, match="keep 0"):
        promote(staged, lock=lock, keep=0)
