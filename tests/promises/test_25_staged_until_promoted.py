"""Promise 25: what is staged waits for its promotion, and a killed promotion leaves one whole."""

from __future__ import annotations

import signal

from reco_store.read.reader import Reader
from store_under_fault import KEYS, Watcher


def test_25_staged_until_promoted(make_store, nights, draw, many):
    """Promotions killed at random bytes serve the old generation or the new one, never a mix.

    Runs that die between staging and promotion delete nothing of the staged generation.
    """
    store = make_store()
    assert nights.start(store.writer_url, 0).wait() == 0
    live = kills = flipped = trial = 0
    with Watcher(store) as watcher:
        while kills < many(30, 500):
            trial += 2
            assert nights.start(store.writer_url, trial, switch=False).wait() == 0
            assert store.live() == live
            draws = draw(trial)
            instant = (draws.randint(4, 40), draws.random(), "SIGKILL")
            nights.start(store.writer_url, trial + 1, instant=instant).wait()
            store.end_lease()
            if store.live() != live:  # it was killed after its switch, and replaced what was staged
                live = store.live()
                continue
            require_whole(store, trial)

            at = (draws.randint(1, 40), draws.choice((0.0, 1.0, draws.random())), "SIGKILL")
            code = nights.start(store.writer_url, trial, promotes=True, instant=at).wait()
            assert code in (-signal.SIGKILL, 0)
            kills += code != 0
            assert store.live() in (live, trial), at
            flipped += code != 0 and store.live() == trial
            store.end_lease()
            if store.live() == live:
                require_whole(store, trial)
            assert nights.start(store.writer_url, trial, promotes=True).wait() == 0
            assert store.live() == trial
            live = trial
    assert watcher.bad == []
    assert 0 < flipped < kills


def require_whole(store, number: int) -> None:
    """Require that a staged generation is complete to the byte, and that readers can name it."""
    source = store.night(number)
    names = [KEYS.data(source.generation, suffix) for suffix in source.suffixes()]
    assert store.admin.mget(names) == [value for _, value in source.pairs]
    with Reader(store.reader_url, generation=source.generation) as reader:
        assert reader.user("1", n=3).items[0].score == 5.0 + number
