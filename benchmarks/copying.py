"""Values sent to the server with SET, against the same values copied inside it with COPY.

A refresh publishes values most of which the live generation has, too. Each round writes one
generation of user lists by both, in the batches of publishing, on every server of this machine.

usage: copying.py [--users N] [--rounds N]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from generations import Generation, binaries, server
from machine import begin_anew_without_slowing
from redis import Redis

from reco_store import connect
from reco_store.connection.resp import exchange
from reco_store.connection.transfer import MAX_BATCH_COMMANDS, write_batch, write_batches


def send(client: Redis, prefix: str, generation: Generation) -> None:
    """Write all values as publishing does."""
    for batch in write_batches(generation.entries()):
        write_batch(client, prefix, batch)


def copy(client: Redis, source: str, prefix: str, names: list[str]) -> None:
    """Copy all values inside the server, as many at a time."""
    connection = client.connection_pool.get_connection()
    try:
        for start in range(0, len(names), MAX_BATCH_COMMANDS):
            some = names[start : start + MAX_BATCH_COMMANDS]
            replies = exchange(connection, [(b"COPY", source + n, prefix + n) for n in some])
            if set(replies) != {1}:
                raise RuntimeError(f"COPY was answered by {replies[0]!r}")
    finally:
        client.connection_pool.release(connection)


def seconds(work: Callable[[], None]) -> float:
    """Return the wall seconds of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure in turns, and print the ratio of each server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    live = Generation(0, arguments.users)
    names = list(live.suffixes())
    for name, binary in binaries().items():
        sent, copied = [], []
        with (
            tempfile.TemporaryDirectory() as scratch,
            server(binary, Path(scratch) / "s") as url,
            connect(url) as client,
        ):
            for _ in range(arguments.rounds):
                client.flushdb()
                send(client, "live:", live)
                sent.append(seconds(lambda: send(client, "sent:", live)))
                copied.append(seconds(lambda: copy(client, "live:", "copied:", names)))
        ratio = statistics.median(c / s for s, c in zip(sent, copied, strict=True))
        print(
            f"{name}, {len(names):,} values: SET {min(sent):.2f} s, COPY {min(copied):.2f} s; "
            f"COPY takes {ratio:.2f} times as long"
        )


if __name__ == "__main__":
    begin_anew_without_slowing()
    main()
