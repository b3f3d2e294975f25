"""A real server with known content, and `reco` run as real processes, piped and in a terminal."""

import hashlib
import json
import os
import pty
import socket
import subprocess
import sys
import termios
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from real_servers import running_server
from reco_store import Keys, new_generation_id
from reco_store.connection.embedded.server import stop_server
from reco_store.contract import keys as names
from reco_store.contract.codec import (
    MovieRecord,
    encode_ids,
    encode_list,
    encode_movie,
    encode_reasons,
)
from terminals import read_all

ROOT = Path(__file__).parents[2]
AGE = timedelta(hours=3, minutes=5)

# Title, year, genres, number of ratings, mean rating.
MOVIES = {
    "1": MovieRecord("Toy Story (1995)", 1995, ("Adventure", "Animation", "Children"), 215, 3.921),
    "2": MovieRecord("Jumanji (1995)", 1995, ("Adventure", "Children", "Fantasy"), 110, 3.432),
    "6": MovieRecord("Heat (1995)", 1995, ("Action", "Crime", "Thriller"), 102, 3.946),
    "11": MovieRecord("Hamlet (1996)", 1996, ("Drama",), 44, 3.8),
    "12": MovieRecord("Hamlet (1990)", 1990, ("Drama",), 9, 3.5),
    "47": MovieRecord("Seven (a.k.a. Se7en) (1995)", 1995, ("Mystery", "Thriller"), 203, 3.975),
    "50": MovieRecord("Usual Suspects, The (1995)", 1995, ("Crime", "Mystery"), 204, 4.238),
    "300": MovieRecord("Quiz Show (1994)", 1994, ("Drama",), 90, 3.577),
    "7153": MovieRecord(
        "Lord of the Rings: The Return of the King, The (2003)",
        2003,
        ("Action", "Adventure", "Drama", "Fantasy"),
        185,
        4.119,
    ),
    "51662": MovieRecord("300 (2007)", 2007, ("Action", "Fantasy", "War", "IMAX"), 80, 3.681),
    "900": MovieRecord("\x1b[31mRed\x1b[0m \x9b2J\x07 (2001)", 2001, ("Ho\x1b]0;rror",), 5, 3.0),
    "901": MovieRecord("Tab\there\nand a new line\r\x00", None, (), 4, None),
    "902": MovieRecord("千と千尋の神隠し (2001)", 2001, ("Animation", "Fantasy"), 87, 4.155),
    "903": MovieRecord("👨\u200d👩\u200d👧 Family 🎬 Night ❤️ (2010)", 2010, ("Comedy",), 3, 2.5),
    "904": MovieRecord(
        "\u202egnp.exe\u202c and [bold]markup[/bold] :smile:", None, ("Drama",), 2, 4
    ),
    "905": MovieRecord("a title of many words " * 12 + "(1999)", 1999, ("Documentary",) * 9, 1, 1),
    "906": MovieRecord("e\u0301te\u0301 Amélie | pipe", None, ("Romance",), 0, None),
}
PERSONAL = ("50", "47", "6", "7153", "300", "51662", "11", "12", "2", "902", "903", "1")
HOSTILE = ("900", "901", "902", "903", "904", "905", "906", "907")
MOST_RATED = ("1", "50", "47", "7153", "2", "6", "300", "902", "51662", "11", "12")


HIDE_AND_RUN = """
import sys

class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {packages}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Hidden)
import reco_cli
reco_cli.main()
"""


def lists() -> Iterator[tuple[str, Sequence[str], Sequence[float]]]:
    """Yield suffix, movies and scores of every list that the tests read."""
    yield names.user_suffix("42"), PERSONAL, [0.987 - 0.05 * i for i in range(len(PERSONAL))]
    yield names.user_suffix("7"), HOSTILE, [0.5] * len(HOSTILE)
    yield names.user_suffix("8"), ("6", "47", "2"), (0.9, 0.8, 0.7)
    yield names.user_suffix("9"), ("902",), (0.9,)
    yield names.user_suffix("a:{b} *"), ("6",), (0.9,)
    yield names.ranked_suffix("42"), PERSONAL, [4.913 - 0.1 * i for i in range(len(PERSONAL))]
    yield names.similar_suffix("1"), ("2", "6", "50"), (0.912, 0.75, 0.5)
    yield names.similar_suffix("11"), ("12", "50"), (0.8, 0.4)
    yield names.similar_suffix("300"), ("51662",), (0.3,)
    yield names.similar_suffix("900"), ("901",), (0.3,)
    yield names.next_suffix("1"), ("2", "6", "50", "47"), (2.912, 2.75, 1.5, 0.5)
    yield names.next_suffix("11"), ("12", "50"), (1.8, 0.4)
    yield (
        names.popular_suffix("most_rated"),
        MOST_RATED,
        [MOVIES[m].rating_count for m in MOST_RATED],
    )
    yield names.popular_suffix("highest_rated"), ("50", "902", "7153"), (4.238, 4.155, 4.119)
    yield names.popular_suffix("most_rated", "Drama"), ("7153", "300", "11"), (185, 90, 44)
    yield names.popular_suffix("highest_rated", "Drama"), ("7153", "11"), (4.119, 3.8)


def entries() -> Iterator[tuple[str, bytes]]:
    """Yield every entry of the generation that the tests read, titles included."""
    titled: dict[str, list[str]] = {}
    for suffix, movies, scores in lists():
        yield suffix, encode_list(movies, scores, numeric_ids=True)
    yield names.seen_suffix("42"), encode_ids(["902"], numeric_ids=True)
    reasons = ["902", None, "1", *[None] * (len(PERSONAL) - 3)]
    yield names.because_suffix("42"), encode_reasons(reasons, numeric_ids=True)
    for movie_id, movie in MOVIES.items():
        yield names.movie_suffix(movie_id), encode_movie(movie)
        for suffix in names.title_suffixes(movie.title):
            titled.setdefault(suffix, []).append(movie_id)
    for suffix, movie_ids in titled.items():
        yield suffix, encode_ids(movie_ids, numeric_ids=True)
    # Half a character: another language's JSON may have it, ours cannot write it.
    yield names.movie_suffix("907"), rb'{"t":"half a character \ud800","g":["Drama"]}'


def write_generation(client: Redis, namespace: str, **manifest: Any) -> str:
    """Write a generation straight through the key contract, and return its name."""
    created = datetime.now(UTC).replace(microsecond=0) - AGE
    generation = new_generation_id(created, "ab12")
    keys, written = Keys(namespace), dict(entries())
    digest = hashlib.sha256()
    for suffix, value in written.items():
        digest.update(b"%b\0%b\0" % (suffix.encode(), value))
    fields = {
        "schema": 1,
        "generation": generation,
        "created": created.isoformat(),
        "ids": "integer",
        "counts": Counter(suffix.partition(":")[0] for suffix in written),
        "entries": len(written),
        "bytes": sum(map(len, written.values())),
        "digest": f"sha256:{digest.hexdigest()}",
        "metrics": {"rmse": 0.8827, "top_10_accuracy": 0.0175},
        "parameters": {"preset": "notebook"},
        "data": {"name": "made for the tests"},
        "gate": None,
        "rating_scale": [0.5, 5.0],
        **manifest,
    }
    client.mset({keys.data(generation, suffix): value for suffix, value in written.items()})
    client.mset({keys.manifest(generation): json.dumps(fields), keys.current: generation})
    return generation


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a server without a password; the namespace `reco` is published."""
    with running_server() as url, Redis.from_url(url) as client:
        write_generation(client, "reco")
        yield url


@pytest.fixture(scope="session")
def client(server: str) -> Iterator[Redis]:
    """Connection to the server, to publish more."""
    with Redis.from_url(server) as client:
        yield client


@pytest.fixture(scope="session")
def publish() -> Callable[..., str]:
    """Write the generation of the tests to a namespace; keywords replace manifest fields."""
    return write_generation


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Folder for an embedded store, which is stopped at the end."""
    yield tmp_path / "home"
    stop_server(tmp_path / "home")


@pytest.fixture(scope="session")
def generation(client: Redis) -> str:
    """Name of the published generation."""
    name = client.get(Keys("reco").current)
    assert isinstance(name, bytes)
    return name.decode()


@pytest.fixture(scope="session")
def locked_server() -> Iterator[str]:
    """Host and port of an empty server whose password is `right`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    options = ("--bind", "127.0.0.1", "--port", port, "--requirepass", "right")
    with running_server(*options):
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def without() -> Callable[..., tuple[str, str]]:
    """Make a program that runs `reco` as if some packages were not installed."""

    def program(*packages: str) -> tuple[str, str]:
        return "-c", HIDE_AND_RUN.format(packages=packages)

    return program


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a finished process."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """Fields of each line of standard output."""
        return [line.split("\t") for line in self.out.splitlines()]


@pytest.fixture
def environment(tmp_path: Path, server: str) -> dict[str, str]:
    """Environment of the commands: their own home, and the server's address."""
    paths = [str(ROOT / "cli"), str(ROOT / "store")]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONWARNINGS": "error",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "REDIS_URL": server,
    }


Run = Callable[..., Ended]


@pytest.fixture
def reco(environment: dict[str, str]) -> Run:
    """Run `reco` with its output in pipes; keyword arguments add to the environment."""

    def run(*words: str, python: Sequence[str] = ("-m", "reco_cli"), **more: str) -> Ended:
        result = subprocess.run(
            [sys.executable, *python, *words],
            env={**environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Ended(result.returncode, result.stdout.decode(), result.stderr.decode())

    return run


@pytest.fixture
def terminal(environment: dict[str, str]) -> Run:
    """Run `reco` on a terminal of its own; keyword arguments add to the environment."""

    def run(
        *words: str, columns: int = 80, python: Sequence[str] = ("-m", "reco_cli"), **more: str
    ) -> Ended:
        mine, its = pty.openpty()
        termios.tcsetwinsize(its, (50, columns))
        with subprocess.Popen(
            [sys.executable, *python, *words],
            env={**environment, **more},
            stdin=its,
            stdout=its,
            stderr=subprocess.PIPE,
        ) as process:
            os.close(its)
            shown = read_all(mine)
            err = process.stderr.read() if process.stderr else b""
        os.close(mine)
        return Ended(process.returncode, shown.decode().replace("\r\n", "\n"), err.decode())

    return run
