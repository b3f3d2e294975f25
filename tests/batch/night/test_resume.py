"""A night that is killed, at whatever step, goes on to the very answers of one that is not.

With RECO_SOAK=1 each single step of a night is one at which it is killed; otherwise a few are.
"""

import hashlib
import json
import os
import random
import re
import shutil
import sys
from pathlib import Path

import pytest

from reco_store import Keys, connect

NAMESPACE = "resumed"
KEYS = Keys(NAMESPACE)
DYING = (sys.executable, str(Path(__file__).with_name("dying.py")))
FORCE = ("--force", "nights of other models went before")
OPTIONS = ("--checkpoint-seconds", 0, "--namespace", NAMESPACE, *FORCE)
SEED = 20
MOST_STEPS = 150  # a night of the tests has about a hundred


@pytest.fixture(scope="session")
def store(running):
    """A server for these nights alone."""
    with running() as url:
        yield url


@pytest.fixture(scope="session")
def night(batch, small, store):
    """Run a night in a home; it dies at a step, if one is given."""

    def run(home, *words, at=0, models="small"):
        with connect(store) as client:  # as if the lease of a killed run had ended
            client.delete(KEYS.lock)
        words = ("run", "--data", small, *OPTIONS, *words)
        where = {"REDIS_URL": store, "RECO_HOME": str(home)}
        return batch(*words, program=DYING, **where, DIE_AT=str(at), MODELS=models)

    return run


def artifact(home):
    """Return the folder of the only artifact."""
    (folder,) = (home / "artifacts").iterdir()
    return folder


def answers(home):
    """Return the digest of every file of answers, and the manifest without names and times.

    Nor with the gate's report, which tells of the night that was served before.
    """
    folder = artifact(home)
    files = [*folder.glob("lists/*"), folder / "movies.parquet"]
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for other in ("generation", "created", "seconds", "gate"):
        del manifest[other]
    return sums, manifest


def unfinished(home):
    """Return the folder of the only unfinished night."""
    (folder,) = (home / "unfinished" / NAMESPACE).iterdir()
    return folder


def require_live(home, store):
    """The artifact is complete and served, and nothing is unfinished."""
    with connect(store) as client:
        assert client.get(KEYS.current).decode() == artifact(home).name
    assert not any((home / "unfinished").iterdir())


@pytest.fixture(scope="session")
def uninterrupted(night, store, tmp_path_factory):
    """The answers of a night that nothing stopped."""
    home = tmp_path_factory.mktemp("uninterrupted")
    ended = night(home)
    assert ended.code == 0, ended.err
    require_live(home, store)
    return answers(home)


@pytest.fixture(scope="session")
def killed(night, tmp_path_factory):
    """The home of a night that died while it trained; to be copied."""
    home = tmp_path_factory.mktemp("killed")
    ended = night(home, at=48, models="preset")
    assert ended.code == -9, ended.err
    return home


def test_promise_19_training_resumes(night, store, uninterrupted, tmp_path):
    """Killed again and again, and with a damaged checkpoint: the same bytes in the end."""
    chance = random.Random(SEED)
    said = []
    for attempt, steps in enumerate([(25, 40), (10, 25), (10, 25)]):
        ended = night(tmp_path, "--resume", at=chance.randrange(*steps))
        assert ended.code == -9, ended.err
        assert not (artifact(tmp_path) / "manifest.json").exists()
        said += ended.lines
        if attempt == 0:
            newest = max(unfinished(tmp_path).glob("checkpoints/refit-rating/*/state.index"))
            newest.write_bytes(newest.read_bytes()[:-1])

    ended = night(tmp_path, "--resume")

    assert ended.code == 0, ended.err
    said = "\n".join((*said, *ended.lines))
    assert said.count("nothing to resume: the night begins anew") == 1
    assert said.count(f"resuming {artifact(tmp_path).name}") == 3
    assert re.search(r"refit rating: epoch-\d+ is cut or damaged, and is not loaded", said)
    assert re.search(r"train rating: goes on after epoch \d", said)
    assert answers(tmp_path) == uninterrupted
    require_live(tmp_path, store)


@pytest.mark.skipif(os.environ.get("RECO_SOAK") != "1", reason="takes half an hour: make soak")
def test_promise_19_killed_at_every_step(night, store, uninterrupted, tmp_path):
    """Each file, each checkpoint, each block of a list; then resumed once."""
    for at in range(1, MOST_STEPS):
        home = tmp_path / str(at)
        ended = night(home, at=at)
        if ended.code == 0:
            break  # it has fewer steps
        assert ended.code == -9, ended.err
        ended = night(home, "--resume")
        assert ended.code == 0, f"killed at step {at}: {ended.err}"
        assert answers(home) == uninterrupted, f"killed at step {at}"
        require_live(home, store)
        shutil.rmtree(home)
    assert 80 < at < MOST_STEPS - 1


def test_a_killed_night_is_never_taken_for_an_artifact(killed, untrained, store):
    """It has no manifest, so nothing publishes it."""
    name = artifact(killed).name
    assert unfinished(killed).name == name
    assert not (artifact(killed) / "manifest.json").exists()

    ended = untrained("republish", name, REDIS_URL=store, RECO_HOME=str(killed))

    assert ended.code == 5
    assert f"{name} is not a complete artifact" in ended.err


@pytest.fixture
def resumed(killed, untrained, small, store, tmp_path):
    """Resume a copy of the killed night, until it would train; return what it says."""
    home = tmp_path / "home"
    shutil.copytree(killed, home)

    def run(*words, data=small):
        with connect(store) as client:
            client.delete(KEYS.lock)
        words = ("run", "--data", data, *OPTIONS, *words)
        ended = untrained(*words, REDIS_URL=store, RECO_HOME=str(home))
        *said, last = ended.lines
        assert "(tensorflow)" in last, ended.err
        return [line.partition(" ")[2] for line in said[1:]]

    run.home = home
    return run


def test_other_parameters_are_not_resumed(resumed, killed):
    """It says which, deletes the other night, and begins one."""
    name = artifact(killed).name

    said = resumed("--resume", "--seed", 43, "--split", "time")

    assert said == [
        f"{name} is not resumed: split was random, is time; seed was 42, is 43",
        "nothing to resume: the night begins anew",
    ]
    assert unfinished(resumed.home).name > name
    assert not (resumed.home / "artifacts" / name).exists()


def test_other_data_is_not_resumed(resumed, killed, small, tmp_path):
    """One rating more is another night."""
    folder = shutil.copytree(small, tmp_path / "data")
    with (folder / "ratings.csv").open("a") as ratings:
        ratings.write("1,150,3.5,1600000000\n")

    said = resumed("--resume", data=folder)

    assert said == [
        f"{artifact(killed).name} is not resumed: other ratings or movies",
        "nothing to resume: the night begins anew",
    ]


def test_a_plain_run_resumes_nothing(resumed, killed):
    """And deletes what the night before left."""
    said = resumed()

    assert said == []
    assert unfinished(resumed.home).name > artifact(killed).name


def test_unfinished_nights_of_other_namespaces_stay(night, tmp_path):
    """However old they are: who knows when they are resumed."""
    home = tmp_path / "home"
    old = "20200101T000000Z-0000"
    (home / "unfinished" / "other" / old).mkdir(parents=True)
    (home / "artifacts" / old).mkdir(parents=True)
    (home / "artifacts" / "20200102T000000Z-dead").mkdir(parents=True)

    ended = night(home)

    assert ended.code == 0, ended.err
    names = sorted(path.name for path in (home / "artifacts").iterdir())
    assert names == [old, ended.generation]


def test_a_night_killed_while_publishing_trains_nothing_again(
    night, untrained, small, store, tmp_path
):
    """The artifact is complete: what is left is to publish it, on any machine."""
    ended = night(tmp_path, at="keys", models="preset")
    assert ended.code == -9, ended.err
    before = answers(tmp_path)
    name = artifact(tmp_path).name
    assert unfinished(tmp_path).name == name
    with connect(store) as client:
        client.delete(KEYS.lock)

    ended = untrained(
        *("run", "--data", small, *OPTIONS, "--resume"), REDIS_URL=store, RECO_HOME=str(tmp_path)
    )

    assert ended.code == 0, ended.err
    assert f"resuming {name}; complete: " in ended.lines[1]
    assert len(ended.lines) == 4  # beside it, only reading, the gate and publishing
    assert answers(tmp_path) == before
    require_live(tmp_path, store)
