"""Promise 4: a lost request or reply does not change the final content of the store."""

from __future__ import annotations

from datetime import UTC, datetime

from network_proxy import Wire
from reco_store.connection.connect import connect
from reco_store.publishing.generations import release, rollback
from store_under_fault import KEYS, publish_on

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def live_on(store, url: str) -> str:
    """Publish, replace, roll back, hold, release, retire; return the outcome of the held run."""
    with connect(url) as client:
        for number in (0, 1):
            publish_on(client, store.night(number), keep=2, now=lambda: NOON)
        rollback(client, KEYS, now=lambda: NOON)
        held = publish_on(client, store.night(2), keep=2, now=lambda: NOON)
        release(client, KEYS)
        publish_on(client, store.night(3), keep=1, now=lambda: NOON)
    return held.outcome


def test_04_lost_reply_changes_nothing(make_store, stored, draw, many):
    """With any message lost, all keys but the run's token equal those of a faultless sequence."""
    store = make_store()
    path = store.server.folder / "w"

    def end_of(**hooks) -> tuple[dict[str, bytes], int]:
        store.admin.flushall()
        with Wire(store.server.socket, path, **hooks) as wire:
            assert live_on(store, wire.url(store.writer_url)) == "held"
        found = stored(store.admin, KEYS)
        found.pop(KEYS.fence)
        return found, wire.requests

    expected, requests = end_of()
    assert requests > 80

    def lose(moment: int):
        return lambda request, data: None if request == moment else data

    for moment in draw("replies").sample(range(1, requests + 1), many(25, requests)):
        assert end_of(on_reply=lose(moment))[0] == expected, f"reply {moment} lost"
    for moment in draw("requests").sample(range(1, requests + 1), many(15, requests)):
        assert end_of(on_request=lose(moment))[0] == expected, f"request {moment} lost"
