"""Training by two processes: as good as by one, and it goes on when one of them is killed."""

import json
import os
import socket
import subprocess
import sys
import time

import psutil
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
    write_data(folder / "data", users=160)
    (folder / "parameters.json").write_text(json.dumps(PARAMETERS), "utf-8")

    def run(shared, *words, **more):
        command = [sys.executable, "-m", "reco_batch.spread", "--data", "data"]
        command += ["--parameters", "parameters.json", "--shared", shared, *words]
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
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
    again = [process.communicate(timeout=600) for process in start_pair(start, "killed")]
    assert [json.loads(out) for out, _ in again] == pair
    assert all(b"goes on after epoch" in err for _, err in again)


def trainers_of(process):
    """Return the processes in which Ray Train lets one train."""
    its = psutil.Process(process.pid).children(recursive=True)
    return [child for child in its if "RayTrainWorker" in " ".join(child.cmdline())]


def test_ray_train_starts_what_a_person_would(start, pair):
    """The same two processes, to the same model."""
    assert metrics_of(start("ray", "--ray-workers", "2")) == pair[0]


def test_ray_train_starts_them_again_when_one_is_killed(start, pair):
    """By itself, after the last checkpoint, to where they would have ended; and nothing is left."""
    process = start("ray-killed", "--ray-workers", "2")
    checkpoints = start.folder / "ray-killed" / "retrieval"
    while not (checkpoints / "epoch-0002").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    its = psutil.Process(process.pid).children(recursive=True)
    _, killed = trainers_of(process)
    killed.kill()
    out, err = process.communicate(timeout=600)

    assert process.returncode == 0, err.decode()
    assert json.loads(out) == pair[0]
    assert "goes on after epoch" in (start.folder / "ray-killed" / "training.log").read_text()
    assert not psutil.wait_procs(its, timeout=30)[1]


def test_what_would_fail_each_time_is_tried_once(start):
    """Said as the processes said it, not begun again."""
    process = start("ray-refused", "--data", "nowhere", "--ray-workers", "2")
    _, err = process.communicate(timeout=600)

    assert process.returncode == 4
    assert "nowhere" in err.decode().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "settings", "expected"),
    [
        (("--ray-workers", "0"), {}, "expected 1 or more"),
        (("--ray-address", "auto"), {}, "expected --ray-workers beside it"),
        (("--ray-workers", "2"), {"TF_CONFIG": "{}"}, "expected no TF_CONFIG"),
        (("--ray-workers", "2", "--ray-address", "head"), {}, "expected HOST:PORT"),
    ],
)
def test_who_starts_the_processes_is_said_once(start, words, settings, expected):
    """Before anything is started."""
    process = start("refused", *words, **settings)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert expected in err.decode()


def test_the_notebooks_loss_is_refused(start, tmp_path):
    """Its negatives are the movies of a batch, which several processes would share out."""
    from reco_batch.config import LearningConfig  # noqa: PLC0415
    from reco_batch.progress import QuietReporter  # noqa: PLC0415
    from reco_batch.spread_training import train_share  # noqa: PLC0415
    from reco_store import UsageError  # noqa: PLC0415

    config = LearningConfig(data="demo", preset="notebook", threads=1, home=tmp_path)

    with pytest.raises(UsageError, match="another model"):
        train_share(config, shared=tmp_path, reporter=QuietReporter())


@pytest.mark.parametrize(
    ("cluster", "task", "expected"),
    [
        (("worker",), ("worker", 0), True),
        (("worker",), ("worker", 1), False),
        (("chief", "worker"), ("worker", 0), False),
        (("chief", "worker"), ("chief", 0), True),
        (("worker", "evaluator"), ("evaluator", 0), False),
    ],
)
def test_one_process_writes_the_checkpoints(monkeypatch, cluster, task, expected):
    """The chief where there is one, else the first worker; a process alone is the first."""
    from reco_batch.spread_training import is_first  # noqa: PLC0415

    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert is_first()
    said = {
        "cluster": {kind: ["127.0.0.1:1"] for kind in cluster},
        "task": dict(zip(("type", "index"), task, strict=True)),
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(said))
    assert is_first() == expected


def test_only_the_loss_of_another_process_is_one(monkeypatch, tf, tmp_path):
    """What this one lacks, such as memory, is said as such: Ray Train begins again for a loss."""
    from reco_batch import spread_training  # noqa: PLC0415
    from reco_batch.config import LearningConfig  # noqa: PLC0415
    from reco_batch.errors import NightFailed, ProcessLost  # noqa: PLC0415
    from reco_batch.progress import QuietReporter  # noqa: PLC0415

    config = LearningConfig(data="demo", threads=1, home=tmp_path)

    def raised_for(error):
        def fail(*_):
            raise error(None, None, "said")

        monkeypatch.setattr(spread_training, "_train", fail)
        with pytest.raises(Exception, match="said") as raised:
            spread_training.train_share(config, shared=tmp_path, reporter=QuietReporter())
        return raised.type

    assert raised_for(tf.errors.UnavailableError) is ProcessLost
    assert raised_for(tf.errors.ResourceExhaustedError) is NightFailed
