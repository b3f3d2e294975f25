"""A store under fault: a real server with the shipped accounts, and its invariants."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from reading_threads import ReadingThreads
from real_servers import Server, wait_until
from reco_store.connection.connect import connect
from reco_store.contract.keys import Keys
from reco_store.control.lock import RunLock
from reco_store.errors import RecoError
from reco_store.publishing.publisher import publish
from reco_store.read.reader import Reader
from small_generations import Source, number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reco_store.connection.client import Client
    from reco_store.publishing.outcome import Published

KEYS = Keys("reco")


class Store:
    """Server with connections for its writer and readers.

    Args:
        server: started with the shipped accounts.
        make_night: returns the generation of a given number.
    """

    def __init__(self, server: Server, make_night: Callable[[int], Source]) -> None:
        self.server = server
        self.night = lru_cache(maxsize=256)(make_night)
        self.writer_url = server.url_of("writer")
        self.reader_url = server.url_of("reader")
        self.admin = connect(server.url)

    def publish(self, number: int, *, url: str = "", **options: Any) -> Published:
        """Publish a generation with the writer's account."""
        options.setdefault("keep", 1)
        with connect(url or self.writer_url) as client:
            return publish_on(client, self.night(number), **options)

    def attempt(self, number: int, **options: Any) -> tuple[str, int]:
        """Publish a generation that may fail; return how it ended and the exit code."""
        try:
            return self.publish(number, **options).outcome, 0
        except RecoError as error:
            return type(error).__name__, error.exit_code

    def live(self) -> int | None:
        """Require that the live generation is complete to the byte; return its number."""
        pointer = self.admin.get(KEYS.current)
        if pointer is None:
            return None
        source = self.night(number_of(pointer.decode()))
        assert source.generation == pointer.decode()
        names = [KEYS.data(source.generation, suffix) for suffix in source.suffixes()]
        assert self.admin.mget(names) == [value for _, value in source.pairs]
        assert (
            source.manifest["digest"] in self.admin.get(KEYS.manifest(source.generation)).decode()
        )
        return number_of(source.generation)

    def names(self) -> set[str]:
        """Return the names of all keys on the server."""
        return {name.decode() for name in self.admin.scan_iter(count=10_000)}

    def expected_names(self, *numbers: int) -> set[str]:
        """Return all key names for a store of exactly these generations and no active run."""
        names = {KEYS.current, KEYS.generations, KEYS.fence}
        for source in map(self.night, numbers):
            names |= {KEYS.manifest(source.generation), KEYS.inventory(source.generation, 0)}
            names |= {KEYS.data(source.generation, suffix) for suffix in source.suffixes()}
        return names

    def require_only(self, *numbers: int) -> None:
        """Require that exactly these generations are stored, the first of them live."""
        assert self.live() == numbers[0]
        assert self.names() == self.expected_names(*numbers)

    def digest_of(self, names: list[str]) -> str:
        """Return a hash over the stored values of some names."""
        hashed = hashlib.sha256()
        for start in range(0, len(names), 5000):
            hashed.update(repr(self.admin.mget(names[start : start + 5000])).encode())
        return hashed.hexdigest()

    def end_lease(self) -> None:
        """End the lease of a killed run early."""
        self.admin.pexpire(KEYS.lock, 1)
        wait_until(lambda: not self.admin.exists(KEYS.lock))

    def close(self) -> None:
        """Close the connection but leave the server running."""
        self.admin.close()


def look_alikes(generation: str) -> list[str]:
    """Return names that resemble those of a generation."""
    data, manifest = KEYS.data(generation, "user:1"), KEYS.manifest(generation)
    near = [f"{data}0", data[:-1], data.upper(), f"x{data}", data.replace("reco:", "reco-2:")]
    near += [data.replace("reco:", "{reco}:"), f"reco:{generation}", f"reco:{generation}x:user:1"]
    near += [f"{manifest}x", manifest.replace("{reco}", "{reco-2}"), "{reco}:currently", "{reco}"]
    return [*near, "reco", "reco*", "reco:*", "*", f"reco:{generation}:*", "{reco}:inventory:x:0"]


def publish_on(
    client: Client, source: Source, *, lease_seconds: float = 60.0, **options: Any
) -> Published:
    """Publish on a given connection."""
    with RunLock(client, KEYS, heartbeat=False, lease_seconds=lease_seconds) as lock:
        return publish(client, KEYS, source, lock=lock, **options)


class Watcher(ReadingThreads):
    """Threads that read continuously and fail if a read mixes two generations.

    One thread uses ``Reader``; one follows docs/keys.md and reads a whole generation at a time.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reads = [0, 0]
        self.bad: list[object] = []
        super().__init__()

    def _has_read(self) -> bool:
        return all(self.reads) or bool(self.bad)

    def _ask(self) -> None:
        with Reader(self.store.reader_url) as reader:
            while not self.stopped.is_set():
                for user in (1, 2, 3):
                    answer = reader.user(str(user), n=3)
                    tag = answer.items[0].score - 5.0
                    if tag != number_of(answer.generation) or answer.source != "personal":
                        self.bad.append(answer)
                    self.reads[0] += 1
                time.sleep(0.001)

    def _pin(self) -> None:
        with connect(self.store.reader_url) as client:
            while not self.stopped.is_set():
                pointer = client.get(KEYS.current)
                source = self.store.night(number_of(pointer.decode()))
                names = [KEYS.data(source.generation, s) for s in source.suffixes()]
                found = client.mget(names)
                # replaced and deleted between two reads: start again, as a reader would
                if found != [v for _, v in source.pairs] and client.get(KEYS.current) == pointer:
                    self.bad.append((pointer, found))
                self.reads[1] += 1
                time.sleep(0.001)
