"""JSON log: one object a line, without secrets."""

import json
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from reco_batch.monitoring.run_outcome import ended_in_json
from reco_batch.progress.choose import choose_reporter
from reco_batch.progress.json_log import JsonReporter, open_log, secrets_of
from reco_batch.settings.all_settings import NotifyKeys, Settings
from reco_store import NothingPublished

SECRETS = ("Hunter2", "p%40ss", "p@ss", "/hooks/T0KEN", "Bearer-12345")


def settings(**values):
    """Return settings with a JSON log."""
    return Settings(log_format="json", **values)


@pytest.fixture
def lines(capsys):
    """Return a function that parses the output so far, an object a line."""

    def read():
        out, err = capsys.readouterr()
        assert out == ""
        return [json.loads(line) for line in err.splitlines()]

    return read


def test_each_stage_begins_and_ends_in_a_line(lines):
    """The end has the seconds and the last note; findings, information and warnings are events."""
    reporter = choose_reporter(quiet=False, log=open_log(settings()))

    with reporter.stage("read", total=3) as stage:
        stage.note("first")
        stage.note("610 users\n\x1b[31m")
    reporter.report_finding("two movies share a title")
    reporter.info("resuming")
    reporter.set_generation("20261124T031502Z-7f3a")
    reporter.warn("old artifacts stay")

    started, ended, found, info, warned = lines()
    assert (started["event"], started["stage"], started["total"]) == ("stage started", "read", 3)
    assert (ended["event"], ended["note"]) == ("stage ended", "610 users\n\x1b[31m")
    assert ended["seconds"] == reporter.seconds["read"]
    assert (found["event"], found["text"]) == ("finding", "two movies share a title")
    assert (info["event"], info["text"]) == ("said", "resuming")
    assert (warned["event"], warned["level"]) == ("warning", "warning")
    assert warned["generation"] == "20261124T031502Z-7f3a"
    assert "generation" not in info
    assert (started["message"], found["message"]) == ("stage started read", found["text"])
    assert len({line["run"] for line in (started, ended, found, info, warned)}) == 1
    assert all(line["timestamp"].endswith("Z") and line["level"] for line in (started, warned))


def test_a_failed_stage_is_reported(lines):
    """A failed stage has a failure event and no end."""
    reporter = JsonReporter(open_log(settings()))

    with pytest.raises(ZeroDivisionError), reporter.stage("train"):
        raise ZeroDivisionError

    _, failed = lines()
    assert (failed["event"], failed["stage"]) == ("stage failed", "train")
    assert failed["error"] == "ZeroDivisionError"
    assert failed["level"] == "error"
    assert failed["message"].startswith("train failed: ZeroDivisionError")
    assert reporter.seconds == {}


def test_quiet_leaves_the_warnings(lines):
    """`--quiet` leaves warnings only."""
    reporter = choose_reporter(quiet=True, log=open_log(settings()))

    with reporter.stage("read"):
        reporter.info("hello")
    reporter.report_finding("a note")
    reporter.warn("a warning")

    assert [line["event"] for line in lines()] == ["warning"]


def test_no_secret_is_in_any_line(capsys):
    """Secrets are masked in stage names, notes, warnings and errors."""
    secret_settings = settings(
        redis_url="redis://writer:p%40ss@h/0",
        notify=NotifyKeys(url="https://h/hooks/T0KEN", command=("curl", "Bearer-12345", "Hunter2")),
    )
    reporter = JsonReporter(open_log(secret_settings))

    for secret in SECRETS:
        with reporter.stage(f"read {secret}") as stage:
            stage.note(secret)
        reporter.warn(f"cannot reach {secret}")
        with pytest.raises(SystemExit), ended_in_json(secret_settings):
            raise ValueError(secret)

    err = capsys.readouterr().err
    assert err.count("\n") == 4 * len(SECRETS)
    assert not [secret for secret in SECRETS if secret in err]


def test_an_address_without_a_secret_is_shown():
    """Only secrets are masked."""
    assert secrets_of(settings(redis_url="redis://localhost:6379/0")) == ()
    assert secrets_of(settings(redis_url="redis://u:abc@h")) == ()  # would hide half of all words


@pytest.mark.parametrize(
    ("error", "code"), [(NothingPublished("reco"), 5), (KeyboardInterrupt(), 130), (KeyError(1), 1)]
)
def test_an_error_is_one_line_with_its_exit_code(lines, error, code):
    """The text includes the error's notes; a bug also has its traceback, on the same line."""
    error.add_note("Still served: nothing.")

    with pytest.raises(SystemExit) as end, ended_in_json(settings()):
        raise error

    (line,) = lines()
    assert end.value.code == code == line["exit_code"]
    assert (line["event"], line["level"], line["kind"]) == ("error", "error", type(error).__name__)
    assert line["text"].endswith("Still served: nothing.")
    assert ("Traceback" in line.get("traceback", "")) is (code == 1)


def test_without_json_errors_pass_through(lines):
    """Without the JSON log, the error passes through."""
    with pytest.raises(NothingPublished), ended_in_json(Settings()):
        raise NothingPublished("reco")

    assert lines() == []


def test_lines_of_several_threads_are_whole(lines):
    """Stages run side by side."""
    reporter = JsonReporter(open_log(settings()))

    def work(name):
        for _ in range(50):
            with reporter.stage(name * 200):
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lines()) == 4 * 50 * 2


def test_a_full_disk_does_not_end_a_run(monkeypatch):
    """A line that cannot be written is dropped."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        reporter = JsonReporter(open_log(settings()))
        with reporter.stage("work"):
            pass
        monkeypatch.undo()
        with suppress(OSError):  # writes the rest of its buffer
            full.close()

    assert reporter.seconds["work"] >= 0
