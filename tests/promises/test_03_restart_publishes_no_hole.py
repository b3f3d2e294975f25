"""Promise 3: a server restart during publishing never leaves an incomplete live generation."""

from __future__ import annotations

import pytest

from network_proxy import Wire

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.mark.parametrize("options", [(), DURABLE], ids=["forgetful", "durable"])
def test_03_restart_publishes_no_hole(make_store, draw, many, options):
    """A restart before request k ends in an error or in a complete generation.

    The same source can refill what a server without persistence lost.
    """
    store = make_store(*options)
    path = store.server.folder / "w"
    with Wire(store.server.socket, path) as wire:
        store.publish(0, url=wire.url(store.writer_url))
        store.publish(1, url=wire.url(store.writer_url))
    failed = 0
    moments = draw().sample(range(2, wire.requests // 2 + 1), many(16, wire.requests // 2 - 1))
    for number, moment in enumerate(moments, start=2):

        def restart(request: int, data: bytes, moment=moment) -> bytes:
            if request == moment:
                store.server.kill()
                store.server.start()
            return data

        with Wire(store.server.socket, path, on_request=restart) as wire:
            outcome, code = store.attempt(number, url=wire.url(store.writer_url))
        assert (outcome == "live") == (code == 0)
        failed += code != 0
        live = store.live()
        assert live in ((number - 1, number) if options else (None, number))
        assert code or live == number or not options
        store.end_lease()
        store.publish(number)
        store.require_only(number)
    assert failed > 0
