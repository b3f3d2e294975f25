"""Scoring engines: complete runs of either engine publish the same keys."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on the loopback alone
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


def free_port():
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def ray_cluster(folder):
    """Address of a Ray of two workers, started as an operator does; it ends with all it started."""
    port = free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    command += [f"--temp-dir={folder}", "--node-ip-address=127.0.0.1"]
    with subprocess.Popen(
        command,
        env={**os.environ, **LOOPBACK},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while True:
            assert process.poll() is None
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
        started = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
    assert not psutil.wait_procs(started, timeout=30)[1]


@pytest.fixture
def manifest(batch, small, tmp_path):
    """Run in a separate namespace; return the manifest."""

    def run(engine, *more):
        home = tmp_path / engine
        words = ("--data", small, "--preset", "notebook", "--namespace", engine, "--threads", 2)
        ended = batch("run", *words, "--engine", engine, *more, "--home", home, **LOOPBACK)
        assert ended.code == 0, ended.err
        assert ended.out.startswith("live ")
        assert all(line[:4].isdecimal() for line in ended.lines), ended.err  # its time
        (path,) = home.glob(f"artifacts/{ended.generation}/manifest.json")
        return json.loads(path.read_text("utf-8"))

    return run


@pytest.mark.slow
def test_a_night_on_ray_serves_what_a_local_one_serves(manifest, tmp_path_factory):
    """The keys have the same digest when read back."""
    local = manifest("local")
    with ray_cluster(tmp_path_factory.mktemp("r")) as address:
        spread = manifest("ray", "--ray-address", address)

    assert spread["digest"] == local["digest"]
    assert spread["entries"] == local["entries"]
    assert spread["parameters"] | {"namespace": ""} == local["parameters"] | {"namespace": ""}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--engine", "spark"), "--engine 'spark': expected local or ray"),
        (("--ray-address", "head:6379"), "needs --engine ray; the engine is local"),
        (("--engine", "ray", "--ray-address", "head"), "expected HOST:PORT"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(refused, small, words, expected):
    """The error comes before the input is read."""
    assert expected in refused("run", "--data", small, *words, code=2)
