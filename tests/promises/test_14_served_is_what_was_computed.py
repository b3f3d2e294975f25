"""Promise 14: readers get the computed bytes, or the run fails, whatever the network corrupts."""

from __future__ import annotations

import json
import zlib
from collections import Counter

from network_proxy import Wire
from reco_store.connection.connect import connect
from reco_store.contract.codec import decode_ids, decode_list, decode_movie
from reco_store.errors import RecoError
from reco_store.read.reader import Reader
from store_under_fault import KEYS, publish_on

TIMEOUT_SECONDS = 0.3  # a corrupted length makes the server wait for bytes that never come


def spoil(moment: int, share: float, flip: int):
    """Flip bits in one byte of one chunk."""

    def hook(number: int, data: bytes) -> bytes:
        if number != moment:
            return data
        place = int(share * len(data))
        return data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]

    return hook


def read_back(store, number: int) -> None:
    """Compare the reader's answers, with the readers' account, to the computed values."""
    computed = dict(store.night(number).pairs)
    with Reader(store.reader_url) as reader:
        for suffix, value in computed.items():
            family, _, name = suffix.partition(":")
            if family in ("user", "ranked", "similar"):
                answer = getattr(reader, family)(name, n=len(decode_list(value)[0]))
                found = [item.movie_id for item in answer.items], [i.score for i in answer.items]
                assert found == decode_list(value)
            elif family == "seen":
                assert list(reader.seen(name)) == decode_ids(value)
            elif family == "movie":
                assert reader.movie(name)[1:] == decode_movie(value)
            elif family == "title":
                found = [movie.movie_id for movie in reader.find_title(name)]
                assert found == decode_ids(value)


def test_14_served_is_what_was_computed(make_store, draw, many):
    """One byte flipped anywhere on the wire ends in an error or in exactly the computed values."""
    store = make_store()
    path = store.server.folder / "w"
    with Wire(store.server.socket, path) as wire:
        store.publish(0, url=wire.url(store.writer_url))
        before = wire.requests
        store.publish(1, url=wire.url(store.writer_url))
    requests = wire.requests - before
    read_back(store, 1)

    ends = Counter()
    for trial in range(1, many(40, 1500) + 1):
        draws = draw(trial)
        side = draws.choice(("on_request", "on_reply"))
        hook = spoil(draws.randint(2, requests), draws.random(), 1 << draws.randrange(8))
        last, number = store.live(), 2 * trial
        with (
            Wire(store.server.socket, path, **{side: hook}) as wire,
            connect(wire.url(store.writer_url), timeout_seconds=TIMEOUT_SECONDS) as client,
        ):
            try:
                ends[publish_on(client, store.night(number), keep=1).outcome] += 1
            except RecoError as error:
                ends[type(error).__name__] += 1
        assert store.live() in (last, number), trial
        store.end_lease()
        assert store.publish(number + 1).warning == ""
        assert store.live() == number + 1
        generation = store.night(number + 1).generation
        inventory = store.admin.get(KEYS.inventory(generation, 0))
        assert json.loads(zlib.decompress(inventory)) == list(store.night(number + 1).suffixes())
    assert ends["VerifyFailed"] > 0
