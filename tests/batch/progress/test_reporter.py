"""Reporters: bars on a terminal, a line a stage in a log, warnings only, and what they record."""

import re
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from rich.cells import cell_len

from reco_batch.progress.choose import choose_reporter
from reco_batch.progress.live_bars import LiveReporter
from reco_batch.progress.reporter import PlainReporter, QuietReporter, StageTimes

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (.+)")


@pytest.fixture
def terminal(monkeypatch):
    """Make rich treat standard error as a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("kind", [QuietReporter, PlainReporter, LiveReporter])
def test_each_stage_is_timed(kind):
    """The seconds of every finished stage are recorded, for the manifest."""
    reporter = kind()

    with reporter.stage("read", total=3) as stage:
        stage.advance(1)
        stage.note("half way")
    with reporter.stage("train"):
        pass

    assert list(reporter.seconds) == ["read", "train"]
    assert all(seconds >= 0 for seconds in reporter.seconds.values())


@pytest.mark.parametrize("kind", [QuietReporter, PlainReporter, LiveReporter])
def test_starts_and_losses_are_recorded(kind):
    """Overlapping stages start one after another and may end in any order."""
    reporter = kind()

    with reporter.stage("train", total=2) as outer:
        outer.record_loss(1, 0.5)
        with reporter.stage("refit", total=2) as inner:
            inner.record_loss(1, 9.0)
        outer.record_loss(2, 0.25)

    assert list(reporter.seconds) == list(reporter.began) == ["refit", "train"]
    assert 0 <= reporter.began["train"] <= reporter.began["refit"]
    assert reporter.losses == {"train": [(1, 0.5), (2, 0.25)], "refit": [(1, 9.0)]}


@pytest.mark.parametrize("kind", [QuietReporter, PlainReporter, LiveReporter])
def test_stage_that_fails_is_not_finished(kind, capsys):
    """The error passes through; the stage has no time and no line."""
    reporter = kind()

    with pytest.raises(ZeroDivisionError), reporter.stage("train"):
        raise ZeroDivisionError

    assert reporter.seconds == {}
    assert "train" not in "".join(capsys.readouterr())


def test_quiet_shows_nothing(capsys):
    """Nothing is written to either stream."""
    reporter = QuietReporter()

    reporter.info("hello")
    with reporter.stage("read") as stage:
        stage.note("a note")

    assert "".join(capsys.readouterr()) == ""


def test_plain_prints_a_line_a_stage_to_standard_error(capsys):
    """One line with the time in UTC, the name, the seconds and the last note."""
    reporter = PlainReporter()

    with reporter.stage("read", total=2) as stage:
        stage.note("first")
        stage.advance(2)
        stage.note("610 users")
    with reporter.stage("train"):
        pass
    reporter.info("done")

    out, err = capsys.readouterr()
    assert out == ""
    texts = [LINE.fullmatch(line)[2] for line in err.splitlines()]
    assert re.fullmatch(r"read +\d+\.\d s  610 users", texts[0])
    assert re.fullmatch(r"train +\d+\.\d s", texts[1])
    assert texts[2:] == ["done"]


def test_live_leaves_a_line_a_stage(terminal, capsys):
    """The bar is removed and a line remains, on standard error."""
    reporter = LiveReporter()

    with reporter.stage("read", total=2) as stage:
        stage.advance(2)
        stage.note("610 users")

    out, err = capsys.readouterr()
    assert out == ""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert re.search(r"✓ read +\d+\.\d s  610 users", plain)


TIMES = StageTimes.from_manifest(
    {"read": 5.0, "train": 6.0, "gate": 95.0}, {"read": 1.0, "train": 89, "gate": 10}
)


@pytest.mark.parametrize(
    ("seconds", "finished", "left"),
    [
        (0, {}, 100),
        (30, {}, 70),
        (150, {}, 0),
        (1, {"read": 1}, 99),
        (3, {"read": 3}, 99),  # too early to use this run's speed
        (90, {"read": 1, "train": 90}, 10),
        (185, {"read": 1, "train": 180}, 15),  # twice as slow, and five seconds into the gate
        (10, {"other": 3}, 90),
    ],
)
def test_remaining_time_is_estimated_from_the_last_run(seconds, finished, left):
    """The estimate is scaled by the speed of this run."""
    assert TIMES.left(seconds, finished) == pytest.approx(left)


@pytest.mark.parametrize(
    "junk",
    [({}, {}), ({"read": "x"}, {"read": 1}), ({}, {"read": 1}), ({"read": 0}, {"read": None})],
)
def test_without_earlier_times_nothing_is_estimated(junk):
    """A first run, or a manifest of another version, gives no estimate."""
    assert StageTimes.from_manifest(*junk).left(3, {}) is None


def test_live_shows_the_whole_run(terminal, capsys):
    """The last bar has elapsed and estimated time, and the number of the stage."""
    reporter = LiveReporter()
    with reporter.stage("alone"):
        pass
    assert "whole run" not in capsys.readouterr().err  # a command without a known number of stages
    reporter = LiveReporter()
    reporter.set_earlier_times(StageTimes({}))
    with reporter.stage("read"):
        pass
    first = capsys.readouterr().err
    reporter.set_earlier_times(TIMES)
    reporter.expect_stages(3)
    with reporter.stage("train", total=2):
        pass

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"whole run .*0:00, stage 1", first)
    assert re.search(r"whole run +━+ 0:00 of ~1:(39|40), stage 2/3", plain)
    assert max(map(cell_len, re.split(r"[\r\n]+", plain))) <= 80


def test_live_wraps_at_blanks_only(terminal, monkeypatch, capsys):
    """A path wider than the terminal stays whole, so it can be copied; other text wraps."""
    monkeypatch.setenv("COLUMNS", "40")
    path = "/srv/" + "folder/" * 9 + "report.html"
    reporter = LiveReporter()

    with reporter.stage("report") as stage:
        stage.note(path)
    reporter.warn(f"old artifacts are not deleted yet: {path} is in use")

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert plain.count(path) == 2


def test_live_fits_a_narrow_terminal(terminal, monkeypatch, capsys):
    """A running stage is one line, a warning is complete; wide characters count as two cells."""
    monkeypatch.setenv("COLUMNS", "40")
    reporter = LiveReporter()

    with reporter.stage("read and check the data", total=2) as stage:
        stage.note("千と千尋の神隠し " * 5)
    reporter.warn("old artifacts are not deleted yet: " + "千と千尋の神隠し " * 5)

    shown = re.split(r"[\r\n]+|\x1b\[[0-9;?]*[A-Za-z]", capsys.readouterr().err)
    assert max(map(cell_len, shown)) <= 40
    assert "".join("".join(shown).split()).count("千と千尋の神隠し") >= 5


def test_live_respects_no_color(terminal, monkeypatch, capsys):
    """NO_COLOR removes colours; without it there are some."""
    colour = re.compile(r"\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")

    def shown():
        reporter = LiveReporter()
        with reporter.stage("read", total=2) as stage:
            stage.advance(1)
        return capsys.readouterr().err

    assert colour.search(shown())
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "read" in (text := shown())
    assert not colour.search(text)


def test_quiet_does_not_suppress_warnings(capsys):
    """`--quiet` does not suppress warnings."""
    QuietReporter().warn("the hook failed")
    PlainReporter().warn("the hook failed")

    quiet, plain = capsys.readouterr().err.splitlines()
    assert quiet == "warning: the hook failed"
    assert LINE.fullmatch(plain)[2] == "warning: the hook failed"


def test_live_shows_side_by_side_stages_until_the_last_ends(terminal):
    """The display runs while any stage runs, and no longer."""
    reporter = LiveReporter()
    live = reporter._progress.live

    with reporter.stage("one"):
        with reporter.stage("two"):
            assert live.is_started
        assert live.is_started
    assert not live.is_started
    with reporter.stage("three"):
        assert live.is_started
    assert not live.is_started


def test_live_starts_when_two_stages_begin_at_once(terminal, monkeypatch):
    """Two threads that add their bars at the same time are both shown."""
    reporter = LiveReporter()
    add_task = reporter._progress.add_task
    both_added = threading.Barrier(2, timeout=0.3)

    def add_and_meet(*args, **kwargs):
        task = add_task(*args, **kwargs)
        with suppress(
            threading.BrokenBarrierError
        ):  # the other thread waits for its turn, as it should
            both_added.wait()
        return task

    monkeypatch.setattr(reporter._progress, "add_task", add_and_meet)
    inside = threading.Barrier(2)
    started = []

    def run(name):
        with reporter.stage(name):
            inside.wait()
            started.append(reporter._progress.live.is_started)
            inside.wait()

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert started == [True, True]
    assert not reporter._progress.live.is_started


def test_live_prints_brackets_as_they_are(terminal, capsys):
    """A note is text, not markup: brackets are not colours."""
    reporter = LiveReporter()

    with reporter.stage("read") as stage:
        stage.note("from [red]folder[/]")

    assert "[red]folder[/]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("quiet", "is_terminal", "kind"),
    [
        (True, True, QuietReporter),
        (True, False, QuietReporter),
        (False, True, LiveReporter),
        (False, False, PlainReporter),
    ],
)
def test_reporter_depends_on_the_stream_and_quiet(monkeypatch, quiet, is_terminal, kind):
    """Bars on a terminal, lines in a log, warnings only with `--quiet`."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)

    assert type(choose_reporter(quiet=quiet)) is kind


def test_a_full_disk_does_not_end_a_run(monkeypatch):
    """The stage is timed, and a line that cannot be written is dropped."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        reporter = PlainReporter()
        with reporter.stage("work"):
            pass
        monkeypatch.undo()
        with suppress(OSError):  # writes the rest of its buffer
            full.close()

    assert reporter.seconds["work"] >= 0
