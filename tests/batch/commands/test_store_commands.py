"""Output of `batch hide`, `unhide` and `hidden`."""

import subprocess
import sys

import pytest

from reco_store import Reader, RunLock, publish


@pytest.fixture
def batch(server, client, keys, make_source):
    """Run `batch` in a namespace whose live generation has six movies."""
    with RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(), lock=lock)

    def run(*words):
        where = ("--redis-url", server.url, "--namespace", keys.namespace)
        program = "import reco_batch; reco_batch.main()"
        return subprocess.run(
            [sys.executable, "-c", program, *words, *where],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_hide_and_unhide(batch, server, keys):
    """The next request no longer returns a hidden movie; `hidden` lists ids and titles."""
    with Reader(server.url, keys.namespace) as reader:
        assert reader.user("1", n=1).items[0].movie_id == "3"
        ended = batch("hide", "3", "77")
        first, note = ended.stdout.splitlines()
        assert first == "2 movies are now hidden from every list"
        assert note.startswith(
            "note: not in the live generation: 77; hidden as soon as a generation "
        )
        assert reader.user("1", n=1).items[0].movie_id == "5"
        assert batch("hidden").stdout.splitlines() == [
            "3\tHeat (1995)",
            "77\t(not in the live generation)",
        ]
        assert batch("unhide", "3", "5").stdout == "1 movie is shown again; 1 was not hidden\n"
        assert reader.user("1", n=1).items[0].movie_id == "3"
        batch("unhide", "77")
        assert batch("hidden").stdout == "nothing is hidden\n"


def test_an_empty_id_is_refused(batch):
    """It would hide nothing, and report a hidden movie."""
    ended = batch("hide", "")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "expected one id or more" in ended.stderr
