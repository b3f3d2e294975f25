"""Throughput from lists in memory to readers, and memory in the server.

Lists of 100 with MovieLens ids of the set `demo`, drawn so that popular movies are in more lists.
Each round restarts every server of this machine on a socket of its own, and runs in turn:

- ours: write the artifact, hash its contents, stage, read every key back, and switch;
- straightforward: `json.dumps` a list, SET in pipelines of 500, and read one key in a hundred;
- raw: preencoded commands through one bare socket: the server's limit.

usage: publish.py [--lists N] [--rounds N]
"""

import argparse
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from generations import KEYS, binaries, server
from machine import begin_anew_without_slowing, describe
from redis import Redis
from synthetic import factors

from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Histories, Movies
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.progress.reporter import QuietReporter
from reco_batch.scoring.popularity import MovieStatistics
from reco_batch.scoring.topk import TopK, top_k_blocks
from reco_store import RunLock, connect, publish
from reco_store.contract.families import NEXT, RANKED, SIMILAR, USER
from reco_store.contract.keys import new_generation_id, user_suffix

HERE = Path(__file__).parent
SEED, K, THREADS = 42, 100, 2
PIPELINE = 500
ONE_IN = 100
SAMPLED_KEYS = 1_000
Seconds = dict[str, float]


def catalogue() -> Movies:
    """Return the movies of the demo, most rated first."""
    with tempfile.TemporaryDirectory() as cache, QuietReporter().stage("") as stage:
        source = load("demo", cache=Path(cache), encoding="utf-8", stage=stage)
    dataset = build_dataset(source.tables, rating_scale=(0.5, 5.0), source=source.origin)
    movies = dataset.movies
    rated = np.bincount(dataset.ratings.movie_index, minlength=len(movies))
    order = np.argsort(-rated, kind="stable").tolist()
    return Movies(*([column[row] for row in order] for column in _columns(movies)))


def _columns(movies: Movies) -> tuple[Sequence, ...]:
    return movies.ids, movies.titles, movies.genres, movies.years


def lists_of(count: int, movies: Movies) -> list[TopK]:
    """Draw users, and score them as the job does."""
    return list(top_k_blocks(*factors(count, len(movies), seed=SEED), None, k=K, threads=THREADS))


def write_artifact(
    folder: Path, movies: Movies, users: Sequence[str], blocks: Sequence[TopK]
) -> Iterator[str]:
    """Write an artifact of user lists only; yield the name of each finished step."""
    nobody = Histories(np.zeros(1, np.int64), np.zeros(0, np.int32))
    nothing = MovieStatistics(np.zeros(0, np.int64), np.zeros(0))
    writer = ArtifactWriter(folder, movies)
    writer.write_top_k(USER, users, blocks)
    for family in (RANKED, SIMILAR, NEXT):
        writer.write_top_k(family, (), ())
    writer.write_seen((), nobody)
    writer.write_popular(())
    writer.write_movies(Movies((), (), (), ()), nothing)
    yield "write the artifact"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {"schema": 1, "generation": folder.name, "created": now, "ids": "integer"}
    writer.finish({**manifest, "gate": None})
    yield "encode and hash it"


def ours(url: str, folder: Path, movies: Movies, blocks: Sequence[TopK]) -> tuple[Seconds, dict]:
    """Return the seconds of each step, and the server's memory after it."""
    users = [str(user) for user in range(sum(len(block.items) for block in blocks))]
    place = folder / new_generation_id(datetime.now(UTC))
    marks: dict[str, float] = {}
    with connect(url) as client:
        before = int(client.info("memory")["used_memory"])
        began = time.perf_counter()
        for step in write_artifact(place, movies, users, blocks):
            marks[step] = time.perf_counter()
        artifact = Artifact(place, json.loads((place / "manifest.json").read_text("utf-8")))

        def progress(phase: str, _: int) -> None:
            marks[phase] = time.perf_counter()

        with RunLock(client, KEYS) as lock:
            publish(client, KEYS, artifact, lock=lock, progress=progress)
            marks["switch"] = time.perf_counter()
        used = int(client.info("memory")["used_memory"]) - before
        memory = {
            "used_memory_a_list": used / len(users),
            "memory_usage_a_list": _memory_usage(client, place.name, users),
            "value_bytes": artifact.manifest["bytes"] / len(users),
        }
    times = [began, *marks.values()]
    taken = dict(zip(marks, np.diff(times).tolist(), strict=True))
    return {**taken, "all": times[-1] - began}, memory


def _memory_usage(client: Redis, generation: str, users: Sequence[str]) -> float:
    asked = users[:: max(1, len(users) // SAMPLED_KEYS)]
    keys = [KEYS.data(generation, user_suffix(user)) for user in asked]
    return statistics.mean(int(client.memory_usage(key, samples=0)) for key in keys)


def straightforward(url: str, movies: Movies, blocks: Sequence[TopK]) -> float:
    """Return the seconds of the obvious implementation, which also uses hiredis."""
    numbers = [int(movie_id) for movie_id in movies.ids]
    client = Redis.from_url(url)
    began = time.perf_counter()
    pipeline = client.pipeline(transaction=False)
    wrong = user = 0
    checked: dict[str, str] = {}
    for block in blocks:
        for items, scores in zip(block.items.tolist(), block.scores.tolist(), strict=True):
            ids = [numbers[item] for item in items]
            value = json.dumps(
                {"i": ids, "s": [round(score, 3) for score in scores]}, separators=(",", ":")
            )
            pipeline.set(f"naive:user:{user}", value)
            if user % ONE_IN == 0:
                checked[f"naive:user:{user}"] = value
            user += 1
            if user % PIPELINE == 0:
                pipeline.execute()
    pipeline.execute()
    for key, value in checked.items():
        wrong += client.get(key) != value.encode()
    taken = time.perf_counter() - began
    if wrong:
        raise RuntimeError(f"{wrong} of {len(checked)} sampled keys differ")
    return taken


def raw(path: str, values: Sequence[bytes]) -> float:
    """Return the seconds of preencoded SETs through a bare socket."""
    commands = b"".join(
        b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)
        for key, value in ((b"raw:user:%d" % n, value) for n, value in enumerate(values))
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        began = time.perf_counter()
        sender = threading.Thread(target=connection.sendall, args=(commands,))
        sender.start()
        left = len(b"+OK\r\n") * len(values)
        while left:
            left -= len(connection.recv(1 << 16))
        sender.join()
        return time.perf_counter() - began


def one_round(binary: str, folder: Path, movies: Movies, blocks: Sequence[TopK]) -> dict:
    """Return the results of a round on a fresh server, rates in lists per second."""
    folder.mkdir()
    count = sum(len(block.items) for block in blocks)
    some = blocks[: max(1, len(blocks) // 4)]
    with server(binary, folder / "server") as url:
        steps, memory = ours(url, folder, movies, blocks)
        naive = straightforward(url, movies, some) / sum(len(block.items) for block in some)
        artifact = next(path for path in folder.iterdir() if (path / "manifest.json").exists())
        manifest = json.loads((artifact / "manifest.json").read_text("utf-8"))
        values = [value for _, value in Artifact(artifact, manifest).entries()]
        limit = raw(url.removeprefix("unix://"), values) / count
    from_artifact = sum(steps[step] for step in ("stage", "verify", "switch"))
    return {
        "lists_a_second": count / steps["all"],
        "from_artifact_lists_a_second": count / from_artifact,
        "straightforward_lists_a_second": 1 / naive,
        "raw_lists_a_second": 1 / limit,
        "times_straightforward": naive * count / steps["all"],
        "from_artifact_times_straightforward": naive * count / from_artifact,
        "from_artifact_times_raw": limit * count / from_artifact,
        **{f"microseconds: {step}": 1e6 * taken / count for step, taken in steps.items()},
        **memory,
    }


def main() -> None:
    """Measure and print."""
    begin_anew_without_slowing()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    result = {"figure": "publish", "machine": describe(("hiredis", "orjson", "pyarrow"))}
    movies = catalogue()
    blocks = lists_of(arguments.lists, movies)
    rounds: dict[str, list[dict]] = {name: [] for name in binaries()}
    with tempfile.TemporaryDirectory(prefix="reco-") as folder:
        for number in range(arguments.rounds):
            for name, binary in binaries().items():
                place = Path(folder) / f"{name}{number}"
                rounds[name].append(one_round(binary, place, movies, blocks))
    result |= {"lists": arguments.lists, "rounds": arguments.rounds, "servers": {}}
    for name, found in rounds.items():
        figures = {key: statistics.median(one[key] for one in found) for key in found[0]}
        result["servers"][name] = figures
        print(name)
        for key, figure in figures.items():
            print(f"  {key:40}{figure:13,.2f}")
    path = HERE / "results" / "publish.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
