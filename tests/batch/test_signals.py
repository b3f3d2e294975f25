"""Signals that end a run: it ends by itself, or its process is ended."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, signal, sys, time
from reco_batch import signals
from reco_terminal.console import guard, open_streams

def deaf(error):
    print("ended by a thread:", error, flush=True)
    return 143

def body():
    how = sys.argv[1]
    with signals.Watch(deaf, grace_seconds=0.3) as watch:
        print("ready", flush=True)
        if how == "hears":
            time.sleep(60)
        elif how == "deaf":
            # Like a run that waits for a thread in native code.
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                while True:
                    time.sleep(1)
        elif how == "live":
            watch.stop_watching()
            print("settled", flush=True)
            time.sleep(1)
        elif how == "hushed":
            watch.ignore_signals()
            print("hushed", flush=True)
            time.sleep(0.2)
            watch.stop_watching()
            time.sleep(1)
        elif how == "hushed for long":
            watch.ignore_signals()
            print("hushed", flush=True)
            time.sleep(20)
    print("went on", flush=True)

open_streams()
signals.handle_signals()
with guard():
    body()
"""


def start(how, *before):
    """Start the program, and wait until it is in its run."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)  # the print has returned
    return process


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_a_command_with_one_line(number, code):
    """The exit code is that of a shell for the signal."""
    process = start("hears")
    process.send_signal(signal.Signals[number])
    out, err = process.communicate(timeout=20)
    what = "interrupted" if number == "SIGINT" else f"ended by {number}"
    assert (process.returncode, out) == (code, "")
    assert err == f"error: {what}; run it again. Readers see what they saw before.\n"


def test_a_run_that_does_not_end_by_itself_is_ended():
    """The process ends within seconds, even while native code is running."""
    process = start("deaf")
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # the second one interrupts nothing
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 143
    assert out == "ended by a thread: SIGTERM\n"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_live_run_exits_with_zero(number):
    """A live run only reports its end, and exits with 0."""
    process = start("live")
    assert process.stdout.readline() == "settled\n"
    process.send_signal(signal.Signals[number])
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "went on\n", "")


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_reading_the_live_generation_is_not_interrupted(number):
    """Further signals do not interrupt reading the live generation."""
    process = start("hushed")
    assert process.stdout.readline() == "hushed\n"
    for _ in range(3):
        process.send_signal(signal.Signals[number])
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "went on\n", "")


def test_a_run_that_reads_for_too_long_is_ended():
    """A store that does not answer cannot delay the end."""
    process = start("hushed for long")
    assert process.stdout.readline() == "hushed\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (143, "ended by a thread: SIGTERM\n")


def test_an_ignored_signal_stays_ignored():
    """`nohup batch run` ignores SIGHUP."""
    process = start("live", "nohup")
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=20) == 0
    process.stdout.close()
    process.stderr.close()


def test_hooks_inherit_nothing():
    """A program started by a hook can be ended as usual."""
    code = (
        "from reco_batch import signals; import subprocess, os, signal; signals.handle_signals();"
        "w = signals.Watch(lambda e: 1); w.__enter__(); w.stop_watching();"
        "print(open('/proc/%d/status' % os.getpid()).read());"
        "subprocess.run(['grep', 'SigIgn', '/proc/self/status'])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    ignored = int(out.split("SigIgn:")[-1].strip().split()[0], 16)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        assert not ignored & 1 << (number - 1)
