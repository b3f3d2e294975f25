"""A run on a Ray cluster of two machines, one of which is lost in the middle of a shard."""

import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from csv_folders import planted, write_folder
from killing_catalogues import SHARD
from machines import two_machines

SUPPORT = Path(__file__).parents[2] / "support"
PORT = 6379
STARTED = "Ray runtime started"
USERS = 5 * SHARD + SHARD // 2
SECONDS = 180.0


def wait_for(condition, *processes, log):
    """Wait until a condition holds, while processes run that write to a log."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert all(process.poll() is None for process in processes), log.read_text("utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def folder():
    """Yield a folder with a short name: paths of sockets have at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="ray-") as name:
        yield Path(name)


@pytest.fixture
def machines(folder):
    """Start a Ray of two machines with a processor each, as an operator does."""
    halted = folder / "halted"
    of_ray = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "HALTED": str(halted),
        "PYTHONPATH": str(SUPPORT),
    }
    with two_machines() as (head, other):
        address = f"{head.address}:{PORT}"
        words = {
            head: ("--head", f"--port={PORT}", "--include-dashboard=false"),
            other: (f"--address={address}",),
        }
        started = []
        try:
            for place, (machine, own) in enumerate(words.items()):
                log = folder / f"log{place}"
                with log.open("wb") as output:
                    started.append(
                        machine.start(
                            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
                            *("--num-cpus=1", f"--node-ip-address={machine.address}", *own),
                            *("--object-store-memory=100000000", f"--temp-dir={folder}/{place}"),
                            env={**os.environ, **of_ray, **({"HALT": "1"} if place else {})},
                            stdout=output,
                            stderr=output,
                        )
                    )
                wait_for(lambda log=log: STARTED in log.read_text("utf-8"), *started, log=log)
            yield head, other, halted, of_ray
        finally:
            left = [process for machine in words for process in machine.processes()]
            for process in started:
                process.terminate()
            _, alive = psutil.wait_procs(left, timeout=30)
            for process in alive:
                process.kill()
            for process in started:
                process.wait()


@pytest.fixture
def command(tmp_path, running):
    """Return the words of a run with an engine, and its environment without Ray's."""
    data = write_folder(tmp_path / "data", *planted(users=USERS, movies=120, each=12))
    with running() as url:

        def words(engine, *more):
            program = (sys.executable, SUPPORT / "spread_batch.py", "run", "--data", data)
            home = tmp_path / engine
            own = ("--engine", engine, "--namespace", engine, "--home", home, "--threads", 1)
            return (*program, *own, "--choose", "off", "--no-refit", *more)

        # All processes use the same kernels of BLAS, or their last bits would differ.
        kernels = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS")}
        own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REDIS_URL": url}
        words.environment = {**own, **kernels}
        yield words


def manifest_of(home):
    """Return the manifest of the only artifact."""
    (file,) = home.glob("artifacts/*/manifest.json")
    return json.loads(file.read_text("utf-8"))


@pytest.mark.slow
def test_a_machine_that_is_lost_in_mid_shard_changes_no_byte(machines, command, tmp_path):
    """Its shard is scored again on the other machine; the digest is that of one machine alone."""
    head, other, halted, of_ray = machines
    where = ("--ray-address", f"{head.address}:{PORT}")
    log = tmp_path / "log"
    with log.open("wb") as output:
        spread = head.start(
            *command("ray", *where),
            env={**command.environment, **of_ray},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(halted.exists, spread, log=log)
        other.kill()
        assert spread.wait(SECONDS) == 0, log.read_text("utf-8")
    finally:
        spread.kill()
    alone = head.start(*command("local"), env=command.environment)
    assert alone.wait(SECONDS) == 0

    found, expected = (manifest_of(tmp_path / engine) for engine in ("ray", "local"))
    assert found["digest"] == expected["digest"]
    assert found["counts"]["user"] == USERS
    assert found["published"]["outcome"] == "live"
