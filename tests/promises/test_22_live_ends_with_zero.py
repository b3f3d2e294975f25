"""Promise 22: a run whose generation is live exits with 0, whatever fails after the switch."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gated_nights import MOVIES, Nights, good_night
from planted_ratings import planted_ratings
from reco_batch.artifact.folder import open_artifact
from reco_batch.commands import run_commands as commands
from reco_batch.commands.app import app
from reco_batch.commands.run_commands import republish_command
from reco_batch.monitoring import run_outcome as followed
from reco_batch.night import publish_stage
from reco_batch.night.run import Night
from reco_batch.settings.all_settings import NotifyKeys, Settings
from reco_batch.settings.target import Target
from reco_store import connect
from reco_store.connection.embedded import saving
from reco_store.connection.embedded.server import ensure_server, server_pid, stop_server
from reco_store.publishing import publisher
from reco_terminal.console import Terminated, guard
from store_under_fault import KEYS

BATCH = Path(sys.executable).with_name("batch")
EXIT = re.compile(r"^reco_run_exit_code\S* (\S+)$", re.MULTILINE)


class Bug(Exception):
    """Unexpected error."""


@pytest.fixture(scope="module")
def good():
    """Return a run of two hundred users."""
    return good_night(planted_ratings(seed=3, users=200, movies=MOVIES, at_least=25))


@pytest.fixture
def observed_run(make_store, good, tmp_path, capsys):
    """Yield a store with a live generation, and an observed `batch republish` of the next one."""
    store = make_store()
    nights = Nights(store.server.url, KEYS.namespace, tmp_path / "artifacts", good)
    assert nights.published(nights.night(nights.old)).outcome == "live"
    night = nights.night()
    night.write(nights.folder)
    metrics, notified = tmp_path / "reco.prom", tmp_path / "notified"
    settings = Settings(
        quiet=True, metrics_file=metrics, notify=NotifyKeys(command=("touch", str(notified)))
    )

    def republish(changed: Settings = settings) -> tuple[int, str]:
        """Return the exit code and the text on standard error."""
        target = Target(store.writer_url, KEYS.namespace, tmp_path)
        try:
            with guard():
                republish_command(changed, target, night.generation, force=None)
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return SimpleNamespace(
        nights=nights,
        night=night,
        settings=settings,
        metrics=metrics,
        notified=notified,
        republish=republish,
    )


def fail(error):
    """Return a function that raises the error."""

    def failing(*_, **__):
        raise error

    return failing


def fail_once(monkeypatch, place, name, error):
    """Make the first call of a function raise the error."""
    working = getattr(place, name)

    def failing(*_, **__):
        monkeypatch.setattr(place, name, working)
        raise error

    monkeypatch.setattr(place, name, failing)


AFTER = {
    "old generations stay": (publisher, "retire", Bug("x")),
    "interrupted": (publisher, "retire", KeyboardInterrupt()),
    "no verdict on disk": (publish_stage, "_recorded", Bug("x")),
    "no report": (publish_stage, "_report", Bug("x")),
    "the store is not inspected": (followed, "read_served", Bug("x")),
    "no metrics": (followed, "write_metrics", ValueError("x")),
    "nothing made of it": (commands, "_require_accepted", Bug("x")),
}


@pytest.mark.parametrize("what", AFTER)
def test_22_whatever_fails_after_the_switch_is_a_warning(observed_run, monkeypatch, what):
    """Exit code, metrics and hook report the generation as live."""
    place, name, error = AFTER[what]
    monkeypatch.setattr(place, name, fail(error))

    code, err = observed_run.republish()

    assert observed_run.nights.served() == observed_run.night.generation
    assert code == 0, err
    assert "warning: " in err
    assert "error: " not in err
    assert "Traceback" not in err
    if what != "no metrics":
        assert EXIT.findall(observed_run.metrics.read_text("utf-8")) == ["0.0"]
    assert not observed_run.notified.exists()


@pytest.mark.parametrize(
    ("place", "name", "error"),
    [
        (publisher, "retire", Terminated(signal.SIGTERM)),
        (publish_stage, "_report", KeyboardInterrupt()),
        (saving, "_saved_by_child", Terminated(signal.SIGHUP)),
    ],
)
def test_22_an_embedded_store_is_saved_whatever_cuts_the_run_short(
    short_folder, good, monkeypatch, capsys, place, name, error
):
    """A generation reported as published survives a crash, and its verdict is in the artifact."""
    home = short_folder / f"home-{os.urandom(4).hex()}"
    try:
        nights = Nights(ensure_server(home), KEYS.namespace, home / "artifacts", good)
        first, night = nights.night(nights.old), nights.night()
        for one in (first, night):
            one.manifest["parameters"]["namespace"] = KEYS.namespace
        assert nights.published(first).outcome == "live"
        night.write(nights.folder)
        fail_once(monkeypatch, place, name, error)
        target = Target(None, KEYS.namespace, home)
        with guard():
            republish_command(Settings(quiet=True), target, night.generation, force=None)
        assert "the run was cut short after that" in capsys.readouterr().err

        os.kill(server_pid(home), signal.SIGKILL)
        ensure_server(home)
        assert nights.served() == night.generation

        with connect(None, home=home) as client:
            client.flushall()
        with guard():
            republish_command(Settings(quiet=True), target, "latest", force=None)
        assert nights.served() == night.generation
    finally:
        stop_server(home)


@pytest.mark.parametrize(
    ("place", "name", "lines"),
    [
        (saving, "_saved_by_child", ("live", "gate", "store")),  # the run had its result
        (publisher, "retire", ("live",)),  # publishing had not returned it
    ],
)
def test_22_the_summary_of_a_run_that_is_cut_short(
    short_folder, good, monkeypatch, capsys, place, name, lines
):
    """`batch run` prints its live generation if a signal arrives after the switch."""
    home = short_folder / f"home-{os.urandom(4).hex()}"
    try:
        nights = Nights(ensure_server(home), KEYS.namespace, home / "artifacts", good)
        night = nights.night()
        night.write(nights.folder)

        def run_night(config, lock, *, reporter, switch):
            """Publish the artifact in place of a newly computed one."""
            published = publish_stage.republish(
                config.artifacts,
                night.generation,
                lock,
                keep=3,
                bounds=config.bounds,
                force=None,
                reporter=reporter,
            )
            return Night(open_artifact(config.artifacts, night.generation), published, ("1",), {})

        monkeypatch.setattr(commands, "run_night", run_night)
        fail_once(monkeypatch, place, name, Terminated(signal.SIGTERM))
        monkeypatch.setattr(sys, "argv", ["batch"])
        options = ["--home", str(home), "--namespace", KEYS.namespace, "--data", "demo"]
        with pytest.raises(SystemExit) as end:
            app(["run", *options])

        printed = capsys.readouterr()
        assert (end.value.code, nights.served()) == (0, night.generation)
        assert "the run was cut short after that" in printed.err
        shown = printed.out.splitlines()
        assert shown[0].startswith(f"live        {night.generation}")
        assert set(lines) <= {line.partition(" ")[0] for line in shown}
        assert "Night" not in printed.out
    finally:
        stop_server(home)


def test_22_an_embedded_store_that_cannot_be_saved_is_a_warning(short_folder, good, capsys):
    """The generation is live; the warning names what a crash would lose."""
    home = short_folder / f"home-{os.urandom(4).hex()}"
    snapshot = home / "store" / "store.rdb"
    try:
        nights = Nights(ensure_server(home), KEYS.namespace, home / "artifacts", good)
        night = nights.night()
        night.write(nights.folder)
        snapshot.mkdir()
        target = Target(None, KEYS.namespace, home)
        with guard():
            republish_command(Settings(quiet=True), target, night.generation, force=None)
        assert nights.served() == night.generation
        assert f"warning: {night.generation} may be lost" in capsys.readouterr().err
    finally:
        snapshot.rmdir()
        stop_server(home)


def test_22_before_the_switch_the_same_fault_fails_the_run(observed_run, monkeypatch):
    """Before the switch these faults fail the run, because nothing is live."""
    monkeypatch.setattr(publish_stage, "judge_generation", fail(Bug("x")))
    before = observed_run.nights.served()

    with pytest.raises(Bug, match="x"):
        observed_run.republish()

    assert observed_run.nights.served() == before
    assert EXIT.findall(observed_run.metrics.read_text("utf-8")) == ["1.0"]
    assert observed_run.notified.exists()


def test_22_a_live_generation_that_is_filled_again_in_vain_is_no_success(observed_run, monkeypatch):
    """A failed refill of the live generation fails the run: half of its keys may be missing."""
    assert observed_run.republish()[0] == 0
    monkeypatch.setattr(publisher, "verify", fail(Bug("x")))

    with pytest.raises(Bug):
        observed_run.republish()


LOST = {
    "closed": ">&-",
    "full": ">/dev/full",
    "a pipe that ended": "| true",
    "both full": ">/dev/full 2>/dev/full",
    "both closed": ">&- 2>&-",
}


@pytest.mark.parametrize("how", LOST)
def test_22_the_output_is_lost(observed_run, tmp_path, how):
    """Standard output that is closed, full or unread does not fail the run."""
    words = f"{BATCH} republish {observed_run.night.generation} {LOST[how]}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RECO_HOME": str(tmp_path),
        "REDIS_URL": observed_run.nights.url,
    }

    ended = subprocess.run(
        ["bash", "-c", f"{words}; exit ${{PIPESTATUS[0]}}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr
    assert observed_run.nights.served() == observed_run.night.generation
    if "2>" not in LOST[how]:
        lines = ended.stderr.splitlines()
        assert lines[-1].startswith("warning: the summary could not be printed: ")
        assert [line for line in lines if "warning: " in line or "error: " in line] == lines[-1:]


def test_22_no_home_and_no_entry_in_passwd():
    """The final suggestions and reading from a server need no home."""
    if os.getuid():
        pytest.skip("acting as another account needs root")
    script = (
        "import os, sys; os.setgroups([]); os.setgid(23456); os.setuid(23456);"
        "from reco_batch.settings.target import Target;"
        "t = Target.of('redis://127.0.0.1:1', 'reco', None);"
        "print(t.reading_options);"
        "Target.of(None, 'reco', None).home"
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"{PRELOAD}{script}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout == " --redis-url redis://127.0.0.1:1\n"
    assert "the account 23456 has no home folder: HOME is not set to one" in ended.stderr
    assert "RECO_HOME" in ended.stderr


#: Modules that another account may be unable to read.
PRELOAD = "import pwd, platformdirs, platformdirs.unix, reco_batch.settings.target; "
