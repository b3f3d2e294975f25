"""Query time with filters, for 100,000 published users.

The generation is made here: for each user one of 2,000 lists of a hundred out of 10,000 movies,
drawn by popularity as in real lists, the movies the user rated, popularity lists of every genre,
and cards. The job's publisher publishes it to each server of this machine, on a socket of its own.
The application's reader then requests lists of random users, with new users for each question.

usage: filters.py [--users N] [--requests N]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from generations import KEYS, binaries, night, server
from machine import describe

from reco_store import ListFilters, Reader, Summary, connect
from reco_store.connection.client import Client
from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.contract.keys import new_generation_id
from reco_store.read.pinning import flattened, queue
from reco_store.read.requests import Core

HERE = Path(__file__).parent
MOVIES, LENGTH, RATED, GENRES = 10_000, 100, 150, 20
ROUNDS = (
    20  # of requests; the fastest batch is reported too, because other programs share the machine
)
DIFFERENT = 2_000  # lists that users share
BOUND_MS = 1.0
QUESTIONS: dict[str, ListFilters] = {
    "no filter": {},
    "one genre": {"genres": ["genre 3"]},
    "one genre, ten years": {"genres": ["genre 3"], "year_from": 1990, "year_to": 1999},
    "two genres that few have": {"genres": ["genre 18", "genre 19"]},
    "one genre, available": {"genres": ["genre 3"], "available": True},
    "one genre, available, 100 hidden": {"genres": ["genre 3"], "available": True},
}


class Catalogue:
    """Movies with realistic popularity and one to three genres."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.weight = 1 / (20 + np.arange(MOVIES)) ** 0.8
        self.weight /= self.weight.sum()
        common = 1 / (1 + np.arange(GENRES))
        common /= common.sum()
        self.movies = {
            str(1 + movie): MovieRecord(
                f"A film with a title of some length, number {movie}",
                int(rng.integers(1930, 2020)),
                tuple(
                    f"genre {genre}"
                    for genre in rng.choice(
                        GENRES, int(rng.integers(1, 4)), replace=False, p=common
                    )
                ),
                MOVIES - movie,
                3.5,
            )
            for movie in range(MOVIES)
        }


class Generation:
    """Generation of many users."""

    def __init__(self, catalogue: Catalogue, users: int, seed: int) -> None:
        self.users = users
        self.lists = _lists(catalogue, np.random.default_rng(seed))
        self.others = list(_of_everybody(catalogue.movies))
        created = datetime(2026, 1, 1, 3, 15, tzinfo=UTC)
        self.generation = new_generation_id(created, "0001")
        summary = Summary()
        summary.update_many(self.entries())
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
        return (suffix for suffix, _ in self.entries())

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and values, the same ones each time."""
        for user in range(self.users):
            best, seen = self.lists[user % DIFFERENT]
            yield f"user:{user}", best
            yield f"seen:{user}", seen
        yield from self.others


def _lists(catalogue: Catalogue, rng: np.random.Generator) -> list[tuple[bytes, bytes]]:
    """Draw the lists of users, and the movies they rated."""
    scores = [round(4 - rank / 50, 3) for rank in range(LENGTH)]
    lists = []
    for _ in range(DIFFERENT):
        draws = rng.exponential(size=MOVIES) / catalogue.weight
        ids = [str(1 + movie) for movie in np.argpartition(draws, LENGTH + RATED)]
        seen = encode_ids(ids[LENGTH : LENGTH + RATED], numeric_ids=True)
        lists.append((encode_list(ids[:LENGTH], scores, numeric_ids=True), seen))
    return lists


def _of_everybody(movies: dict[str, MovieRecord]) -> Iterator[tuple[str, bytes]]:
    """Yield popularity lists and cards."""
    for genre in (None, *(f"genre {number}" for number in range(GENRES))):
        best = [i for i, movie in movies.items() if genre is None or genre in movie.genres]
        counts = [movies[i].rating_count for i in best[:LENGTH]]
        suffix = "popular:most_rated" + ("" if genre is None else f":genre:{genre}")
        yield suffix, encode_list(best[:LENGTH], counts, numeric_ids=True)
    for movie_id, movie in movies.items():
        yield f"movie:{movie_id}", encode_movie(movie)


def fill_sets(client: Client, question: str) -> None:
    """Make every other movie available, and hide the first hundred, if the question needs it."""
    client.delete(KEYS.available(), KEYS.hidden)
    if "available" in question:
        client.sadd(KEYS.available(), *map(str, range(1, MOVIES, 2)))
    if "hidden" in question:
        client.sadd(KEYS.hidden, *map(str, range(1, 101)))


def ask(url: str, client: Client, users: list[str], choice: ListFilters) -> dict[str, float]:
    """Time a question for many users: a new reader's first request, and those of a warm one."""
    took = []
    with Reader(url, namespace=KEYS.namespace) as reader:
        reader.movie("1")  # connects, and pins the generation
        for user in users:
            began = time.perf_counter()
            answer = reader.user(user, **choice)
            took.append(1000 * (time.perf_counter() - began))
            if len(answer.items) != 10:
                raise ValueError(f"user {user}: {len(answer.items)} movies")
    rounds = np.array(took).reshape(ROUNDS, -1)[1:]  # the first batch warms up
    return {
        "first_ms": took[0],
        "p50_ms": float(np.median(rounds)),
        "quiet_p50_ms": float(np.median(rounds, axis=1).min()),
        "p99_ms": float(np.percentile(rounds, 99)),
        "round_trips": most_round_trips(client, users[:200], choice),
    }


def most_round_trips(client: Client, users: list[str], choice: ListFilters) -> int:
    """Return the most round trips of a request by a reader that knows the generation."""
    core = Core(KEYS)
    _drive(client, core.movie("1"))
    return max(_drive(client, core.user(user, **choice)) for user in users)


def _drive(client: Client, request: Any) -> int:  # noqa: ANN401  any kind of answer
    step, count = next(request), 0
    try:
        while True:
            count += 1
            pipeline = client.pipeline(transaction=False)
            queue(pipeline, step, clustered=False)
            step = request.send(flattened(pipeline.execute(), step, clustered=False))
    except StopIteration:
        return count


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=5_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(7)
    source = Generation(Catalogue(rng), arguments.users, seed=7)
    result: dict[str, Any] = {
        "figure": "filters",
        "machine": describe(),
        "users": arguments.users,
        "movies": MOVIES,
        "requests": arguments.requests,
        "bound_ms": BOUND_MS,
        "servers": {},
    }
    for name, binary in binaries().items():
        with (
            tempfile.TemporaryDirectory(prefix="reco-") as folder,
            server(binary, Path(folder) / "a") as url,
            connect(url) as client,
        ):
            night(client, source, keep=1)
            print(name)
            measured = result["servers"][name] = {}
            for question, choice in QUESTIONS.items():
                fill_sets(client, question)
                users = [str(user) for user in rng.integers(0, arguments.users, arguments.requests)]
                figures = measured[question] = ask(url, client, users, choice)
                print(
                    "  " + question + ": " + ", ".join(f"{k} {v:.2f}" for k, v in figures.items())
                )
    path = HERE / "results" / "filters.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
