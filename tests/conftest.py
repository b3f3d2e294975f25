"""Real servers, fresh namespaces and small generations, for all tests."""

from __future__ import annotations

import gc
import shutil
import tempfile
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from real_servers import BINARIES, Cluster, Server, installed
from reco_store.connection.client import Client
from reco_store.connection.connect import connect
from reco_store.contract.keys import Keys, new_generation_id
from small_generations import FIRST_NIGHT, Source, small_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

# A busy machine slows examples down: no example may fail by the clock.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_numbers = count(1)
_night = count()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the long form of the promises."""
    parser.addoption("--soak", action="store_true", help="run the promises in their long form")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let clients of a cluster leave sockets to the garbage collector.

    After a failover redis-py drops the connections to the old node without closing them.
    """
    left = pytest.mark.filterwarnings(
        "ignore:(?s).*ResourceWarning. [Uu]nclosed:pytest.PytestUnraisableExceptionWarning"
    )
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(left)


@pytest.fixture(params=list(BINARIES))
def binary(request) -> Path:
    """Return a server binary to test: the embedded one, and the system's if installed."""
    return installed(request.param)


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """Yield a folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="reco-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Yield a folder that other accounts may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="reco-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make_server(short_folder):
    """Start servers with given options; they end with the test."""
    servers: list[Server] = []

    def make(*options: str, binary: Path | None = None, users: str = "") -> Server:
        folder = short_folder / f"own{next(_numbers)}"
        folder.mkdir()
        server = Server(binary or BINARIES["valkey"], folder, *options, users=users)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session", params=list(BINARIES))
def server(request, short_folder) -> Iterator[Server]:
    """Yield a server that all tests share: the embedded one, and the system's if installed."""
    binary = installed(request.param)
    folder = short_folder / f"{request.param}{next(_numbers)}"  # a worker may need it twice
    folder.mkdir()
    shared = Server(binary, folder)
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture(scope="module", params=list(BINARIES))
def cluster(request, short_folder) -> Iterator[Cluster]:
    """Yield a cluster of three primaries with a replica each, shared by the tests of a module."""
    nodes = Cluster(installed(request.param), short_folder / f"cluster{next(_numbers)}")
    try:
        nodes.join()
        yield nodes
    finally:
        nodes.end()
        gc.collect()  # what clients left, before other tests


@pytest.fixture
def client(server) -> Iterator[Client]:
    """Yield a connection to the shared server."""
    with connect(server.url) as connection:
        yield connection


@pytest.fixture
def keys() -> Keys:
    """Return the keys of a namespace that no other test uses."""
    return Keys(f"t{next(_numbers)}")


@pytest.fixture
def make_source():
    """Make generations, each of a later night than the previous one."""

    def make(tag: float = 0.0, *, entries=None, users: int = 3, generation=None) -> Source:
        created = FIRST_NIGHT + timedelta(days=next(_night))
        return Source(
            generation or new_generation_id(created),
            created,
            small_entries(tag, users) if entries is None else entries,
        )

    return make


@pytest.fixture
def stored():
    """Return all stored keys and values of a namespace, control keys included."""

    def read(client: Client, keys: Keys) -> dict[str, bytes]:
        names = [
            name
            for pattern in (f"{keys.namespace}:*", f"{{{keys.namespace}}}:*")
            for name in client.scan_iter(pattern, count=1000)
        ]
        return {name.decode(): client.get(name) for name in sorted(names)}

    return read
