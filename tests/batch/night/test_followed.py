"""What follows a run that ends before it has anything to show: metrics, hooks, the log's end."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from reco_store import Keys, RunLock, connect

NOBODY = "redis://writer:Hunter2@127.0.0.1:1/0"
METRIC = re.compile(r'^(reco_\w+)\{namespace="reco"\} (\S+)$', re.MULTILINE)


@pytest.fixture
def watched(untrained, tmp_path):
    """Run `batch` with a metrics file and a hook; return its end, the metrics, what was told."""
    metrics, told = tmp_path / "reco.prom", tmp_path / "told.json"

    def run(*words, hook=f"cp /dev/stdin {told}", **more):
        told.unlink(missing_ok=True)
        ended = untrained(*words, "--metrics-file", metrics, "--on-failure", hook, **more)
        found = {n: float(v) for n, v in METRIC.findall(metrics.read_text("utf-8"))}
        return ended, found, json.loads(told.read_text("utf-8")) if told.exists() else None

    return run


def test_bad_data_is_told_and_what_is_served_stays_known(watched, served, folder):
    """The night knew nothing yet; the store does."""
    path = folder({"movies.csv": None})

    ended, metrics, told = watched("run", "--data", path)

    assert ended.code == 4
    assert metrics["reco_run_exit_code"] == 4
    assert (metrics["reco_served_users"], metrics["reco_served_keys"]) == (1, 5)
    assert "reco_run_users" not in metrics
    assert "reco_run_last_success_timestamp_seconds" not in metrics
    assert (told["what"], told["exit_code"], told["served"]) == ("failed", 4, served)
    assert ended.err == f"error: {told['reason']}\n"


def test_a_store_that_is_down_is_told_and_the_file_keeps_the_rest(watched, folder):
    """The metrics of what is served are those that the run before wrote; no secret is told."""
    path = folder({"movies.csv": None})
    _, before, _ = watched("run", "--data", path)

    ended, metrics, told = watched("run", "--data", path, REDIS_URL=NOBODY)

    assert ended.code == 3
    assert metrics["reco_run_exit_code"] == 3
    kept = {name: value for name, value in before.items() if "_served_" in name}
    assert kept.items() <= metrics.items()
    assert (told["exit_code"], told["served"]) == (3, None)
    assert "Hunter2" not in json.dumps(told) + ended.err


def test_an_option_that_cannot_be_is_told_as_well(watched):
    """A night that did not begin is one that failed."""
    ended, metrics, told = watched("run")

    assert ended.code == metrics["reco_run_exit_code"] == told["exit_code"] == 2
    assert told["reason"].startswith("--data is missing")


def test_republish_is_followed_too(watched, served):
    """It switches readers as a night does."""
    ended, metrics, told = watched("republish", "20200101T000000Z-dead")

    assert ended.code == metrics["reco_run_exit_code"] == 5
    assert (told["command"], told["served"]) == ("republish", served)


def test_a_hook_that_fails_changes_nothing_but_a_line(watched, folder):
    """Neither the exit code nor the error."""
    ended, metrics, told = watched("run", "--data", folder({"movies.csv": None}), hook="/no/hook")

    assert (ended.code, told) == (4, None)
    assert metrics["reco_run_exit_code"] == 4
    *_, warning, error = ended.lines
    assert "warning: the hook /no/hook could not be run (No such file" in warning
    assert error.startswith("error: ")


def test_a_metrics_file_that_cannot_be_written_changes_nothing_but_a_line(
    refused, folder, untrained
):
    """The night ends as it would have; `--quiet` is about progress, not about this."""
    words = ("run", "--data", folder({"movies.csv": None}), "--metrics-file", "/no/folder/x")

    ended = untrained(*words, "--quiet")

    assert ended.code == 4
    warning, error = ended.lines
    assert warning == (
        "warning: the metrics file /no/folder/x is not written (No such file or directory)"
    )
    assert error.startswith("error: ")


def test_on_request_every_line_is_a_json_object(watched, folder):
    """The error is the last of them, and there is no line for people."""
    path = folder({"movies.csv": None})

    ended, metrics, _ = watched("run", "--data", path, "--log-format", "json", hook="/no/hook")

    lines = [json.loads(line) for line in ended.lines]
    events = [line["event"] for line in lines]
    assert events == ["stage started", "stage failed", "warning", "error"]
    assert lines[-1]["exit_code"] == ended.code == metrics["reco_run_exit_code"] == 4
    assert "movies" in lines[-1]["text"]
    assert len({line["run"] for line in lines}) == 1


def test_every_command_ends_in_json_on_request(untrained):
    """The variable counts for commands that have no such option."""
    ended = untrained("generations", RECO_LOG_FORMAT="json", REDIS_URL=NOBODY)

    (line,) = map(json.loads, ended.lines)
    assert (ended.code, line["event"], line["exit_code"]) == (3, "error", 3)
    assert "Hunter2" not in ended.err


def test_a_run_that_finds_another_at_work_leaves_the_figures_to_it(watched, server, folder):
    """The file is that of the run before; the hook is told."""
    _, before, _ = watched("run", "--data", folder({"movies.csv": None}))
    with connect(server) as client, RunLock(client, Keys("reco"), heartbeat=False):
        ended, metrics, told = watched("run", "--data", folder())

    assert ended.code == told["exit_code"] == 75
    assert metrics == before


DEAF = """
import time
from reco_batch import main
from reco_batch.commands import run_commands as commands
from reco_batch.monitoring import run_outcome as followed

look = followed._live

def night(config, lock, *, reporter):
    with lock, reporter.stage("train"):
        reporter.set_generation("20261124T031502Z-7f3a")
        followed._live = look_at_the_lock
        print("at work", flush=True)
        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                pass

def look_at_the_lock(lock):
    print("locked" if lock.client.exists(lock.keys.lock) else "free", flush=True)
    return look(lock)

commands.run_night = night
main()
"""


@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.slow
def test_a_run_in_native_code_is_ended_with_all_that_follows(
    environment, server, served, tmp_path, form
):
    """Asked to end, and deaf: one line, metrics, hook, and the lock is free at once."""
    metrics, told = tmp_path / "reco.prom", tmp_path / "told.json"
    words = ["run", "--data", tmp_path, "-q", "--metrics-file", metrics, "--log-format", form]
    with subprocess.Popen(
        [sys.executable, "-c", DEAF, *words, "--on-failure", f"cp /dev/stdin {told}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "at work\n"
        time.sleep(0.2)  # it has returned from printing that
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 143
    assert out == "free\n"  # what is live by then, this run changes no more
    *_, line = err.splitlines()
    said = f"ended by SIGTERM; run it again. Still served: {served}."
    if form == "json":
        assert json.loads(line)["message"] == said
        assert [json.loads(one)["level"] for one in err.splitlines()] == ["error"]
    else:
        assert err == f"error: {said}\n"
    assert dict(METRIC.findall(metrics.read_text("utf-8")))["reco_run_exit_code"] == "143.0"
    assert json.loads(told.read_text("utf-8"))["reason"] == said
    with connect(server) as client:
        assert client.get(Keys("reco").lock) is None


LOOKING = """
import sys, time
from reco_batch import main
from reco_batch.commands import run_commands as commands
from reco_batch.monitoring import run_outcome as followed
from reco_store import NothingPublished, connect

what, seconds = sys.argv.pop(1), float(sys.argv.pop(1))
look = followed._live

def night(config, lock, *, reporter):
    with lock, reporter.stage("train"):
        reporter.set_generation("20261124T031502Z-7f3a")
        followed._live = slow
        if what == "live":
            lock.client.set(lock.keys.current, reporter.generation)
        raise NothingPublished("reco")

def slow(lock):
    print("looking", flush=True)
    for _ in range(20):
        time.sleep(seconds / 20)
    return look(lock)

commands.run_night = night
main()
"""


@pytest.mark.parametrize(
    ("what", "number", "form", "seconds"),
    [
        ("live", "SIGINT", "json", 0.5),
        ("live", "SIGTERM", "json", 4.5),  # beyond the grace
        ("failed", "SIGTERM", "plain", 0.5),
        ("failed", "SIGTERM", "plain", 4.5),
    ],
)
@pytest.mark.slow
def test_a_signal_that_comes_late_changes_nothing(
    environment, running, tmp_path, what, number, form, seconds
):
    """A run that has ended, and looks at what is served, ends as it would have, with all of it."""
    metrics, told = tmp_path / "reco.prom", tmp_path / "told.json"
    words = ["run", "--data", tmp_path, "--metrics-file", metrics, "--log-format", form]
    code = 0 if what == "live" else 5
    with (
        running() as url,
        subprocess.Popen(
            [
                *(sys.executable, "-c", LOOKING, what, str(seconds), *words),
                *("--on-failure", f"cp /dev/stdin {told}"),
            ],
            env={**environment, "REDIS_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout.readline() == "looking\n"
        for _ in range(2):
            time.sleep(0.1)
            process.send_signal(signal.Signals[number])
        out, err = process.communicate(timeout=30)

    assert process.returncode == code, out + err
    assert f'reco_run_exit_code{{namespace="reco"}} {code}.0' in metrics.read_text("utf-8")
    assert told.exists() == (what == "failed")
    if form == "json":
        assert json.loads(err.splitlines()[-1])["event"] == "ended"
    if what == "failed":
        assert err.count("Still served: nothing.") == 1
