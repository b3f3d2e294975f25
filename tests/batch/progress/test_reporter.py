"""What is seen of a night: a line a stage in a log, a bar a stage on a terminal, or nothing."""

import re
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from rich.cells import cell_len

from reco_batch.progress.choose import choose_reporter
from reco_batch.progress.live import LiveReporter
from reco_batch.progress.reporter import PlainReporter, QuietReporter, StageTimes

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (.+)")


@pytest.fixture
def terminal(monkeypatch):
    """Make rich believe that standard error is a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("kind", [QuietReporter, PlainReporter, LiveReporter])
def test_each_stage_is_timed(kind):
    """The seconds of every finished stage are kept, for the manifest."""
    reporter = kind()

    with reporter.stage("read", total=3) as stage:
        stage.advance(1)
        stage.note("half way")
    with reporter.stage("train"):
        pass

    assert list(reporter.seconds) == ["read", "train"]
    assert all(seconds >= 0 for seconds in reporter.seconds.values())


@pytest.mark.parametrize("kind", [QuietReporter, PlainReporter, LiveReporter])
def test_when_stages_began_and_what_they_learned_is_kept(kind):
    """Stages side by side begin one after the other and may end in any order."""
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
    """What went wrong passes through; the stage has no time and no line."""
    reporter = kind()

    with pytest.raises(ZeroDivisionError), reporter.stage("train"):
        raise ZeroDivisionError

    assert reporter.seconds == {}
    assert "train" not in "".join(capsys.readouterr())


def test_quiet_shows_nothing(capsys):
    """Not a byte, on either stream."""
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
    said = [LINE.fullmatch(line)[2] for line in err.splitlines()]
    assert re.fullmatch(r"read +\d+\.\d s  610 users", said[0])
    assert re.fullmatch(r"train +\d+\.\d s", said[1])
    assert said[2:] == ["done"]


def test_live_leaves_a_line_a_stage(terminal, capsys):
    """The bar goes away and the line stays, on standard error."""
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
        (3, {"read": 3}, 99),  # so early, its pace says nothing
        (90, {"read": 1, "train": 90}, 10),
        (185, {"read": 1, "train": 180}, 15),  # twice as slow, and five seconds into the gate
        (10, {"other": 3}, 90),
    ],
)
def test_time_that_is_left_is_that_of_the_last_run(seconds, finished, left):
    """At the pace of this one."""
    assert TIMES.left(seconds, finished) == pytest.approx(left)


@pytest.mark.parametrize(
    "junk",
    [({}, {}), ({"read": "x"}, {"read": 1}), ({}, {"read": 1}), ({"read": 0}, {"read": None})],
)
def test_without_earlier_times_nothing_is_estimated(junk):
    """A first run, or a manifest of another version."""
    assert StageTimes.from_manifest(*junk).left(3, {}) is None


def test_live_shows_the_whole_run(terminal, capsys):
    """Below the stages: the time, of how much, and which stage of how many."""
    reporter = LiveReporter()
    with reporter.stage("alone"):
        pass
    assert "whole run" not in capsys.readouterr().err  # of a command that has no stages to count
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


def test_live_never_cuts_a_word(terminal, monkeypatch, capsys):
    """A path that is wider than the terminal can be copied; all else goes on below."""
    monkeypatch.setenv("COLUMNS", "40")
    path = "/srv/" + "folder/" * 9 + "report.html"
    reporter = LiveReporter()

    with reporter.stage("report") as stage:
        stage.note(path)
    reporter.warn(f"old artifacts are not deleted yet: {path} is in use")

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert plain.count(path) == 2


def test_live_fits_a_narrow_terminal(terminal, monkeypatch, capsys):
    """A stage is one line, a warning is whole; wide characters count as two."""
    monkeypatch.setenv("COLUMNS", "40")
    reporter = LiveReporter()

    with reporter.stage("read and check the data", total=2) as stage:
        stage.note("千と千尋の神隠し " * 5)
    reporter.warn("old artifacts are not deleted yet: " + "千と千尋の神隠し " * 5)

    shown = re.split(r"[\r\n]+|\x1b\[[0-9;?]*[A-Za-z]", capsys.readouterr().err)
    assert max(map(cell_len, shown)) <= 40
    assert "".join("".join(shown).split()).count("千と千尋の神隠し") >= 5


def test_live_has_no_colours_where_none_are_wanted(terminal, monkeypatch, capsys):
    """NO_COLOR takes them away; without it there are some."""
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


def test_a_warning_is_shown_however_quiet(capsys):
    """`--quiet` is about what goes as it should."""
    QuietReporter().warn("the hook failed")
    PlainReporter().warn("the hook failed")

    quiet, plain = capsys.readouterr().err.splitlines()
    assert quiet == "warning: the hook failed"
    assert LINE.fullmatch(plain)[2] == "warning: the hook failed"


def test_live_shows_side_by_side_stages_until_the_last_ends(terminal):
    """The display runs while any stage does, and no longer."""
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
    """Two threads that add their bars in the same moment are both shown."""
    reporter = LiveReporter()
    add_task = reporter._progress.add_task
    both_added = threading.Barrier(2, timeout=0.3)

    def add_and_meet(*args, **kwargs):
        task = add_task(*args, **kwargs)
        with suppress(threading.BrokenBarrierError):  # the other waits for its turn, as it should
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
    """A note is text, not markup: what stands in brackets is not taken for a colour."""
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
def test_reporter_suits_where_it_writes(monkeypatch, quiet, is_terminal, kind):
    """Bars on a terminal, lines in a log, nothing when told to be quiet."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)

    assert type(choose_reporter(quiet=quiet)) is kind


def test_a_full_disk_under_the_log_stops_no_night(monkeypatch):
    """The stage is timed, and what cannot be said is not said."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        reporter = PlainReporter()
        with reporter.stage("work"):
            pass
        monkeypatch.undo()
        with suppress(OSError):  # what is still in its buffer
            full.close()

    assert reporter.seconds["work"] >= 0
