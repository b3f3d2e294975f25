"""Duration of `reco get-user 42` as a whole process, compared with importing the Redis client.

Starts a Valkey on a socket in a temporary folder, publishes a few lists through the contract, and
stops it. The two commands alternate; the ratio is taken pair by pair.

usage: startup.py [--rounds N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from machine import describe, environment

from reco_store import Keys, connect
from reco_store.connection.embedded.server import ensure_server, stop_server
from reco_store.contract.codec import MovieRecord, encode_list, encode_movie
from reco_store.contract.keys import movie_suffix, new_generation_id, user_suffix

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


def seed(url: str) -> None:
    """Write the keys for one answer: pointer, manifest, a list, and the cards of its movies."""
    keys, now = Keys(), datetime.now(UTC)
    generation = new_generation_id(now)
    ids = [str(number) for number in range(1, 101)]
    client = connect(url)
    manifest = {
        "schema": 1,
        "generation": generation,
        "created": now.isoformat(),
        "ids": "integer",
        "entries": len(ids) + 1,
        "bytes": 0,
        "digest": "",
    }
    client.set(keys.manifest(generation), json.dumps(manifest))
    scores = [1 - rank / 200 for rank in range(100)]
    client.set(keys.data(generation, user_suffix("42")), encode_list(ids, scores, numeric_ids=True))
    for movie_id in ids:
        card = MovieRecord(f"Movie {movie_id} (1999)", 1999, ("Comedy", "Drama"), 10, 3.5)
        client.set(keys.data(generation, movie_suffix(movie_id)), encode_movie(card))
    client.set(keys.current, generation)


def milliseconds(command: list[str]) -> float:
    """Return the wall time of a process."""
    started = time.perf_counter()
    subprocess.run(
        command, env=environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    machine = describe()
    with tempfile.TemporaryDirectory() as folder:
        url = ensure_server(Path(folder))
        try:
            seed(url)
            reading = [str(BIN / "reco"), "get-user", "42", "--redis-url", url]
            importing = [sys.executable, "-c", "import redis"]
            measured = [(milliseconds(reading), milliseconds(importing)) for _ in range(rounds + 1)]
        finally:
            stop_server(Path(folder))
    pairs = measured[1:]  # the first round warms the disk cache
    result = {
        "figure": "startup",
        "machine": machine,
        "ratio": statistics.median(a / b for a, b in pairs),
        "reco_ms": statistics.median(a for a, _ in pairs),
        "import_redis_ms": statistics.median(b for _, b in pairs),
        "rounds": rounds,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "startup.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"{'reco get-user 42':24}{result['reco_ms']:8.0f} ms, median of {rounds}")
    print(f"{'python -c import redis':24}{result['import_redis_ms']:8.0f} ms")
    print(f"ratio {result['ratio']:.2f}, pair by pair")


if __name__ == "__main__":
    main()
