"""Promise 12: after any failure the next run succeeds by itself and removes all remains."""

from __future__ import annotations

import time

import pytest

from network_proxy import Wire
from reco_store.errors import LockHeld

LEASE = 0.1


class Failure(Exception):
    """Any error from the run's own code."""


def publish_when_free(store, number: int) -> None:
    """Publish after the dead run's lease has expired, as the next run does."""
    while True:
        try:
            assert store.publish(number).outcome == "live"
        except LockHeld:
            time.sleep(0.02)
        else:
            return


def test_12_failed_night_does_not_wedge(make_store, draw, many):
    """A run fails from request k or at step k; the next one publishes and leaves nothing else."""
    store = make_store()
    path = store.server.folder / "w"
    with Wire(store.server.socket, path) as wire:
        store.publish(0, url=wire.url(store.writer_url))
        store.publish(1, url=wire.url(store.writer_url))
    requests = wire.requests // 2
    number = 1
    for moment in draw().sample(range(1, requests + 1), many(12, requests)):
        number += 2

        def gone(request: int, data: bytes, moment=moment) -> bytes | None:
            return None if request >= moment else data

        with Wire(store.server.socket, path, on_request=gone) as wire:
            url = wire.url(store.writer_url)
            outcome, code = store.attempt(number - 1, url=url, lease_seconds=LEASE)
        assert outcome == "live" or code in (3, 5)
        assert store.live() in (number - 2, number - 1)
        publish_when_free(store, number)
        store.require_only(number)

    for error in (Failure, KeyboardInterrupt, MemoryError):
        for step in ("stage", "verify", "gate", "retire"):
            number += 2

            def fail(word: str, _: int, step=step, error=error) -> None:
                if word == step:
                    raise error

            hooks = {"gate": lambda _, fail=fail: fail("gate", 0), "progress": fail}
            with pytest.raises(error):
                store.publish(number - 1, **hooks if step == "gate" else {"progress": fail})
            assert store.live() == (number - 1 if step == "retire" else number - 2)
            publish_when_free(store, number)
            store.require_only(number)
