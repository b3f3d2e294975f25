"""Promise 9: a request is answered from one generation, however often the pointer moves."""

from __future__ import annotations

import subprocess
from pathlib import Path

from reco_store.connection.connect import connect
from reco_store.control.lock import RunLock
from reco_store.publishing.publisher import flip
from store_under_fault import KEYS, Watcher

PERL_READER = Path(__file__).with_name("pinned_reader.pl")


def test_09_no_mix_within_a_request(make_store, many):
    """While the pointer moves continuously, readers in Python and Perl see no mix and no gap."""
    store = make_store()
    generations = [store.night(number).generation for number in range(2)]
    for number in range(2):
        store.publish(number, keep=2)
    password = store.reader_url.rpartition("=")[2]
    perl = subprocess.Popen(
        ["perl", PERL_READER, store.server.socket, password],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with (
        connect(store.writer_url) as client,
        RunLock(client, KEYS, heartbeat=False) as lock,
        Watcher(store) as watcher,
    ):
        for turn in range(many(600, 10_000)):
            flip(generations[turn % 2], lock=lock)
    requests, mixed, missing = map(int, perl.communicate("stop\n", timeout=60)[0].split())
    assert watcher.bad == []
    assert (mixed, missing) == (0, 0)
    assert min(requests, *watcher.reads) > many(50, 500)
