"""Refreshes in processes, the values that they publish, and the same lists by a plain formula."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from csv_folders import planted, write_folder
from reading_threads import ReadingThreads
from reco_store import Keys, Reader, connect
from reco_store.contract.codec import decode_list
from reco_store.contract.digest import Digest
from reco_store.control.inventory import chunks_of, parse_chunk

KEYS = Keys("reco")
FAMILIES_OF_USERS = ("user", "because", "ranked", "seen")
_PROGRAM = Path(__file__).with_name("killed_batch.py")


@dataclass
class Shop:
    """Ratings that grow, a home, and a server that is used by no other test."""

    home: Path
    url: str
    ratings: list[tuple[Any, ...]] = field(default_factory=lambda: list(planted()[0]))
    movies: list[tuple[Any, ...]] = field(default_factory=lambda: list(planted()[1]))
    is_implicit: bool = False
    """True if the input has no column of ratings."""

    @property
    def data(self) -> Path:
        """Folder of the present input."""
        folder = write_folder(self.home / "data", self.ratings, self.movies)
        if self.is_implicit:
            file = folder / "ratings.csv"
            rows = (line.split(",") for line in file.read_text("utf-8").splitlines())
            file.write_text("".join(f"{u},{m},{t}\n" for u, m, _, t in rows), "utf-8")
        return folder

    def rate(self, user: int, movie: int, stars: float = 5.0) -> None:
        """Add a rating, newer than all others."""
        newest = max(row[3] for row in self.ratings)
        self.ratings.append((user, movie, stars, newest + 60))

    def batch(self, command: str, *words: object, at: object = 0) -> subprocess.CompletedProcess:
        """Execute `batch`, with small models; optionally kill it at a step."""
        given = ("--data", self.data) if command in ("run", "refresh") else ()
        return subprocess.run(
            [sys.executable, _PROGRAM, command, *map(str, (*given, *words))],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "LANG": "C.UTF-8",
                "REDIS_URL": self.url,
                "RECO_HOME": str(self.home),
                "DIE_AT": str(at),
                "DIE_OF": "SIGKILL",
                "MODELS": "small",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def done(self, command: str, *words: object) -> str:
        """Execute `batch`, require success, and return its output."""
        ended = self.batch(command, *words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def live(self) -> str:
        """Return the live generation."""
        with connect(self.url) as client:
            return client.get(KEYS.current).decode()

    def values(self) -> dict[str, bytes]:
        """Return all values of the live generation by suffix, whose digest is that published."""
        with connect(self.url) as client:
            live = client.get(KEYS.current).decode()
            manifest = json.loads(client.get(KEYS.manifest(live)))
            names: list[str] = []
            for chunk in range(chunks_of(manifest["entries"])):
                key = KEYS.inventory(live, chunk)
                names += parse_chunk(client.get(key), key)
            found = {name: client.get(KEYS.data(live, name)) for name in names}
        digest = Digest()
        digest.update_many(found.items())
        assert digest.value() == manifest["digest"]
        return found

    def end_lease(self) -> None:
        """Release the lock of a killed process, as its expiry does after a minute."""
        with connect(self.url) as client:
            client.delete(KEYS.lock)

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of the live generation's artifact."""
        file = self.home / "artifacts" / self.live() / "manifest.json"
        return json.loads(file.read_text("utf-8"))


class Following(ReadingThreads):
    """Threads that read while generations change, and keep what they read.

    One asks the reader for a list at a time; one follows docs/keys.md and reads a whole generation.

    Args:
        url: address of the readers' account.
        users: whose lists are asked for.
        names: suffixes that every generation has.
    """

    def __init__(self, url: str, users: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.url, self.users, self.names = url, users, names
        self.answers: set[tuple[Any, ...]] = set()
        self.whole: set[tuple[str, int]] = set()
        super().__init__()

    def _has_read(self) -> bool:
        return bool(self.answers and self.whole)

    def _ask(self) -> None:
        with Reader(self.url) as reader:
            while not self.stopped.wait(0.02):
                for user in self.users:
                    answer = reader.user(user, n=10)
                    items = [(item.source, item.movie_id, item.score) for item in answer.items]
                    self.answers.add((answer.generation, user, tuple(items)))

    def _pin(self) -> None:
        with connect(self.url) as client:
            while not self.stopped.wait(0.02):
                live = client.get(KEYS.current)
                found = client.mget([KEYS.data(live.decode(), name) for name in self.names])
                # deleted between two reads: start again, as a reader would
                if client.get(KEYS.current) == live:
                    self.whole.add((live.decode(), hash(tuple(found))))

    def require_one_generation_each(self, published: Mapping[str, Mapping[str, bytes]]) -> None:
        """Require that every read is a generation that went live, whole, and that all were read.

        Args:
            published: all generations that were live: values by suffix.
        """
        assert all(thread.ident and not thread.is_alive() for thread in self.threads)
        assert self.whole == {
            (generation, hash(tuple(values[name] for name in self.names)))
            for generation, values in published.items()
        }
        for generation, user, items in self.answers:
            ids, scores = decode_list(published[generation][f"user:{user}"])
            shown = zip(ids[:10], scores[:10], strict=True)
            assert items == tuple(("personal", *one) for one in shown)
        assert {generation for generation, *_ in self.answers} == set(published)


def of_users(values: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Return the values of each user, by family."""
    found: dict[str, dict[str, bytes]] = {}
    for name, value in values.items():
        family, _, user = name.partition(":")
        if family in FAMILIES_OF_USERS:
            found.setdefault(user, {})[family] = value
    return found


def plain_scores(arrays: dict[str, np.ndarray], rows: list[tuple]) -> tuple[np.ndarray, list[str]]:
    """Return the scores of all movies for a user with these ratings, and the movies' ids.

    Args:
        arrays: of the stored retrieval model.
        rows: movie, stars and time of each rating.
    """
    ids = json.loads(arrays["movie_ids"].tobytes())
    p = json.loads(arrays["parameters"].tobytes())
    rows = sorted(rows, key=lambda row: -row[2])
    place = [ids.index(str(row[0])) for row in rows]
    stars = np.array([row[1] for row in rows])
    weights = (np.arange(len(rows)) / 5 + 1) ** -p["recency"]
    weights *= np.where(stars >= stars.mean() - 1e-6, 1, p["dislike_weight"])
    first, last = arrays["years"]
    year = np.clip(1970 + rows[0][2] / (365.25 * 86400), first, last)
    times = np.maximum(1 - np.abs(year - np.arange(first, last + 1)), 0) @ arrays["times"]
    vector = weights @ arrays["history"][place] / np.sqrt(weights @ weights) + times
    encoder = arrays["movies"] @ np.append(vector, 1)
    dense = np.zeros((len(ids), len(ids)))
    for row, (start, stop) in enumerate(zip(arrays["indptr"], arrays["indptr"][1:], strict=False)):
        dense[row, arrays["indices"][start:stop]] = arrays["weights"][start:stop]
    neighbours = weights @ dense[place]
    trust = len(rows) ** 2 / (len(rows) ** 2 + p["half_trust"] ** 2)
    scores = p["tower_share"] * encoder / encoder.std(ddof=1)
    scores += p["neighbour_share"] * trust * neighbours / max(neighbours.std(), 1e-6)
    scores += arrays["popularity"] @ [p["popularity_share"], p["recent_share"]]
    return scores, ids


def plain_stars(arrays: dict[str, np.ndarray], rows: list[tuple]) -> tuple[np.ndarray, list[str]]:
    """Return the predicted stars of all movies for a user with these ratings, and the ids.

    Args:
        arrays: of the stored rating model.
        rows: movie, stars and time of each rating.
    """
    ids = json.loads(arrays["movie_ids"].tobytes())
    place = [ids.index(str(row[0])) for row in rows]
    features = np.column_stack([np.ones(len(ids)), arrays["movies"]]).astype(float)
    own, usual = features[place], arrays["usual"]
    left = np.array([row[1] for row in rows]) - arrays["mean"] - arrays["movie_bias"][place]
    # min |left - own x|^2 + (x - usual)^T penalty (x - usual), as least squares
    root = np.linalg.cholesky(arrays["penalty"]).T
    x = np.linalg.lstsq(np.vstack([own, root]), np.append(left, root @ usual), rcond=None)[0]
    return np.clip(arrays["mean"] + arrays["movie_bias"] + features @ x, *arrays["scale"]), ids
