"""Resuming: the condition, the end of other unfinished runs, and skipped stages.

Promise 19, that a resumed run publishes the same bytes, has tests of its own.
"""

import os
import shutil

import pytest

from real_servers import running_server
from resumed_nights import KILLED, OPTIONS, ResumedNights, answers, artifact, unfinished


@pytest.fixture(scope="module")
def nights(small):
    """Nights for a server of their own."""
    with running_server() as url:
        yield ResumedNights(small, url)


@pytest.fixture(scope="module")
def store(nights):
    """Address of their server."""
    return nights.url


@pytest.fixture(scope="module")
def killed(nights, tmp_path_factory):
    """Home of a run that was killed during training; to be copied."""
    home = tmp_path_factory.mktemp("killed")
    code, messages = nights.run(home, at=48, models="preset")
    assert code == KILLED, messages
    return home


def test_a_killed_run_leaves_no_complete_artifact(killed, untrained, store):
    """It has no manifest, so it cannot be published."""
    name = artifact(killed).name
    assert unfinished(killed).name == name
    assert not (artifact(killed) / "manifest.json").exists()

    ended = untrained("republish", name, REDIS_URL=store, RECO_HOME=str(killed))

    assert ended.code == 5
    assert f"{name} is not a complete artifact" in ended.err


@pytest.fixture
def resumed(killed, nights, untrained, small, store, tmp_path):
    """Resume a copy of the killed run, until training; return its messages."""
    home = tmp_path / "home"
    shutil.copytree(killed, home)

    def run(*words, data=small):
        nights.end_lease()
        words = ("run", "--data", data, *OPTIONS, *words)
        ended = untrained(*words, REDIS_URL=store, RECO_HOME=str(home))
        *messages, last = ended.lines
        assert "(tensorflow)" in last, ended.err
        return [line.partition(" ")[2] for line in messages[1:]]

    run.home = home
    return run


def test_other_parameters_are_not_resumed(resumed, killed):
    """Messages name them; the other run is deleted and a new one starts."""
    name = artifact(killed).name

    messages = resumed("--resume", "--seed", 43, "--split", "time")

    assert messages == [
        f"{name} is not resumed: split was random, is time; seed was 42, is 43",
        "nothing to resume; starting a new run",
    ]
    assert unfinished(resumed.home).name > name
    assert not (resumed.home / "artifacts" / name).exists()


def test_other_data_is_not_resumed(resumed, killed, small, tmp_path):
    """One more rating is other data."""
    folder = shutil.copytree(small, tmp_path / "data")
    with (folder / "ratings.csv").open("a") as ratings:
        ratings.write("1,150,3.5,1600000000\n")

    messages = resumed("--resume", data=folder)

    assert messages == [
        f"{artifact(killed).name} is not resumed: other ratings or movies",
        "nothing to resume; starting a new run",
    ]


def test_a_plain_run_resumes_nothing(resumed, killed):
    """It deletes what earlier runs left, or were deleting, before it needs the space."""
    deleting = resumed.home / "artifacts" / "20261101T031500Z-beef.deleted"
    deleting.mkdir()

    messages = resumed()

    assert messages == []
    assert not deleting.exists()
    assert unfinished(resumed.home).name > artifact(killed).name


@pytest.mark.slow
def test_unfinished_nights_of_other_namespaces_stay(nights, tmp_path):
    """At any age, since they may still be resumed."""
    home = tmp_path / "home"
    old = "20200101T000000Z-0000"
    (home / "unfinished" / "other" / old).mkdir(parents=True)
    (home / "artifacts" / old).mkdir(parents=True)
    dead = home / "artifacts" / "20200102T000000Z-dead"
    dead.mkdir()
    os.utime(dead, (0, 0))

    code, messages = nights.run(home)

    assert code == 0, messages
    names = sorted(path.name for path in (home / "artifacts").iterdir())
    assert (len(names), names[0]) == (2, old)
    assert names[1] > "20200102T000000Z-dead"


@pytest.mark.slow
def test_a_night_killed_while_publishing_trains_nothing_again(
    nights, untrained, small, store, tmp_path
):
    """The artifact is complete, and only publishing remains, on any machine."""
    code, messages = nights.run(tmp_path, at="keys", models="preset")
    assert code == KILLED, messages
    before = answers(tmp_path)
    name = artifact(tmp_path).name
    assert unfinished(tmp_path).name == name
    nights.end_lease()

    ended = untrained(
        *("run", "--data", small, *OPTIONS, "--resume"), REDIS_URL=store, RECO_HOME=str(tmp_path)
    )

    assert ended.code == 0, ended.err
    # Hindsight has a line where a run of another test is live.
    logged = [line for line in ended.lines if line.split()[1] != "hindsight"]
    assert f"resuming {name}; complete: " in logged[1]
    assert len(logged) == 5  # and reading, the gate, publishing and the report
    assert answers(tmp_path) == before
    nights.require_live(tmp_path)
