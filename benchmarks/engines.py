"""Scoring and writing lists in one process and by two Ray workers: seconds and memory.

The job's own functions write lists of synthetic vectors and histories to an artifact. Every run is
a process, and the engines alternate. Memory is the peak proportional set size of the process and
its descendants; CPU is their sum, and depends least on the machine's load.

usage: engines.py [--users N] [--movies N] [--rounds N]
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from machine import describe, environment

HERE = Path(__file__).parent
WIDTH, K, SEEN = 128, 100, 100
KEYS = (
    "startup_seconds",
    "seconds",
    "writing_seconds",
    "writing_cpu_seconds",
    "scoring_cpu_seconds",
    "cpu_seconds",
    "peak_pss_bytes",
)
#: Name -> arguments of `open_engine`.
ENGINES = {
    "local, 1 thread": ("local", 1),
    "local, 2 threads": ("local", 2),
    "ray, 2 workers": ("ray", 2),
}


def run_one(name: str, users: int, movies: int, folder: Path) -> None:
    """Score and write once in this process, and print the results."""
    from reco_batch.artifact.writer import ArtifactWriter  # noqa: PLC0415  only where it is measured
    from reco_batch.data.dataset import Histories, Movies  # noqa: PLC0415
    from reco_batch.scoring.catalogue import ByProduct, Rows  # noqa: PLC0415
    from reco_batch.scoring.engine import open_engine  # noqa: PLC0415
    from reco_batch.settings.hyperparameters import EngineName  # noqa: PLC0415
    from reco_store.contract.families import USER  # noqa: PLC0415

    rng = np.random.default_rng(0)
    queries = rng.normal(size=(users, WIDTH)).astype(np.float32)
    items = rng.normal(size=(movies, WIDTH)).astype(np.float32)
    step = rng.integers(
        1, movies // SEEN, (users, SEEN)
    )  # ascending, so that no movie occurs twice
    seen = Histories(np.arange(users + 1) * SEEN, np.cumsum(step, 1).astype(np.int32).ravel() - 1)
    ids = tuple(str(movie) for movie in range(movies))
    catalogue = Movies(ids, ids, ((),) * movies, (None,) * movies)
    writer = ArtifactWriter(folder / "artifact", catalogue)
    rows = Rows({"queries": queries}, seen)
    engine, threads = ENGINES[name]
    started = time.perf_counter()
    waited = waited_cpu = 0.0

    def timed(blocks):  # noqa: ANN001, ANN202  # blocks of lists, as the engine yields them
        nonlocal waited, waited_cpu
        while True:
            asked, asked_cpu = time.perf_counter(), time.thread_time()
            block = next(blocks, None)
            waited += time.perf_counter() - asked
            waited_cpu += time.thread_time() - asked_cpu
            if block is None:
                return
            yield block

    with open_engine(EngineName(engine), threads=threads, ray_address=None) as scoring:
        if engine == "ray":
            one = Rows({"queries": queries[:1]}, Histories(np.zeros(2, np.int64), seen[1][:0]))
            list(scoring.score(ByProduct(items[:K], K), one))  # which connects
        ready, ready_cpu, ready_thread = (
            time.perf_counter(),
            time.process_time(),
            time.thread_time(),
        )
        blocks = timed(scoring.score(ByProduct(items, K), rows))
        writer.write_top_k(USER, [str(user) for user in range(users)], blocks)
        done = time.perf_counter()
        writing_cpu = time.thread_time() - ready_thread - waited_cpu
        scoring_cpu = time.process_time() - ready_cpu - writing_cpu
    written = writer.lists(USER).read_bytes()
    print(
        json.dumps(
            {
                "startup_seconds": ready - started,
                "seconds": done - ready,
                "writing_seconds": done - ready - waited,
                "writing_cpu_seconds": writing_cpu,
                "scoring_cpu_seconds": scoring_cpu,  # of this process; Ray's workers are separate
                "sha256": hashlib.sha256(written).hexdigest(),
            }
        )
    )


def measured(name: str, arguments: argparse.Namespace) -> dict:
    """Run one engine in a process, and monitor the memory of all its descendants."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", name, "--folder", folder]
        command += ["--users", str(arguments.users), "--movies", str(arguments.movies)]
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
            peak = 0
            cpu_seconds: dict[int, float] = {}
            while process.poll() is None:
                peak = max(peak, _watched(psutil.Process(process.pid), cpu_seconds))
                time.sleep(0.2)
            output = process.stdout.read() if process.stdout else b""
        if process.returncode:
            raise SystemExit(f"{name} failed")
    found = {"peak_pss_bytes": peak, "cpu_seconds": sum(cpu_seconds.values())}
    return {**json.loads(output), **found}


def _watched(process: psutil.Process, cpu_seconds: dict[int, float]) -> int:
    """Record each process's CPU time so far; return the memory of all at this moment."""
    total = 0
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += one.memory_full_info().pss
                times = one.cpu_times()
                cpu_seconds[one.pid] = times.user + times.system
    return total


def main() -> None:
    """Measure, print a table, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=16_384)
    parser.add_argument("--movies", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        os.environ.update(environment())
        run_one(arguments.one, arguments.users, arguments.movies, arguments.folder)
        return
    machine = describe()
    runs: dict[str, list[dict]] = {name: [] for name in ENGINES}
    for _ in range(arguments.rounds):
        for name, results in runs.items():
            results.append(measured(name, arguments))
            print(f"{name:18}{results[-1]['seconds']:8.1f} s", flush=True)
    if len({run["sha256"] for results in runs.values() for run in results}) != 1:
        raise SystemExit("the engines wrote different files")
    table = {
        name: {key: statistics.median(run[key] for run in results) for key in KEYS}
        for name, results in runs.items()
    }
    result = {
        "figure": "engines",
        "machine": machine,
        "load_after": round(os.getloadavg()[0], 2),
        "users": arguments.users,
        "movies": arguments.movies,
        "width": WIDTH,
        "k": K,
        "rounds": arguments.rounds,
        "table": table,
    }
    path = HERE / "results" / "engines.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for name, row in table.items():
        print(
            f"{name:18}startup {row['startup_seconds']:6.1f} s, run {row['seconds']:6.1f} s, "
            f"of it writing {row['writing_seconds']:5.1f} s, CPU {row['cpu_seconds']:5.1f} s, "
            f"peak {row['peak_pss_bytes'] / 1e6:6.0f} MB"
        )


if __name__ == "__main__":
    main()
