"""End of a failed run: metrics file, failure hook, last log line."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from reco_store import Keys, RunLock, connect

UNREACHABLE = "redis://writer:Hunter2@127.0.0.1:1/0"
METRIC = re.compile(r'^(reco_\w+)\{namespace="reco"\} (\S+)$', re.MULTILINE)


@pytest.fixture
def watched(untrained, tmp_path):
    """Run `batch` with a metrics file and a hook; return its end, the metrics and the event."""
    metrics, event = tmp_path / "reco.prom", tmp_path / "event.json"

    def run(*words, hook=f"cp /dev/stdin {event}", **more):
        event.unlink(missing_ok=True)
        ended = untrained(*words, "--metrics-file", metrics, "--on-failure", hook, **more)
        found = {n: float(v) for n, v in METRIC.findall(metrics.read_text("utf-8"))}
        return ended, found, json.loads(event.read_text("utf-8")) if event.exists() else None

    return run


def test_bad_data_causes_a_notification_with_the_live_generation(watched, served, folder):
    """The run has no manifest, so the live generation comes from the store."""
    path = folder({"movies.csv": None})

    ended, metrics, event = watched("run", "--data", path)

    assert ended.code == 4
    assert metrics["reco_run_exit_code"] == 4
    assert (metrics["reco_served_users"], metrics["reco_served_keys"]) == (1, 5)
    assert "reco_run_users" not in metrics
    assert "reco_run_last_success_timestamp_seconds" not in metrics
    assert (event["what"], event["exit_code"], event["served"]) == ("failed", 4, served)
    assert ended.err == f"error: {event['reason']}\n"


def test_an_unreachable_store_causes_a_notification_without_secrets(watched, folder):
    """The metrics of the live generation are kept from the file before."""
    path = folder({"movies.csv": None})
    _, before, _ = watched("run", "--data", path)

    ended, metrics, event = watched("run", "--data", path, REDIS_URL=UNREACHABLE)

    assert ended.code == 3
    assert metrics["reco_run_exit_code"] == 3
    kept = {name: value for name, value in before.items() if "_served_" in name}
    assert kept.items() <= metrics.items()
    assert (event["exit_code"], event["served"]) == (3, None)
    assert "Hunter2" not in json.dumps(event) + ended.err


def test_a_wrong_option_causes_a_notification(watched):
    """A run that did not start is a failed run."""
    ended, metrics, event = watched("run")

    assert ended.code == metrics["reco_run_exit_code"] == event["exit_code"] == 2
    assert event["reason"].startswith("--data is missing")


def test_a_failed_republish_causes_a_notification(watched, served):
    """It switches readers as a run does."""
    ended, metrics, event = watched("republish", "20200101T000000Z-dead")

    assert ended.code == metrics["reco_run_exit_code"] == 5
    assert (event["command"], event["served"]) == ("republish", served)


def test_a_failing_hook_adds_one_warning(watched, folder):
    """The exit code and the error stay the same."""
    ended, metrics, event = watched("run", "--data", folder({"movies.csv": None}), hook="/no/hook")

    assert (ended.code, event) == (4, None)
    assert metrics["reco_run_exit_code"] == 4
    *_, warning, error = ended.lines
    assert "warning: the hook /no/hook could not be run (No such file" in warning
    assert error.startswith("error: ")


def test_an_unwritable_metrics_file_adds_one_warning(refused, folder, untrained):
    """The run ends as it would have; `--quiet` hides progress only."""
    words = ("run", "--data", folder({"movies.csv": None}), "--metrics-file", "/no/folder/x")

    ended = untrained(*words, "--quiet")

    assert ended.code == 4
    warning, error = ended.lines
    assert warning == (
        "warning: the metrics file /no/folder/x is not written (No such file or directory)"
    )
    assert error.startswith("error: ")


def test_with_json_logs_every_line_is_a_json_object(watched, folder):
    """The error is the last line, and there is no line of plain text."""
    path = folder({"movies.csv": None})

    ended, metrics, _ = watched("run", "--data", path, "--log-format", "json", hook="/no/hook")

    lines = [json.loads(line) for line in ended.lines]
    events = [line["event"] for line in lines]
    assert events == ["stage started", "stage failed", "warning", "error"]
    assert lines[-1]["exit_code"] == ended.code == metrics["reco_run_exit_code"] == 4
    assert "movies" in lines[-1]["text"]
    assert len({line["run"] for line in lines}) == 1


def test_every_command_ends_with_a_json_line(untrained):
    """The environment variable applies to commands without the option, too."""
    ended = untrained("generations", RECO_LOG_FORMAT="json", REDIS_URL=UNREACHABLE)

    (line,) = map(json.loads, ended.lines)
    assert (ended.code, line["event"], line["exit_code"]) == (3, "error", 3)
    assert "Hunter2" not in ended.err


def test_a_second_run_at_once_does_not_write_the_metrics_file(watched, server, folder):
    """The hook is called."""
    _, before, _ = watched("run", "--data", folder({"movies.csv": None}))
    with connect(server) as client, RunLock(client, Keys("reco"), heartbeat=False):
        ended, metrics, event = watched("run", "--data", folder())

    assert ended.code == event["exit_code"] == 75
    assert metrics == before


DEAF = """
import time
from reco_batch import main
from reco_batch.commands import run_commands as commands
from reco_batch.monitoring import run_outcome as followed

look = followed._live

def night(config, lock, *, reporter, switch):
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
def test_sigterm_ends_a_run_in_native_code(environment, server, served, tmp_path, form):
    """One line, metrics, the hook, and the lock is released at once."""
    metrics, event = tmp_path / "reco.prom", tmp_path / "event.json"
    words = ["run", "--data", tmp_path, "-q", "--metrics-file", metrics, "--log-format", form]
    with subprocess.Popen(
        [sys.executable, "-c", DEAF, *words, "--on-failure", f"cp /dev/stdin {event}"],
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
    message = f"ended by SIGTERM; run it again. Still served: {served}."
    if form == "json":
        assert json.loads(line)["message"] == message
        assert [json.loads(one)["level"] for one in err.splitlines()] == ["error"]
    else:
        assert err == f"error: {message}\n"
    assert dict(METRIC.findall(metrics.read_text("utf-8")))["reco_run_exit_code"] == "143.0"
    assert json.loads(event.read_text("utf-8"))["reason"] == message
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

def night(config, lock, *, reporter, switch):
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
def test_a_late_signal_changes_nothing(environment, running, tmp_path, what, number, form, seconds):
    """A run that has ended, and reads the live generation, ends as it would have."""
    metrics, event = tmp_path / "reco.prom", tmp_path / "event.json"
    words = ["run", "--data", tmp_path, "--metrics-file", metrics, "--log-format", form]
    code = 0 if what == "live" else 5
    with (
        running() as url,
        subprocess.Popen(
            [
                *(sys.executable, "-c", LOOKING, what, str(seconds), *words),
                *("--on-failure", f"cp /dev/stdin {event}"),
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
    assert event.exists() == (what == "failed")
    if form == "json":
        assert json.loads(err.splitlines()[-1])["event"] == "ended"
    if what == "failed":
        assert err.count("Still served: nothing.") == 1
