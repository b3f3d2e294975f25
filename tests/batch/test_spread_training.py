"""Training by two processes: as good as by one, and it goes on when one of them is killed."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from planted import write_data

#: Small towers that learn the planted taste; the neighbours hardly count.
PARAMETERS = {
    "preset": "default",
    "retrieval": {
        "tower.embedding_dim": 32,
        "tower.epochs": 60,
        "tower.learning_rate": 0.008,
        "neighbour_share": 0.05,
    },
}


def free_ports(count):
    """Return ports that nothing listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a process of a training in a folder; keyword arguments add to its environment."""
    folder = tmp_path_factory.mktemp("spread")
    data = write_data(folder / "data", users=160)
    parameters = folder / "parameters.json"
    parameters.write_text(json.dumps(PARAMETERS), "utf-8")

    def run(shared, **more):
        command = [sys.executable, "-m", "reco_batch.spread", "--data", str(data)]
        command += ["--parameters", str(parameters), "--shared", str(folder / shared)]
        return subprocess.Popen(
            command, env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    run.folder = folder
    return run


def metrics_of(process):
    """Wait for the end of a process; return what it printed."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def start_pair(start, shared):
    """Start two processes that train together."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"cluster": {"worker": workers}}
    tasks = ({**cluster, "task": {"type": "worker", "index": index}} for index in range(2))
    return [start(shared, TF_CONFIG=json.dumps(task)) for task in tasks]


@pytest.fixture(scope="module")
def pair(start):
    """What both of two processes print."""
    return [metrics_of(process) for process in start_pair(start, "pair")]


def test_two_learn_what_one_learns(start, pair):
    """Up to what is drawn by chance, and both the same; others find much less."""
    alone = metrics_of(start("alone"))

    assert alone["processes"] == 1
    assert pair[0]["processes"] == 2
    assert pair[0] == pair[1]
    popular, one, two = (
        found["ndcg@10"]
        for found in (alone["popularity"], alone["retrieval"], pair[0]["retrieval"])
    )
    assert one > 3 * popular
    assert two == pytest.approx(one, rel=0.1)


def test_they_go_on_when_one_is_killed(start, pair):
    """The other one ends with one line; started again, both end where they would have ended."""
    processes = start_pair(start, "killed")
    checkpoints = start.folder / "killed" / "retrieval"
    while not (checkpoints / "epoch-0002").exists():
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.05)
    processes[1].kill()
    _, err = processes[0].communicate(timeout=600)
    processes[1].communicate()

    assert processes[0].returncode == 5
    assert err.decode().splitlines()[-1].startswith("error: a process of the training was lost")
    assert [metrics_of(process) for process in start_pair(start, "killed")] == pair


def test_the_notebooks_loss_is_refused(start, tmp_path):
    """Its negatives are the movies of a batch, which several processes would share out."""
    from reco_batch.config import LearningConfig  # noqa: PLC0415
    from reco_batch.progress import QuietReporter  # noqa: PLC0415
    from reco_batch.spread_training import train_share  # noqa: PLC0415
    from reco_store import UsageError  # noqa: PLC0415

    config = LearningConfig(data="demo", preset="notebook", threads=1, home=tmp_path)

    with pytest.raises(UsageError, match="another model"):
        train_share(config, shared=tmp_path, reporter=QuietReporter())
