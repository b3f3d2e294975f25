"""Promise 11: after a rollback, generations stay staged until a release or for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reco_store.connection.connect import connect
from reco_store.errors import UnknownGeneration
from reco_store.publishing.generations import list_generations, release, rollback
from reco_store.publishing.outcome import Verdict
from store_under_fault import KEYS

DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)


def test_11_rolled_back_is_held(make_store, draw, many):
    """Publishing, rolling back, releasing and waiting keep the rules of a hold at any time."""
    store = make_store()
    draws = draw()
    time = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    held_until = time
    bad: set[int] = set()
    been_live: list[int] = []
    seen = dict.fromkeys(("live", "held", "back", "no way back"), 0)
    with connect(store.writer_url) as client:
        for number in range(many(80, 600)):
            step = draws.choice(("publish", "publish", "publish", "back", "release", "wait"))
            # one second before or after the end of the hold, or any time
            to_the_end = held_until - time
            time += draws.choice((SECOND, max(SECOND, to_the_end - SECOND), to_the_end + SECOND))
            before = store.live()
            if step == "publish":
                outcome = store.publish(number, keep=4, now=lambda time=time: time).outcome
                assert outcome == ("held" if held_until > time else "live")
                assert store.live() == (before if outcome == "held" else number)
                seen[outcome] += 1
                been_live += [number] if outcome == "live" else []
            elif step == "back" and before is not None:
                try:
                    rollback(client, KEYS, now=lambda time=time: time)
                except UnknownGeneration:
                    seen["no way back"] += 1
                    assert store.live() == before
                    continue
                bad.add(before)
                held_until = time + DAY
                assert store.live() in set(been_live) - bad
                seen["back"] += 1
            elif step == "release":
                release(client, KEYS)
                held_until = time
        records = {record.id: record.state for record in list_generations(client, KEYS)}
    assert min(seen["live"], seen["held"], seen["back"]) > 0
    states = {records.get(store.night(number).generation, "quarantined") for number in bad}
    assert states == {"quarantined"}


@pytest.mark.parametrize("moment", ["stage", "gate"])
def test_11_a_rollback_while_the_live_one_is_refilled(make_store, moment):
    """A generation rolled back during its refill stays rolled back, whatever the gate decides."""
    store = make_store()
    store.publish(0, keep=3)
    store.publish(1, keep=3)
    done = []

    def roll_back(*_: object) -> Verdict:
        if not done:
            with connect(store.writer_url) as client:
                done.append(rollback(client, KEYS, reason="odd"))
        return Verdict(passed=False, reason="worse than the older one")

    hooks = {"gate": roll_back} if moment == "gate" else {"progress": roll_back}
    store.attempt(1, keep=3, **hooks)

    assert done == [store.night(0).generation]
    assert store.live() == 0
    with connect(store.writer_url) as client:
        states = {record.id: record.state for record in list_generations(client, KEYS)}
    assert states[store.night(1).generation] == "quarantined"
    assert store.attempt(1, keep=3) == ("UsageError", 2)
