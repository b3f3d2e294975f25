"""Promise 21: a home has one embedded store, which loses nothing while it is busy or stopped.

Twenty clients start, stop, write and read concurrently. The store holds values of one megabyte: 64
in the short form, 1,000 in the long one. The lock of a living server decides who owns the data, so
clients wait for a server that does not answer because it is saving or stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from reco_store.connection.connect import connect
from reco_store.connection.embedded import server as embedded
from reco_store.connection.embedded.server import ensure_server, save, server_pid, stop_server

CLIENTS = 20
VALUE = os.urandom(1_000_000)  # incompressible for the snapshot
#: One of four clients first stops the store, one writes and saves, and two only read. They retry
#: only if another client ended the store.
#: store's end, by another client, is a reason to ask again.
CLIENT = """
import sys, time
from pathlib import Path
from redis.exceptions import RedisError
from reco_store.connection.embedded import server as embedded
from reco_store.connection.connect import connect
from reco_store.errors import StoreUnreachable
home, binary, number = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
embedded._binary = lambda: binary
print("ready", flush=True)
sys.stdin.readline()
if number % 4 == 0:
    embedded.stop_server(home)
while True:
    with connect(None, home=home, start=number % 2 == 0) as client:
        try:
            if number % 4 == 2:
                client.set(f"client:{number}", 1)
                embedded.save(client)
            print(sum(map(len, client.scan_iter("value:*", count=10_000))))
            break
        except (RedisError, StoreUnreachable):
            time.sleep(0.01)
"""


class Home:
    """Embedded store, its clients, and a count of the servers in its folder."""

    def __init__(self, folder: Path, binary: Path, values: int) -> None:
        self.folder = folder
        self.binary = binary
        self.most_servers = 0
        self._values = values
        with connect(None, home=folder) as client:
            for number in range(values):
                client.set(f"value:{number:06}", VALUE)
            save(client)

    def servers(self) -> set[int]:
        """Return the processes that work in the store's folder, without their children."""
        parents: dict[int, int] = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == self.folder / "store":
                    stat = (process / "stat").read_text()
                    parents[int(process.name)] = int(stat.rpartition(")")[2].split()[1])
            except OSError:
                continue
        return {pid for pid, parent in parents.items() if parent not in parents}

    def ask(self, disturb) -> None:
        """Let all clients read while a function disturbs the server.

        All must read all values, and there may never be two servers.
        """
        words = [sys.executable, "-c", CLIENT, str(self.folder), str(self.binary)]
        pipe = subprocess.PIPE
        clients = [
            subprocess.Popen([*words, str(number)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.stdout.readline()
        end = threading.Event()
        watcher = threading.Thread(target=self._watch, args=[end])
        watcher.start()
        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        for client in clients:
            client.stdin.write("go\n")
            client.stdin.flush()
        answers = [client.communicate() for client in clients]
        disturbing.join()
        end.set()
        watcher.join()
        seen = [out.strip() for out, _ in answers]
        assert seen == [str(len("value:000000") * self._values)] * CLIENTS, answers
        assert self.most_servers == 1
        with connect(None, home=self.folder) as client:
            assert client.exists(*[f"client:{n}" for n in range(2, CLIENTS, 4)]) == CLIENTS / 4

    def _watch(self, end: threading.Event) -> None:
        while not end.wait(0.05):
            found = self.servers()
            if len(found) > 1:  # one server may have ended and another started during the count
                found &= self.servers()
            self.most_servers = max(self.most_servers, len(found))


@pytest.fixture
def home(short_folder, binary, many, monkeypatch):
    """Return a store of 64 MB, or of 1 GB in the long form, with the given server."""
    monkeypatch.setattr(embedded, "_binary", lambda: binary)
    folder = short_folder / f"home-{os.urandom(4).hex()}"
    yield Home(folder, binary, many(64, 1_000))
    stop_server(folder)


def test_21_one_store_while_it_saves(home):
    """Saves by the server and by clients overlap, and some clients stop it."""
    with connect(None, home=home.folder) as client:
        client.config_set("save", "1 1")

    def write() -> None:
        for number in range(20):
            with connect(None, home=home.folder) as client:
                try:
                    client.set("more", number)
                    client.bgsave()
                except RedisError:  # it is saving already, or a client stopped it
                    time.sleep(0.05)

    home.ask(write)


def test_21_one_store_while_it_is_stopped(home, many):
    """A server silent for longer than any timeout is waited for, not replaced."""
    pid = server_pid(home.folder)
    os.kill(pid, signal.SIGSTOP)

    def wake() -> None:
        time.sleep(many(7, 15))
        os.kill(pid, signal.SIGCONT)

    home.ask(wake)


def test_21_one_store_after_its_death(home):
    """A server killed while its child saves leaves the last complete snapshot and one successor."""
    with connect(None, home=home.folder) as client:
        client.set("unsaved", VALUE)
        client.config_set("rdb-key-save-delay", 100_000)  # microseconds
        client.bgsave()
    os.kill(server_pid(home.folder), signal.SIGKILL)
    assert list(home.folder.glob("store/temp-*.rdb"))
    home.ask(lambda: ensure_server(home.folder))
    assert not list(home.folder.glob("store/temp-*.rdb"))
