"""`batch diff` of two runs: in a pipe, on a terminal and as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from listed_nights import NAMES, write_night
from reco_batch.errors import NightFailed
from reco_batch.evaluation.list_diff import choose_runs, difference, user_difference
from reco_batch.metrics.rank_overlap import rank_biased_overlap
from reco_store import UsageError
from terminals import show

BATCH = Path(sys.executable).with_name("batch")
MOVIES = [*range(1, 13), "日本"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home with three runs, the second of which the gate refused."""
    folder = tmp_path_factory.mktemp("home")
    artifacts = folder / "artifacts"
    write_night(artifacts, 0, {"a": [1, 2, 3, 4], "b": [5, 6], "\x1b": [7]}, MOVIES)
    refused = {"verdict": "refused", "baseline": NAMES[0]}
    write_night(artifacts, 1, {"a": [12], "b": [12], "c": [12]}, MOVIES, gate=refused)
    passed = {"verdict": "passed", "baseline": NAMES[0]}
    lists = {"a": [1, "日本", 3, 2], "b": ["日本", 1], "\x1b": [7], "c": [1]}
    write_night(artifacts, 2, lists, MOVIES, gate=passed)
    return folder


@pytest.fixture
def nights(home):
    """Return the first run and the last."""
    return choose_runs(home / "artifacts", NAMES[0], NAMES[2], namespace="reco")


@pytest.fixture
def diff(home):
    """Run `batch diff` in a pipe."""

    def run(*words):
        command = [BATCH, "diff", "--home", home, *words]
        return subprocess.run(command, capture_output=True, check=False, text=True)

    return run


def test_all_lists_of_two_runs_are_compared(nights):
    """Users, movies, and the users whose lists changed most."""
    found = difference(*nights, n=2)

    assert (found.users, found.new_users, found.gone_users, found.unchanged) == (3, 1, 0, 1)
    assert found.overlap == pytest.approx((0.75 + 0 + 1) / 3)
    assert (found.entered, found.left) == (1, 3)
    assert [tuple(move) for move in found.rose] == [
        ("1", "Film 1", 1, 3),
        ("日本", "Film 日本", 0, 2),
    ]
    assert [tuple(move) for move in found.fell] == [("4", "Film 4", 1, 0), ("5", "Film 5", 1, 0)]
    assert [user.user_id for user in found.most_changed] == ["b", "a"]


def test_equal_runs_have_no_differences(nights):
    """No movie rose or fell, and no user changed."""
    found = difference(nights[0], nights[0], n=5)

    assert (found.overlap, found.unchanged) == (1, 3)
    assert found.rbo == pytest.approx(1)
    assert found.rose == found.fell == found.most_changed == []


def test_one_user(nights):
    """Movies of the later list come first, then those that it lacks."""
    found = user_difference(*nights, "a", n=3)

    assert [tuple(place) for place in found.places] == [
        ("1", "Film 1", 1, 1),
        ("日本", "Film 日本", None, 2),
        ("3", "Film 3", 3, 3),
    ]
    assert found.overlap == 0.75
    rows = (np.array([row], np.int32) for row in ([1, 2, 3, 4], [1, 9, 3, 2]))
    assert found.rbo == pytest.approx(rank_biased_overlap(*rows, p=0.9)[0])


def test_a_user_of_one_run_has_no_overlap(nights):
    """Every position is on one side."""
    found = user_difference(*nights, "c", n=3)

    assert (found.overlap, found.rbo) == (None, 0)
    assert [tuple(place) for place in found.places] == [("1", "Film 1", None, 1)]
    with pytest.raises(UsageError, match="user 'unknown' has no list in"):
        user_difference(*nights, "unknown", n=3)


def test_the_newest_run_is_compared_with_its_baseline(home):
    """The refused run between them is not chosen."""
    artifacts = home / "artifacts"

    def chosen(*names):
        pair = choose_runs(artifacts, *names, namespace="reco")
        return tuple(night.generation for night in pair)

    assert chosen(None, None) == (NAMES[0], NAMES[2])
    assert chosen(None, NAMES[1]) == (NAMES[0], NAMES[1])
    assert chosen(NAMES[1], None) == (NAMES[1], NAMES[2])
    with pytest.raises(NightFailed, match="is older than"):
        choose_runs(artifacts, None, NAMES[0], namespace="reco")
    with pytest.raises(NightFailed, match="no complete artifact of the namespace 'other'"):
        choose_runs(artifacts, None, None, namespace="other")
    with pytest.raises(UsageError):
        choose_runs(artifacts, "..", None, namespace="reco")
    with pytest.raises(UsageError, match="twice; expected two generations"):
        choose_runs(artifacts, NAMES[1], NAMES[1], namespace="reco")


def test_in_a_pipe(diff):
    """One fact a line, with fields separated by tabs; the first field is its kind."""
    lines = [line.split("\t") for line in diff("-n", "1").stdout.splitlines()]

    assert lines[:3] == [
        ["night", "before", NAMES[0]],
        ["night", "after", NAMES[2]],
        ["figure", "overlap@10", "0.5833"],
    ]
    assert lines[-3:] == [
        ["rose", "1", "1", "3", "Film 1"],
        ["fell", "4", "1", "0", "Film 4"],
        ["user", "b", "0.0000", "0.0000"],
    ]


def test_one_user_in_a_pipe(diff):
    """A position is empty if the list lacks the movie. Ids are printable."""
    lines = [line.split("\t") for line in diff("--user", "b").stdout.splitlines()]

    assert lines[-4:] == [
        ["place", "日本", "", "1", "Film 日本"],
        ["place", "1", "", "2", "Film 1"],
        ["place", "5", "1", "", "Film 5"],
        ["place", "6", "2", "", "Film 6"],
    ]


def test_as_json(diff):
    """One object, with the p of the rank-biased overlap."""
    found = json.loads(diff("--json").stdout)

    assert (found["schema"], found["command"], found["rbo_p"]) == (1, "diff", 0.9)
    assert found["rose"][0] == {"movie_id": "1", "title": "Film 1", "before": 1, "after": 3}
    assert found["most_changed"][0]["user_id"] == "b"
    assert json.loads(diff("--json", "--user", "c").stdout)["overlap"] is None


def test_a_single_name_is_that_of_the_later_run(diff):
    """It is compared with its own baseline."""
    lines = diff(NAMES[1]).stdout.splitlines()

    assert lines[:2] == [f"night\tbefore\t{NAMES[0]}", f"night\tafter\t{NAMES[1]}"]


@pytest.mark.parametrize("words", [(), ("--user", "a")])
def test_on_a_terminal(home, words):
    """No line is wider than the terminal, and no escape sequence comes from the data."""
    shown = show([BATCH, "diff", "--home", home, *words], os.environ, columns=60)

    assert shown.code == 0
    shown = shown.out
    assert max(map(len, shown.splitlines())) <= 60
    assert "rank-biased overlap (p = 0.9)" in shown.replace("\n          ", " ")
    assert "\x1b" not in shown
    assert "Film 日本" in shown


def test_5_when_an_artifact_is_not_on_disk(diff):
    """The error names the artifacts on disk."""
    ended = diff("20200101T000000Z-0000", NAMES[2])

    assert (ended.returncode, ended.stdout) == (5, "")
    assert f"complete ones: {', '.join(NAMES)}" in ended.stderr
